// Time of linear layers on a Hopper GPU: our kernel and cuBLASLt (where the loader finds it) over
// layers of distinct random weights in one CUDA graph, beside the limits of memory and tensor cores
// that were measured on an H100 80GB.
//   matmul_cuda_bench shapes|models|steps|plans [--dtype f16|bf16] [--rows T,...] [--only PART]
// shapes: each layer alone. models: all layers of a model. steps: the same with the activation of
// the MLP, as the ops issue them and beside it. plans: every plan of the Hopper kernel, of
// matmul_gated for a gate and an up projection. PART: of a name.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm_plan.h"
#include "kernels/cuda/gemm_sm90.h"
#include "kernels/gated_activation.h"
#include "kernels/matmul.h"
#include "kernels/matmul_gated.h"
#include "kernels/random_normal.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy {
namespace {

constexpr double kReadBytesPerSecond = 2.99e12, kFlops = 778e12;
constexpr Device kGpu{DeviceType::kCuda, 0};

struct Shape2 {
  const char* name;
  int64_t n, k;
  bool gated = false;  // gate and up projections
};
constexpr Shape2 kShapes[] = {
    {"7b qkv", 12288, 4096},   {"7b/8b o", 4096, 4096},       {"7b gate_up", 22016, 4096, true},
    {"7b down", 4096, 11008},  {"8b qkv", 6144, 4096},        {"8b gate_up", 28672, 4096, true},
    {"8b down", 4096, 14336},  {"7b lm_head", 32000, 4096},   {"8b lm_head", 128256, 4096},
    {"1.7b qkv", 6144, 2048},  {"1.7b o", 2048, 2048},        {"1.7b gate_up", 16384, 2048, true},
    {"1.7b down", 2048, 8192}, {"1.7b lm_head", 49152, 2048},
};

struct Model {
  const char* name;
  std::vector<Shape2> layer;
  int layers;
  Shape2 head;
};
const Model kModels[] = {
    {"llama-2-7b",
     {{"", 12288, 4096}, {"", 4096, 4096}, {"", 22016, 4096, true}, {"", 4096, 11008}},
     32,
     {"", 32000, 4096}},
    {"llama-3-8b",
     {{"", 6144, 4096}, {"", 4096, 4096}, {"", 28672, 4096, true}, {"", 4096, 14336}},
     32,
     {"", 128256, 4096}},
    {"smollm2-1.7b",
     {{"", 6144, 2048}, {"", 2048, 2048}, {"", 16384, 2048, true}, {"", 2048, 8192}},
     24,
     {"", 49152, 2048}},
};

// Memory of random values, cut into weights one after the other.
class Pool {
 public:
  Pool(Ctx& ctx, DType dtype, size_t bytes)
      : values_(std::make_shared<Tensor>(Shape{static_cast<int64_t>(bytes / 2 / kRow), kRow}, dtype,
                                         kGpu)) {
    random_normal(ctx, {.key = 1, .row_elements = kRow, .stddev = 0.02f}, *values_);
    ctx.stream.synchronize();
  }
  // The next n * k values; from the beginning again behind the end.
  const void* take(int64_t n, int64_t k) {
    const size_t bytes = static_cast<size_t>(n * k) * 2;
    if (next_ + bytes > values_->bytes()) next_ = 0;
    const void* weights = values_->data<std::byte>() + next_;
    next_ += (bytes + 255) / 256 * 256;
    return weights;
  }
  size_t bytes() const { return values_->bytes(); }
  const std::shared_ptr<Tensor>& owner() const { return values_; }

