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
  Sampler(Ctx& ctx, const TensorView& logits, SampledToken* out)
      : stream_(static_cast<CudaStream&>(ctx.stream)),
        guard_(stream_.device().index),
        scope_(ctx.scratch),
        scratch_(ctx.scratch),
        logits_(logit_rows(logits)),
        block_max_(block_values()),
        out_(out) {}

  void sample(const DeviceSamplingRows& rows, const SamplingTable& table) {
    const SamplingFeatures features = rows.features;
    float* sum = block_values();
    float* raw_sum = features.logprobs ? block_values() : nullptr;
    LogSoftmax* log_softmax =
        features.logprobs ? scratch_.allocate<LogSoftmax>(logits_.rows) : nullptr;
    const bool raw_is_kept = features.edits && features.logprobs;
    float* raw =
        raw_is_kept ? scratch_.allocate<float>(int64_t{logits_.rows} * logits_.vocab) : nullptr;
    uint64_t* masses =
        features.nucleus ? scratch_.allocate<uint64_t>(int64_t{logits_.rows} * kMassBins) : nullptr;
    if (raw_is_kept) scan(rows, raw_sum, nullptr, nullptr);
    if (features.edits && !features.logprobs) edit(rows, table, nullptr);
    if (!raw_is_kept) scan(rows, raw_sum, sum, masses);
    if (features.logprobs)
      report({.rows = rows.rows, .raw_sum = raw_sum, .log_softmax = log_softmax});
    if (raw_is_kept) {
      edit(rows, table, raw);
      scan(rows, nullptr, sum, masses);
    }
    if (features.nucleus) weigh(rows, masses);
    choose(rows, table, {.sum = sum, .masses = masses, .raw = raw, .log_softmax = log_softmax});
  }

  void score(const TensorView& targets, int32_t logprobs) {
    float* raw_sum = block_values();
    scan({}, raw_sum, nullptr, nullptr);
    report({.targets = targets.data<int32_t>(), .logprobs = logprobs, .raw_sum = raw_sum});
  }

 private:
  float* block_values() {
    return scratch_.allocate<float>(int64_t{logits_.rows} * kMaxTokenBlocks);
  }

  void scan(const DeviceSamplingRows& rows, float* raw_sum, float* sum, uint64_t* masses) {
    const SamplingScanLaunch scan{logits_, rows.rows, rows.words, block_max_, raw_sum, sum, masses};
    stream_.launched("sampling scan", launch_sampling_scan(scan, stream_.handle()));
  }

  void report(SamplingReportLaunch report) {
    report.logits = logits_;
    report.block_max = block_max_;
    report.out = out_;
    stream_.launched("sampling report", launch_sampling_report(report, stream_.handle()));
  }

  void weigh(const DeviceSamplingRows& rows, uint64_t* masses) {
    const SamplingWeighLaunch weigh{logits_, rows.rows, rows.words, block_max_, masses};
    stream_.launched("sampling weigh", launch_sampling_weigh(weigh, stream_.handle()));
  }

  void edit(const DeviceSamplingRows& rows, const SamplingTable& table, float* raw) {
    const SamplingEditLaunch edit{.logits = logits_,
                                  .rows = rows.rows,
                                  .words = rows.words,
                                  .last_token = table.last_token().data<int32_t>(),
                                  .counts = table.counts().data<uint16_t>(),
                                  .counts_stride = table.counts().row_stride(),
                                  .raw = raw};
    stream_.launched("sampling edit", launch_sampling_edit(edit, stream_.handle()));
  }

  void choose(const DeviceSamplingRows& rows, const SamplingTable& table,
              SamplingChooseLaunch choose) {
    choose.logits = logits_;
    choose.rows = rows.rows;
    choose.words = rows.words;
    choose.block_max = block_max_;
    choose.last_token = table.last_token().data<int32_t>();
    choose.counts = table.counts().data<uint16_t>();
    choose.counts_stride = table.counts().row_stride();
    choose.out = out_;
    stream_.launched("sampling choose", launch_sampling_choose(choose, stream_.handle()));
  }

  CudaStream& stream_;
  DeviceGuard guard_;
  ArenaScope scope_;
  Arena& scratch_;
  LogitRows logits_;
  float* block_max_;
  SampledToken* out_;
};

}  // namespace

void device_sample(Ctx& ctx, const TensorView& logits, const DeviceSamplingRows& rows,
                   const SamplingTable& table, SampledToken* out) {
  if (logits.dim(0) == 0) return;
  Sampler(ctx, logits, out).sample(rows, table);
}

void device_score(Ctx& ctx, const TensorView& logits, const TensorView& targets, int32_t logprobs,
                  SampledToken* out) {
  if (logits.dim(0) == 0) return;
  CHECK(targets.contiguous(), "device_score: strided targets");
  Sampler(ctx, logits, out).score(targets, logprobs);
}

}  // namespace lmdeploy::cuda
