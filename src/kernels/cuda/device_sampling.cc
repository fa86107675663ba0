#include "kernels/cuda/device_sampling.h"

#include "kernels/cuda/device_sampling_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

namespace {

LogitRows logit_rows(const TensorView& logits) {
  LogitRows rows{.logits = logits.data<float>(),
                 .stride = logits.row_stride(),
                 .rows = static_cast<int>(logits.dim(0)),
                 .vocab = static_cast<int>(logits.dim(1)),
                 .block = kTokenGroup,
                 .blocks = 0};
  while (rows.vocab > rows.block * kMaxTokenBlocks) rows.block *= 2;
  rows.blocks = (rows.vocab + rows.block - 1) / rows.block;
  return rows;
}

// One sampling step: its launches in order, and the scratch memory between them.
class Sampler {
 public:
  Sampler(Ctx& ctx, const TensorView& logits)
      : stream_(static_cast<CudaStream&>(ctx.stream)),
        guard_(stream_.device().index),
        scope_(ctx.scratch),
        scratch_(ctx.scratch),
        logits_(logit_rows(logits)) {}

  void sample(const DeviceSamplingRows& rows, const SamplingTable& table, SampledToken* out) {
    const SamplingFeatures features = rows.features;
    float* block_max = block_values();
    float* sum = block_values();
    float* raw_sum = features.logprobs ? block_values() : nullptr;
    float* raw = nullptr;
    LogSoftmax* log_softmax =
        features.logprobs ? scratch_.allocate<LogSoftmax>(logits_.rows) : nullptr;
    const bool edits_after_report = features.edits && features.logprobs;
    if (features.logprobs) {
      scan(rows, block_max, raw_sum, edits_after_report ? nullptr : sum);
      report({logits_, rows.rows, nullptr, 0, block_max, raw_sum, log_softmax, out});
    }
    uint16_t* counts = static_cast<uint16_t*>(table.counts().raw());
    int32_t* last_token = table.last_token().data<int32_t>();
    const int64_t counts_stride = table.counts().row_stride();
    if (features.edits) {
      if (features.logprobs) raw = scratch_.allocate<float>(int64_t{logits_.rows} * logits_.vocab);
      const SamplingEditLaunch edit{logits_, rows.rows,     rows.words, last_token,
                                    counts,  counts_stride, raw};
      stream_.launched("device_sample edits", launch_sampling_edit(edit, stream_.handle()));
    }
    if (features.edits || !features.logprobs) scan(rows, block_max, nullptr, sum);
    const SamplingChooseLaunch choose{logits_,     rows.rows,  rows.words, block_max,     sum, raw,
                                      log_softmax, last_token, counts,     counts_stride, out};
    stream_.launched("device_sample", launch_sampling_choose(choose, stream_.handle()));
  }

  void score(const TensorView& targets, int32_t logprobs, SampledToken* out) {
    float* block_max = block_values();
    float* raw_sum = block_values();
    scan({}, block_max, raw_sum, nullptr);
    report({logits_, nullptr, targets.data<int32_t>(), logprobs, block_max, raw_sum, nullptr, out});
  }

 private:
  float* block_values() {
    return scratch_.allocate<float>(int64_t{logits_.rows} * kMaxTokenBlocks);
  }

  void scan(const DeviceSamplingRows& rows, float* block_max, float* raw_sum, float* sum) {
    const SamplingScanLaunch scan{logits_, rows.rows, rows.words, block_max, raw_sum, sum};
    stream_.launched("sampling scan", launch_sampling_scan(scan, stream_.handle()));
  }

  void report(const SamplingReportLaunch& report) {
    stream_.launched("sampling report", launch_sampling_report(report, stream_.handle()));
  }

  CudaStream& stream_;
  DeviceGuard guard_;
  ArenaScope scope_;
  Arena& scratch_;
  LogitRows logits_;
};

}  // namespace

void device_sample(Ctx& ctx, const TensorView& logits, const DeviceSamplingRows& rows,
                   const SamplingTable& table, SampledToken* out) {
  if (logits.dim(0) == 0) return;
  Sampler(ctx, logits).sample(rows, table, out);
}

void device_score(Ctx& ctx, const TensorView& logits, const TensorView& targets, int32_t logprobs,
                  SampledToken* out) {
  if (logits.dim(0) == 0) return;
  CHECK(targets.contiguous(), "device_score: strided targets");
  Sampler(ctx, logits).score(targets, logprobs, out);
}

}  // namespace lmdeploy::cuda