 private:
  static constexpr int64_t kRow = 8192;
  std::shared_ptr<Tensor> values_;
  size_t next_ = 0;
};

class Bench {
 public:
  Bench(std::unique_ptr<Stream> stream, DType dtype)
      : owner_(std::move(stream)),
        stream_(static_cast<cuda::CudaStream&>(*owner_)),
        scratch_(kGpu),
        ctx_{stream_, scratch_},
        dtype_(dtype),
        pool_(ctx_, dtype, size_t{14} << 30),
        x_(Shape{kMostRows, kMostColumns}, dtype, kGpu),
        out_(Shape{kMostOut}, DType::kF32, kGpu),
        product_(Shape{kMostOut / 2}, dtype, kGpu),
        workspace_(Shape{static_cast<int64_t>(cuda::CublasLt::kWorkspaceBytes)}, DType::kU8, kGpu) {
    random_normal(ctx_, {.key = 2, .row_elements = kMostColumns, .stddev = 1}, x_);
    stream_.synchronize();
  }

  bool has_library() { return stream_.state<cuda::CublasLt>().found(); }
  int multiprocessors() const { return stream_.properties().multiprocessors; }

  // Seconds of one of `count` products of this shape in a graph, or 0 where it cannot run.
  using Multiply = std::function<bool(int64_t rows, const Shape2& shape, const void* weights)>;
  double seconds_each(int64_t rows, const Shape2& shape, const Multiply& multiply) {
    const double bytes = 2.0 * static_cast<double>(shape.n * shape.k);
    const double expected = std::max(bytes / kReadBytesPerSecond,
                                     2.0 * static_cast<double>(rows * shape.n * shape.k) / kFlops);
    const int count = std::clamp(static_cast<int>(1.5e-3 / expected),
                                 std::max(2, static_cast<int>(2e8 / bytes)), 64);
    return seconds_of([&] {
             for (int i = 0; i < count; ++i) {
               if (!multiply(rows, shape, pool_.take(shape.n, shape.k))) return false;
             }
             return true;
           }) /
           count;
  }

  double seconds_of_model(int64_t rows, const Model& model, const Multiply& multiply) {
    return seconds_of([&] {
      for (int layer = 0; layer < model.layers; ++layer) {
        for (const Shape2& s : model.layer) {
          if (!multiply(rows, s, pool_.take(s.n, s.k))) return false;
        }
      }
      return multiply(std::min<int64_t>(rows, 256), model.head,
                      pool_.take(model.head.n, model.head.k));
    });
  }

  bool ours(int64_t rows, const Shape2& shape, const void* weights, const cuda::GemmPlan& plan,
            bool gated = false) {
    const int64_t n = gated ? shape.n / 2 : shape.n, k = shape.k;
    const cuda::GemmLaunch gemm{.x = x_.view().raw(),
                                .weights = weights,
                                .x_stride = kMostColumns,
                                .k = k,
                                .output = {.out = out_.view().raw(),
                                           .stride = n,
                                           .bias = nullptr,
                                           .rows = rows,
                                           .n = static_cast<int>(n),
                                           .add = false,
                                           .f32 = false,
                                           .vectors = true}};
    return cuda::launch_matmul_sm90(gemm, dtype_, plan, multiprocessors(), stream_.handle(),
                                    {.on = gated}) == cudaSuccess;
  }
  Multiply planned(bool batch_invariant) {
    return [=, this](int64_t rows, const Shape2& s, const void* weights) {
      return ours(rows, s, weights,
                  cuda::plan_gemm(rows, s.n, s.k, multiprocessors(), batch_invariant));
    };
  }
  // What the ops choose: matmul_gated for a gate and an up projection, or matmul and
  // gated_activation.
  Multiply ops(bool gated) {
    return [=, this](int64_t rows, const Shape2& s, const void* weights) {
      const TensorView x = columns(x_, rows, s.k);
      const PackedMatrix matrix = borrowed(weights, s.n, s.k);
      const TensorView whole(out_.view().raw(), dtype_, Shape{rows, s.n}, kGpu);
      if (!s.gated) {
        matmul(ctx_, x, matrix, {}, whole);
      } else if (gated) {
        matmul_gated(ctx_, x, matrix, {}, Activation::kSilu, gate_product(rows, s));
      } else {
        matmul(ctx_, x, matrix, {}, whole);
        gated_activation(ctx_, whole, Activation::kSilu, gate_product(rows, s));
      }
      return true;
    };
  }
  // Ours or cuBLASLt's products; matmul_gated for a gate and an up projection, or, with cuBLASLt
  // and without `gated`, gated_activation behind them.
  Multiply beside_activation(const Multiply& products, bool gated) {
    return [=, this](int64_t rows, const Shape2& s, const void* weights) {
      if (!s.gated) return products(rows, s, weights);
      if (gated) return ops(true)(rows, s, weights);
      if (!products(rows, s, weights)) return false;
      const TensorView whole(out_.view().raw(), dtype_, Shape{rows, s.n}, kGpu);
      gated_activation(ctx_, whole, Activation::kSilu, gate_product(rows, s));
      return true;
    };
  }
  Multiply library() {
    return [this](int64_t rows, const Shape2& s, const void* weights) {
      return stream_.state<cuda::CublasLt>().multiply({.dtype = dtype_,
                                                       .x = x_.view().raw(),
                                                       .weights = weights,
                                                       .out = out_.view().raw(),
                                                       .x_stride = kMostColumns,
                                                       .out_stride = s.n,
                                                       .rows = rows,
                                                       .n = s.n,
                                                       .k = s.k,
                                                       .f32 = false,
                                                       .add = false},
                                                      workspace_.view().raw(), stream_.handle());
    };
  }

