// Time of a mixture of experts on a GPU, routing and all, beside the reading of the weights of the
// experts that were hit. The hit histogram is printed: routing is that of random logits.
//   moe_cuda_bench [MODEL]      (part of a name; all without)
#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "graph_timer.h"
#include "kernels/moe_mlp.h"
#include "kernels/moe_route.h"
#include "kernels/random_normal.h"

namespace lmdeploy {
namespace {

constexpr Device kGpu{DeviceType::kCuda, 0};
constexpr double kFlops = 778e12;

struct Model {
  const char* name;
  int experts, top_k;
  int64_t hidden, size;
};
constexpr Model kModels[] = {{"mixtral-8x7b", 8, 2, 4096, 14336},
                             {"qwen3-30b-a3b", 128, 8, 2048, 768},
                             {"deepseek-v2-lite", 64, 6, 2048, 1408}};
constexpr int64_t kTokens[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096};

class Bench {
 public:
  Bench() : stream_(make_stream(kGpu, 0, {}).value()), arena_(kGpu) {}

  void run(const Model& model) {
    std::printf("%s: %d experts of %d x [%lld, %lld], bf16\n", model.name, model.top_k,
                model.experts, static_cast<long long>(model.hidden),
                static_cast<long long>(model.size));
    const double layer_bytes = 6.0 * model.experts * static_cast<double>(model.hidden * model.size);
    const int layers = layer_bytes > 1e9 ? 2 : 4;
    std::vector<Layer> weights;
    for (int i = 0; i < layers; ++i) weights.push_back(make_layer(model, static_cast<uint64_t>(i)));
    for (int64_t tokens : kTokens) time(model, weights, tokens);
  }

 private:
  struct Layer {
    ExpertMatrices gate_up, down;
  };

  Tensor random(Shape shape, DType dtype, uint64_t key, float stddev) {
    Tensor tensor(shape, dtype, kGpu);
    Ctx ctx{*stream_, arena_};
    random_normal(ctx, {.key = key, .row_elements = shape[1], .stddev = stddev}, tensor);
    return tensor;
  }

  Layer make_layer(const Model& model, uint64_t key) {
    const int64_t e = model.experts;
    Layer layer{{model.experts, 2 * model.size, model.hidden, {}},
                {model.experts, model.hidden, model.size, {}}};
    layer.gate_up.parts.push_back(row_major_matrix(
        random(Shape{e * 2 * model.size, model.hidden}, DType::kBF16, 10 + key, 0.02f)));
    layer.down.parts.push_back(row_major_matrix(
        random(Shape{e * model.hidden, model.size}, DType::kBF16, 20 + key, 0.02f)));
    return layer;
  }

  // Tokens of each expert, sorted.
  std::vector<int> histogram(const Model& model, const Tensor& ids) {
    stream_->synchronize();
    Tensor host(ids.shape(), DType::kI32);
    device_copy(Device{}, host.view().raw(), kGpu, ids.view().raw(), ids.bytes());
    std::vector<int> counts(static_cast<size_t>(model.experts));
    for (int64_t i = 0; i < ids.shape().numel(); ++i) {
      ++counts[static_cast<size_t>(host.data<int32_t>()[i])];
    }
    std::sort(counts.begin(), counts.end());
    return counts;
  }

  void time(const Model& model, const std::vector<Layer>& layers, int64_t tokens) {
    const Tensor logits = random(Shape{tokens, model.experts}, DType::kF32, 3, 1);
    const Tensor x = random(Shape{tokens, model.hidden}, DType::kBF16, 4, 1);
    const Tensor ids(Shape{tokens, model.top_k}, DType::kI32, kGpu),
        weights(Shape{tokens, model.top_k}, DType::kF32, kGpu),
        out(Shape{tokens, model.hidden}, DType::kBF16, kGpu);
    Ctx ctx{*stream_, arena_};
    const int calls = tokens >= 1024 ? 2 : 8;
    const double seconds = time_in_graph(*stream_, calls, [&](int call) {
      const Layer& layer = layers[static_cast<size_t>(call) % layers.size()];
      moe_route(ctx, logits, {}, {.top_k = model.top_k, .renormalize = true}, ids, weights);
      moe_mlp(ctx, x, ids, weights, {layer.gate_up, layer.down, {}, {}}, {}, out,
              MatmulEpilogue::kAdd);
    });
    print(model, tokens, histogram(model, ids), seconds);
  }

  static void print(const Model& model, int64_t tokens, const std::vector<int>& counts,
                    double seconds) {
    const auto hit = std::count_if(counts.begin(), counts.end(), [](int c) { return c > 0; });
    const double elements = 3.0 * static_cast<double>(model.hidden * model.size);
    const double bytes = 2 * elements * static_cast<double>(hit);
    const double flop = 2 * elements * static_cast<double>(tokens) * model.top_k;
    std::printf(
        "  T %5lld  hit %3lld, tokens %4d .. %4d  %9.1f us  %5.0f GB/s (%3.0f%%)  %6.1f "
        "TFLOP/s (%3.0f%%)\n",
        static_cast<long long>(tokens), static_cast<long long>(hit), counts.front(), counts.back(),
        seconds * 1e6, bytes / seconds * 1e-9, bytes / seconds / kReadBytesPerSecond * 100,
        flop / seconds * 1e-12, flop / seconds / kFlops * 100);
    std::fflush(stdout);
  }

  std::unique_ptr<Stream> stream_;
  Arena arena_;
};

int run(int count, char** arguments) {
  Bench bench;
  for (const Model& model : kModels) {
    if (count < 2 || std::string_view(model.name).find(arguments[1]) != std::string_view::npos) {
      bench.run(model);
    }
  }
  return 0;
}

}  // namespace
}  // namespace lmdeploy

int main(int count, char** arguments) { return lmdeploy::run(count, arguments); }
