// Time of a decode step of a model with random weights on a GPU, replayed from a CUDA graph without
// engine and sampler, beside the reading of the weights that it needs: of a mixture of experts,
// those of min(E, T * top_k) experts, which is what T tokens hit at most.
//   decode_cuda_bench CONFIG_DIRECTORY [T,...]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "../../kernels/cuda/graph_timer.h"
#include "checkpoint/checkpoint.h"
#include "models/causal_lm.h"

namespace lmdeploy {
namespace {

constexpr Device kGpu{DeviceType::kCuda, 0};
constexpr int kBlockTokens = 64, kContext = 512;

template <class T>
Tensor upload(const std::vector<T>& values, DType dtype, Shape shape) {
  Tensor device(shape, dtype, kGpu);
  device_copy(kGpu, device.view().raw(), Device{}, const_cast<T*>(values.data()), device.bytes());
  return device;
}

std::vector<int32_t> counted(int64_t count, int32_t first, int32_t step) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<int32_t>(i) * step;
  return values;
}

// `sequences` with kContext tokens each, of which this step brings the last.
class Step {
 public:
  Step(const CausalLm& model, int sequences) {
    constexpr int kBlocks = kContext / kBlockTokens;
    const int64_t count = sequences;
    const auto add = [&](std::vector<int32_t> values, Shape shape) -> TensorView {
      return memory_.emplace_back(upload(values, DType::kI32, shape)).view();
    };
    batch.num_tokens = batch.num_sequences = sequences;
    batch.max_query_len = 1;
    batch.max_kv_len = kContext;
    batch.token_ids = add(counted(count, 1000, 37), Shape{count});
    batch.positions = add(counted(count, kContext - 1, 0), Shape{count});
    batch.token_rows = add(counted(count, 0, 1), Shape{count});
    batch.query_start = add(counted(count + 1, 0, 1), Shape{count + 1});
    batch.kv_len = add(counted(count, kContext, 0), Shape{count});
    batch.rope_len = add(counted(count, kContext, 0), Shape{count});
    batch.logit_rows = add(counted(count, 0, 1), Shape{count});
    const TensorView table = add(counted(count * kBlocks, 0, 1), Shape{count, kBlocks});
    std::vector<int64_t> slots;
    for (int64_t b = 0; b < count; ++b) slots.push_back((b + 1) * kContext - 1);
    const TensorView slot_map =
        memory_.emplace_back(upload(slots, DType::kI64, Shape{count})).view();
    for (size_t g = 0; g < model.info().kv_groups.size(); ++g) {
      batch.groups.push_back({table, slot_map});
    }
  }

  Batch batch;

 private:
  std::vector<Tensor> memory_;
};

// Bytes of weights that a step of `tokens` reads: all but the embedding and the experts not hit.
double bytes_read(const CausalLm& model, const json::object& config, int64_t tokens) {
  const auto number = [&](const char* key) {
    const json::value* value = config.if_contains(key);
    return value == nullptr ? 0.0 : value->to_number<double>();
  };
  const ModelInfo& info = model.info();
  const double experts = number("num_local_experts"),
               hidden = static_cast<double>(info.hidden_size);
  const double hit = std::min(experts, static_cast<double>(tokens) * number("num_experts_per_tok"));
  const double of_expert =
      6 * hidden * number("intermediate_size") * static_cast<double>(info.num_layers);
  return static_cast<double>(info.weight_bytes) - (experts - hit) * of_expert -
         2 * hidden * static_cast<double>(info.vocab_size);
}

int run(int count, char** arguments) {
  if (count < 2) return std::puts("decode_cuda_bench CONFIG_DIRECTORY [T,...]"), 1;
  auto stream = make_stream(kGpu, 0, {}).value();
  const auto checkpoint = Checkpoint::open(arguments[1], CheckpointParts::kConfigOnly).value();
  const auto model =
      load_model(*checkpoint, {.dtype = "bfloat16", .dummy_weights = true}, *stream).value();
  Arena arena(kGpu);
  std::string list = count > 2 ? arguments[2] : "1,8,64";
  for (const char* at = list.c_str(); *at != '\0'; at += *at == ',' ? 1 : 0) {
    char* end = nullptr;
    const int tokens = static_cast<int>(std::strtol(at, &end, 10));
    if (end == at || tokens < 1) return std::puts("T is a number from 1"), 1;
    at = end;
    const Step step(*model, tokens);
    KvCache kv(model->info().kv_groups, kBlockTokens, tokens * kContext / kBlockTokens,
               DType::kBF16, kGpu);
    const Tensor hidden(Shape{tokens, model->info().hidden_size}, DType::kBF16, kGpu),
        logits(Shape{tokens, model->info().vocab_size}, DType::kF32, kGpu);
    Ctx ctx{*stream, arena};
    const double seconds = time_in_graph(*stream, 1, [&](int) {
      model->forward(ctx, step.batch, kv, hidden);
      model->logits(ctx, hidden, logits);
    });
    const double bytes = bytes_read(*model, checkpoint->config(), tokens);
    std::printf("T %4d  %8.3f ms  %6.2f GB of weights  %5.0f GB/s (%3.0f%% of %.2f TB/s)\n", tokens,
                seconds * 1e3, bytes * 1e-9, bytes / seconds * 1e-9,
                bytes / seconds / kReadBytesPerSecond * 100, kReadBytesPerSecond * 1e-12);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace lmdeploy

int main(int count, char** arguments) { return lmdeploy::run(count, arguments); }
