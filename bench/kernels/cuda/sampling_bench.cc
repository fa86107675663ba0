// device_sample on a GPU: microseconds of a step's sampling beside the time that reading its logits
// once takes. "peaked" logits look like a language model's (normal, and a few tokens far above);
// "flat" ones are normal alone, so that filters keep tens of thousands of tokens.
//
//   sampling_cuda_bench [VOCAB [ROWS [CASE]]]
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "graph_timer.h"
#include "kernels/device_sampling.h"
#include "kernels/random_normal.h"

namespace lmdeploy {
namespace {

constexpr Device kGpu{DeviceType::kCuda, 0};

struct Case {
  const char* name;
  SamplingRow row;
  bool peaked = true;
};

std::vector<Case> cases() {
  return {{"greedy", {.greedy = true}},
          {"top_k 40, top_p 0.8", {.top_k = 40, .top_p = 0.8f}},
          {"top_k 40, top_p 0.8 flat", {.top_k = 40, .top_p = 0.8f}, false},
          {"temperature alone", {.temperature = 0.8f}},
          {"top_p 0.95", {.top_p = 0.95f}},
          {"top_p 0.95 flat", {.top_p = 0.95f}, false},
          {"min_p 0.05", {.min_p = 0.05f}},
          {"greedy, 5 logprobs", {.greedy = true, .logprobs = 5}},
          {"top_k 40, penalties", {.top_k = 40, .repetition_penalty = 1.1f}}};
}

// Device memory with a copy of `values`.
template <class T>
Tensor upload(std::span<const T> values) {
  Tensor memory(Shape{static_cast<int64_t>(values.size_bytes()) + 1}, DType::kU8, kGpu);
  device_copy(kGpu, memory.view().raw(), Device{}, values.data(), values.size_bytes());
  return memory;
}

class Bench {
 public:
  Bench(int rows, int64_t vocab)
      : rows_(rows),
        vocab_(vocab),
        stream_(make_stream(kGpu, 0, {}).value()),
        arena_(kGpu),
        copies_(copies_beyond_l2(bytes())),
        table_(kGpu, rows, vocab) {}

  void run(const Case& work) {
    Ctx ctx{*stream_, arena_};
    const Tensor logits = make_logits(ctx, work.peaked);
    std::vector<TokenCount> seen;
    for (int32_t i = 0; i < 500; ++i) seen.push_back({i * 61 % static_cast<int32_t>(vocab_), 1, 0});
    const Tensor out(Shape{static_cast<int64_t>(sizeof(SampledToken)) * rows_}, DType::kU8, kGpu);
    Tensor rows, words;
    DeviceSamplingRows uploaded;
    for (bool first_token : {true, false}) {
      SamplingBatch batch(vocab_);
      for (int r = 0; r < rows_; ++r) {
        SamplingRow row = work.row;
        row.seed = static_cast<uint64_t>(r);
        row.seen = seen;
        batch.add(row, r, first_token);
      }
      rows = upload(batch.rows());
      words = upload(batch.words());
      uploaded = {static_cast<const DeviceSamplingRow*>(rows.view().raw()),
                  static_cast<const uint32_t*>(words.view().raw()), batch.features()};
      device_sample(ctx, logits.view().rows(0, rows_), uploaded, table_,
                    static_cast<SampledToken*>(out.view().raw()));
      stream_->synchronize();
    }
    const double seconds = time_in_graph(*stream_, copies_, [&](int i) {
      device_sample(ctx, logits.view().rows(int64_t{i} * rows_, rows_), uploaded, table_,
                    static_cast<SampledToken*>(out.view().raw()));
    });
    std::printf("%6lld x %3d  %-26s %8.1f us   reading once %6.1f us\n",
                static_cast<long long>(vocab_), rows_, work.name, seconds * 1e6,
                bytes() / kReadBytesPerSecond * 1e6);
    std::fflush(stdout);
  }

 private:
  double bytes() const { return 4.0 * rows_ * static_cast<double>(vocab_); }

  Tensor make_logits(Ctx& ctx, bool peaked) {
    Tensor logits(Shape{int64_t{copies_} * rows_, vocab_}, DType::kF32, kGpu);
    random_normal(ctx, {.key = 7, .row_elements = vocab_, .stddev = 2}, logits);
    stream_->synchronize();
    for (int64_t r = 0; peaked && r < logits.shape()[0]; ++r) {
      for (uint64_t i = 0; i < 8; ++i) {
        const float logit = 16.0f - static_cast<float>(i);
        const uint64_t token =
            hash_random(static_cast<uint64_t>(r), i) % static_cast<uint64_t>(vocab_);
        device_copy(kGpu, logits.view().row<float>(r) + token, Device{}, &logit, sizeof(logit));
      }
    }
    return logits;
  }

  int rows_;
  int64_t vocab_;
  std::unique_ptr<Stream> stream_;
  Arena arena_;
  int copies_;
  SamplingTable table_;
};

}  // namespace
}  // namespace lmdeploy

int main(int count, char** arguments) {
  std::vector<int64_t> vocabs = {128256, 32000};
  std::vector<int> batches = {1, 64, 256};
  if (count > 1) vocabs = {std::atoll(arguments[1])};
  if (count > 2) batches = {std::atoi(arguments[2])};
  const std::string_view only = count > 3 ? arguments[3] : "";
  for (int64_t vocab : vocabs) {
    for (int rows : batches) {
      lmdeploy::Bench bench(rows, vocab);
      for (const lmdeploy::Case& work : lmdeploy::cases()) {
        if (only.empty() || only == work.name) bench.run(work);
      }
    }
  }
  return 0;
}
