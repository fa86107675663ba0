// The CUDA experts against the CPU op on the same rounded inputs, on the Hopper, the portable and
// the plain path.
#include "kernels/moe_mlp.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "tensor/cuda/stream.h"
#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

// Experts on both devices, their values rounded to `dtype`.
struct Experts {
  Experts(DType dtype, int experts, int64_t hidden, int64_t size, bool with_bias)
      : gate_up{experts, 2 * size, hidden, {}}, down{experts, hidden, size, {}} {
    gpu_gate_up = gate_up_like(gate_up);
    gpu_down = gate_up_like(down);
    fill(dtype, 1, 1.5 / std::sqrt(static_cast<double>(hidden)), gate_up, gpu_gate_up);
    fill(dtype, 2, 1.5 / std::sqrt(static_cast<double>(size)), down, gpu_down);
    if (!with_bias) return;
    gate_up_bias = test::normal_tensor(Shape{experts, 2 * size}, 5, 2);
    down_bias = test::normal_tensor(Shape{experts, hidden}, 6);
    gpu_gate_up_bias = test::to_gpu(gate_up_bias);
    gpu_down_bias = test::to_gpu(down_bias);
  }
  MoeExperts on_cpu(Activation activation) const {
    return {gate_up, down, gate_up_bias.view(), down_bias.view(), activation};
  }
  MoeExperts on_gpu(Activation activation) const {
    return {gpu_gate_up, gpu_down, gpu_gate_up_bias.view(), gpu_down_bias.view(), activation};
  }

  ExpertMatrices gate_up, down, gpu_gate_up, gpu_down;
  Tensor gate_up_bias, down_bias, gpu_gate_up_bias, gpu_down_bias;

 private:
  static ExpertMatrices gate_up_like(const ExpertMatrices& other) {
    return {other.experts, other.n, other.k, {}};
  }
  static void fill(DType dtype, uint64_t key, double stddev, ExpertMatrices& cpu,
                   ExpertMatrices& gpu) {
    const Shape shape{cpu.experts * cpu.n, cpu.k};
    const Tensor values = test::rounded(test::normal_tensor(shape, key, stddev), dtype);
    const Tensor f32 = test::as_f32(values);
    const auto row_bytes = static_cast<size_t>(cpu.k) * sizeof(float);
    for (int e = 0; e < cpu.experts; ++e) {
      const RowSource source{DType::kF32,
                             cpu.n,
                             cpu.k,
                             f32.view().row<std::byte>(0) +
                                 static_cast<size_t>(e) * static_cast<size_t>(cpu.n) * row_bytes,
                             row_bytes,
                             {}};
      cpu.parts.push_back(pack_matrix({&source, 1}, DType::kF32));
    }
    gpu.parts.push_back(row_major_matrix(test::to_gpu(values)));
  }
};

using Ids = std::function<int32_t(int64_t token, int choice)>;

struct Inputs {
  Inputs(DType dtype, int64_t tokens, int top_k, int64_t hidden, const Ids& id)
      : x(test::rounded(test::normal_tensor(Shape{tokens, hidden}, 7), dtype)),
        ids(Shape{tokens, top_k}, DType::kI32),
        weights(test::normal_tensor(Shape{tokens, top_k}, 8)) {
    for (int64_t t = 0; t < tokens; ++t) {
      for (int k = 0; k < top_k; ++k) ids.view().row<int32_t>(t)[k] = id(t, k);
    }
  }
  Tensor x, ids, weights;
};

// Different experts a token; of `experts`, those that are a multiple of 3 plus 2 get none.
Ids spread(int experts) {
  return [experts](int64_t token, int choice) {
    const auto i = static_cast<int>((token * 5 + token / 7 + choice) % experts);
    return i % 3 == 2 ? (i + 1) % experts % 3 == 2 ? 0 : (i + 1) % experts : i;
  };
}