 private:
  static TensorView columns(const Tensor& tensor, int64_t rows, int64_t count) {
    return tensor.view().rows(0, rows).columns(0, count);
  }
  TensorView gate_product(int64_t rows, const Shape2& s) {
    return TensorView(product_.view().raw(), dtype_, Shape{rows, s.n / 2}, kGpu);
  }
  PackedMatrix borrowed(const void* weights, int64_t n, int64_t k) {
    const TensorView view(const_cast<void*>(weights), dtype_, Shape{n, k}, kGpu);
    return row_major_matrix(Tensor(view, pool_.owner()));
  }

  static constexpr int64_t kMostRows = 8192, kMostColumns = 14336, kMostOut = int64_t{8192} * 28672;

  // Median of graph replays of what `issue` issues.
  double seconds_of(const std::function<bool()>& issue) {
    if (!issue()) return 0;  // loads modules, chooses algorithms
    stream_.synchronize();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    CUDA_CHECK(cudaStreamBeginCapture(stream_.handle(), cudaStreamCaptureModeThreadLocal));
    issue();
    CUDA_CHECK(cudaStreamEndCapture(stream_.handle(), &graph));
    CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
    cudaEvent_t begin, end;
    CUDA_CHECK(cudaEventCreate(&begin));
    CUDA_CHECK(cudaEventCreate(&end));
    std::vector<float> times;
    for (int run = 0; run < 8; ++run) {
      CUDA_CHECK(cudaEventRecord(begin, stream_.handle()));
      CUDA_CHECK(cudaGraphLaunch(exec, stream_.handle()));
      CUDA_CHECK(cudaEventRecord(end, stream_.handle()));
      CUDA_CHECK(cudaEventSynchronize(end));
      float milliseconds = 0;
      CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
      if (run > 0) times.push_back(milliseconds);
    }
    CUDA_CHECK(cudaEventDestroy(begin));
    CUDA_CHECK(cudaEventDestroy(end));
    CUDA_CHECK(cudaGraphExecDestroy(exec));
    CUDA_CHECK(cudaGraphDestroy(graph));
    std::sort(times.begin(), times.end());
    return times[times.size() / 2] * 1e-3;
  }