class CudaMoeMlp : public testing::TestWithParam<DType> {
 protected:
  Tensor run(test::CudaRun& gpu, const Experts& experts, const Inputs& inputs,
             Activation activation, const MoeShared& shared = {},
             const Tensor* residual = nullptr) {
    const Tensor x = test::to_gpu(inputs.x), ids = test::to_gpu(inputs.ids),
                 weights = test::to_gpu(inputs.weights);
    const Tensor out = residual != nullptr
                           ? test::to_gpu(*residual)
                           : Tensor(inputs.x.shape(), GetParam(), test::CudaRun::kDevice);
    gpu.arena().poison();
    Ctx ctx = gpu.ctx();
    moe_mlp(ctx, x, ids, weights, experts.on_gpu(activation), shared, out,
            residual != nullptr ? MatmulEpilogue::kAdd : MatmulEpilogue::kStore);
    gpu.stream().synchronize();
    return test::to_host(out);
  }
  Tensor expected(const Experts& experts, const Inputs& inputs, Activation activation) {
    Tensor want(inputs.x.shape(), DType::kF32);
    moe_mlp(cpu_.ctx, test::as_f32(inputs.x), inputs.ids, inputs.weights,
            experts.on_cpu(activation), {}, want, MatmulEpilogue::kStore);
    return want;
  }
  // Roundings of the products between (on the portable path of gate and up too) and of the result;
  // the largest of many.
  void expect_near(const Tensor& got, const Tensor& want, const std::string& what) {
    const double unit = GetParam() == DType::kF32   ? 4e-6
                        : GetParam() == DType::kF16 ? 0x1p-11
                                                    : 0x1p-8;
    double squares = 0;
    const int64_t count = want.shape().numel();
    for (int64_t i = 0; i < count; ++i) squares += std::pow(want.data<float>()[i], 2);
    const double typical = std::sqrt(squares / static_cast<double>(count));
    int wrong = 0;
    for (int64_t i = 0; i < count && wrong < 3; ++i) {
      const double expected = want.data<float>()[i], value = test::element(got, i);
      if (std::fabs(value - expected) <= 6 * unit * (std::fabs(expected) + 2 * typical)) continue;
      ++wrong;
      ADD_FAILURE() << what << ": element " << i << " is " << value << ", expected " << expected;
    }
  }
  test::CpuRun cpu_{0, CpuIsa::detect().name()};
};

struct Sizes {
  int experts;
  int64_t hidden, size;
};
// Whole tiles, parts of tiles, rows that are no whole vectors.
constexpr Sizes kSizes[] = {{8, 256, 512}, {7, 136, 200}, {33, 64, 96}, {3, 100, 36}};

TEST_P(CudaMoeMlp, EqualsTheCpuForEveryNumberOfTokens) {
  for (const char* path : {"", "portable"}) {
    setenv("LMDEPLOY_CUDA_PATH", path, 1);
    test::CudaRun gpu;
    for (const Sizes& sizes : kSizes) {
      for (bool with_bias : {false, true}) {
        const Experts experts(GetParam(), sizes.experts, sizes.hidden, sizes.size, with_bias);
        const Activation activation = with_bias ? Activation::kClampedSwiglu : Activation::kSilu;
        for (int64_t tokens : {1, 3, 16, 40, 150, 900}) {
          const int top_k = tokens == 3 ? 1 : 2;
          const Inputs inputs(GetParam(), tokens, top_k, sizes.hidden, spread(sizes.experts));
          expect_near(run(gpu, experts, inputs, activation), expected(experts, inputs, activation),
                      std::string(path) + " T " + std::to_string(tokens) + " experts " +
                          std::to_string(sizes.experts) + (with_bias ? " biased" : ""));
        }
      }
    }
  }
  unsetenv("LMDEPLOY_CUDA_PATH");
}

TEST_P(CudaMoeMlp, OneExpertMayGetEveryToken) {
  test::CudaRun gpu;
  const Experts experts(GetParam(), 8, 256, 512, false);
  for (int32_t hit : {0, 5, 7}) {
    for (int64_t tokens : {1, 33, 300}) {
      const Inputs inputs(GetParam(), tokens, 1, 256, [&](int64_t, int) { return hit; });
      expect_near(run(gpu, experts, inputs, Activation::kGeluTanh),
                  expected(experts, inputs, Activation::kGeluTanh), std::to_string(hit));
    }
  }
}

TEST_P(CudaMoeMlp, ARowHasTheSameBitsAloneAndInCompany) {
  test::CudaRun gpu;
  const Experts experts(GetParam(), 8, 256, 512, false);
  const Inputs all(GetParam(), 300, 2, 256, spread(8));
  const Tensor together = run(gpu, experts, all, Activation::kSilu);
  const size_t row_bytes = together.bytes() / 300;
  for (int64_t t = 0; t < 300; t += 23) {
    const Inputs alone(GetParam(), 1, 2, 256,
                       [&](int64_t, int k) { return all.ids.view().row<int32_t>(t)[k]; });
    std::memcpy(alone.x.data<char>(), all.x.data<char>() + static_cast<size_t>(t) * row_bytes,
                row_bytes);
    std::memcpy(alone.weights.data<float>(), all.weights.view().row<float>(t), 2 * sizeof(float));
    const Tensor row = run(gpu, experts, alone, Activation::kSilu);
    ASSERT_EQ(std::memcmp(row.data<char>(),
                          together.data<char>() + static_cast<size_t>(t) * row_bytes, row_bytes),
              0)
        << t;
  }
}

TEST_P(CudaMoeMlp, SharedRowsAndTheResidualJoinTheSum) {
  test::CudaRun gpu;
  const Experts experts(GetParam(), 8, 136, 200, false);
  const Inputs inputs(GetParam(), 19, 2, 136, spread(8));
  const Tensor shared = test::rounded(test::normal_tensor(inputs.x.shape(), 21), GetParam()),
               residual = test::rounded(test::normal_tensor(inputs.x.shape(), 22), GetParam()),
               gate = test::normal_tensor(Shape{19, 1}, 23, 2), gpu_shared = test::to_gpu(shared),
               gpu_gate = test::to_gpu(gate);
  for (bool gated : {false, true}) {
    Tensor want = test::as_f32(residual);
    moe_mlp(cpu_.ctx, test::as_f32(inputs.x), inputs.ids, inputs.weights,
            experts.on_cpu(Activation::kSilu),
            {test::as_f32(shared).view(), gated ? gate.view() : TensorView()}, want,
            MatmulEpilogue::kAdd);
    const MoeShared on_gpu{gpu_shared.view(), gated ? gpu_gate.view() : TensorView()};
    expect_near(run(gpu, experts, inputs, Activation::kSilu, on_gpu, &residual), want,
                gated ? "gated" : "plain");
  }
}

// The launches of a captured step serve every routing of as many tokens.
TEST_P(CudaMoeMlp, AGraphFollowsTheIdsOnTheDevice) {
  test::CudaRun gpu;
  auto& stream = static_cast<cuda::CudaStream&>(gpu.stream());
  const Experts experts(GetParam(), 8, 256, 512, false);
  for (int64_t tokens : {1, 9, 130}) {
    const Inputs first(GetParam(), tokens, 2, 256, spread(8));
    const Tensor x = test::to_gpu(first.x), ids = test::to_gpu(first.ids),
                 weights = test::to_gpu(first.weights);
    const Tensor out(first.x.shape(), GetParam(), test::CudaRun::kDevice);
    const auto issue = [&] {
      Ctx ctx = gpu.ctx();
      moe_mlp(ctx, x, ids, weights, experts.on_gpu(Activation::kSilu), {}, out,
              MatmulEpilogue::kStore);
    };
    issue();
    gpu.stream().synchronize();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    CUDA_CHECK(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal));
    issue();
    CUDA_CHECK(cudaStreamEndCapture(stream.handle(), &graph));
    CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
    for (int shift = 0; shift < 8; shift += 3) {
      const Inputs inputs(GetParam(), tokens, 2, 256, [&](int64_t t, int k) {
        return static_cast<int32_t>((t % (shift + 1) + shift + 4 * k) % 8);
      });
      device_copy(test::CudaRun::kDevice, ids.view().raw(), Device{}, inputs.ids.view().raw(),
                  inputs.ids.bytes());
      CUDA_CHECK(cudaGraphLaunch(exec, stream.handle()));
      gpu.stream().synchronize();
      expect_near(test::to_host(out), expected(experts, inputs, Activation::kSilu),
                  "shift " + std::to_string(shift));
    }
    CUDA_CHECK(cudaGraphExecDestroy(exec));
    CUDA_CHECK(cudaGraphDestroy(graph));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaMoeMlp, testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