  std::unique_ptr<Stream> owner_;
  cuda::CudaStream& stream_;
  Arena scratch_;
  Ctx ctx_;
  DType dtype_;
  Pool pool_;
  Tensor x_, out_, product_, workspace_;
};

struct Options {
  std::string mode = "shapes", only;
  DType dtype = DType::kBF16;
  std::vector<int64_t> rows;
};

std::vector<int64_t> row_counts(const Options& options, std::vector<int64_t> otherwise) {
  return options.rows.empty() ? otherwise : options.rows;
}

bool wanted(const Options& options, const char* name) {
  return std::string(name).find(options.only) != std::string::npos;
}

std::string plan_name(const cuda::GemmPlan& plan) {
  return std::to_string(plan.tile_n) + "x" + std::to_string(plan.tile_t) + " /" +
         std::to_string(plan.split) + " m" + std::to_string(plan.multicast);
}

void bench_shapes(Bench& bench, const Options& options) {
  std::printf(
      "| layer | n x k | rows | plan | us | GB/s | of read | TFLOP/s | of peak | cuBLASLt us | "
      "ours / it |\n"
      "|---|---|---:|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const Shape2& s : kShapes) {
    if (!wanted(options, s.name)) continue;
    for (int64_t rows : row_counts(options, {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048, 8192})) {
      if (s.n > 32000 && rows > 256) continue;
      const double ours = bench.seconds_each(rows, s, bench.planned(false));
      const double theirs = bench.seconds_each(rows, s, bench.library());
      const double bytes = 2.0 * static_cast<double>(s.n * s.k + rows * (s.n + s.k));
      const double flops = 2.0 * static_cast<double>(rows * s.n * s.k);
      std::printf(
          "| %s | %lldx%lld | %lld | %s | %.1f | %.0f | %.0f%% | %.0f | %.0f%% | %.1f | %.2f |\n",
          s.name, static_cast<long long>(s.n), static_cast<long long>(s.k),
          static_cast<long long>(rows),
          plan_name(cuda::plan_gemm(rows, s.n, s.k, bench.multiprocessors(), false)).c_str(),
          ours * 1e6, bytes / ours * 1e-9, 100 * bytes / ours / kReadBytesPerSecond,
          flops / ours * 1e-12, 100 * flops / ours / kFlops, theirs * 1e6,
          theirs > 0 ? ours / theirs : 0.0);
      std::fflush(stdout);
    }
  }
}

void bench_models(Bench& bench, const Options& options) {
  std::printf(
      "| linear layers of | rows | ms | of read | of peak | cuBLASLt ms | batch-invariant ms |\n"
      "|---|---:|---:|---:|---:|---:|---:|\n");
  for (const Model& model : kModels) {
    if (!wanted(options, model.name)) continue;
    double weights = static_cast<double>(model.head.n * model.head.k);
    for (const Shape2& s : model.layer) weights += static_cast<double>(model.layers * s.n * s.k);
    for (int64_t rows : row_counts(options, {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048, 8192})) {
      const double ours = bench.seconds_of_model(rows, model, bench.planned(false));
      const double theirs = bench.seconds_of_model(rows, model, bench.library());
      const double fixed = bench.seconds_of_model(rows, model, bench.planned(true));
      std::printf(
          "| %s | %lld | %.3f | %.0f%% | %.0f%% | %.3f | %.3f |\n", model.name,
          static_cast<long long>(rows), ours * 1e3, 100 * 2 * weights / ours / kReadBytesPerSecond,
          100 * 2 * weights * static_cast<double>(rows) / ours / kFlops, theirs * 1e3, fixed * 1e3);
      std::fflush(stdout);
    }
  }
}

void bench_steps(Bench& bench, const Options& options) {
  std::printf(
      "| layers and activation of | rows | ops ms | matmul + gated_activation | "
      "ours + matmul_gated | cuBLASLt + matmul_gated | cuBLASLt + gated_activation |\n"
      "|---|---:|---:|---:|---:|---:|---:|\n");
  for (const Model& model : kModels) {
    if (!wanted(options, model.name)) continue;
    for (int64_t rows : row_counts(options, {1, 2, 4, 8, 16, 32, 64, 128, 256})) {
      std::printf("| %s | %lld |", model.name, static_cast<long long>(rows));
      for (const Bench::Multiply& multiply :
           {bench.ops(true), bench.ops(false), bench.beside_activation(bench.planned(false), true),
            bench.beside_activation(bench.library(), true),
            bench.beside_activation(bench.library(), false)}) {
        std::printf(" %.3f |", bench.seconds_of_model(rows, model, multiply) * 1e3);
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
}

void bench_plans(Bench& bench, const Options& options) {
  std::printf("| layer | rows | cuBLASLt us | plans: us, fastest first |\n|---|---:|---:|---|\n");
  for (const Shape2& s : kShapes) {
    if (!wanted(options, s.name)) continue;
    for (int64_t rows : row_counts(options, {1, 16, 64, 256, 2048})) {
      std::vector<std::pair<double, std::string>> times;
      for (const cuda::GemmTile& tile : cuda::kGemmSm90Tiles) {
        const bool fits = tile.t < 128 ? rows <= tile.t && 2 * rows > tile.t : rows > 32;
        if (!fits && !(tile.t == 8 && rows <= 8)) continue;
        for (const auto& [split, multicast] :
             {std::pair{1, 1}, {2, 1}, {4, 1}, {8, 1}, {1, 2}, {1, 4}}) {
          if ((rows > 512 || tile.n > 128 || s.gated) && split > 1) continue;
          if (tile.n < 128 && split > 4) continue;
          if (tile.t < 64 && multicast > 1) continue;
          const cuda::GemmPlan plan{tile.n, tile.t, split, multicast};
          const auto multiply = [&](int64_t t, const Shape2& shape, const void* w) {
            return bench.ours(t, shape, w, plan, shape.gated);
          };
          times.emplace_back(bench.seconds_each(rows, s, multiply), plan_name(plan));
        }
      }
      std::sort(times.begin(), times.end());
      std::printf("| %s | %lld | %.1f |", s.name, static_cast<long long>(rows),
                  bench.seconds_each(rows, s, bench.library()) * 1e6);
      for (size_t i = 0; i < std::min<size_t>(times.size(), 6); ++i) {
        std::printf(" %s: %.1f;", times[i].second.c_str(), times[i].first * 1e6);
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
}

Options parse(int argc, char** argv) {
  Options options;
  if (argc > 1) options.mode = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--dtype") options.dtype = value == "f16" ? DType::kF16 : DType::kBF16;
    if (flag == "--only") options.only = value;
    if (flag == "--rows") {
      for (size_t at = 0; at < value.size();
           at = value.find(',', at) == std::string::npos ? value.size() : value.find(',', at) + 1) {
        options.rows.push_back(std::atoll(value.c_str() + at));
      }
    }
  }
  return options;
}

}  // namespace
}  // namespace lmdeploy

int main(int argc, char** argv) {
  using namespace lmdeploy;
  const Options options = parse(argc, argv);
  Result<std::unique_ptr<Stream>> stream = make_stream(kGpu, 0, {});
  if (!stream.ok()) {
    std::fprintf(stderr, "%s\n", stream.status().message().c_str());
    return 1;
  }
  if (!static_cast<cuda::CudaStream&>(**stream).hopper()) {
    std::fprintf(stderr, "this benchmark is of the Hopper kernel (compute capability 9.0)\n");
    return 1;
  }
  Bench bench(std::move(*stream), options.dtype);
  std::printf("%s; cuBLASLt %s; limits %.2f TB/s, %.0f TFLOP/s\n\n", dtype_name(options.dtype),
              bench.has_library() ? "found" : "not found", kReadBytesPerSecond * 1e-12,
              kFlops * 1e-12);
  if (options.mode == "plans") {
    bench_plans(bench, options);
  } else if (options.mode == "steps") {
    bench_steps(bench, options);
  } else if (options.mode == "models") {
    bench_models(bench, options);
  } else {
    bench_shapes(bench, options);
  }
  return 0;
}
