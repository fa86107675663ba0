// The CUDA products against the plain CPU op on the same rounded inputs.
#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/gemm_plan.h"
#include "kernels/cuda/gemm_sm90.h"
#include "kernels/gated_activation.h"
#include "kernels/matmul_gated.h"
#include "tensor/cuda/stream.h"
#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

using cuda::GemmPlan;

constexpr double kWeightSize = 0.05;

// A product's inputs, rounded to `dtype`, on both devices, and the plain op's result for all rows.
struct Case {
  Case(DType dtype, int64_t rows, int64_t n, int64_t k, bool with_bias = false,
       bool with_residual = false)
      : dtype(dtype),
        rows(rows),
        n(n),
        k(k),
        x(test::rounded(test::normal_tensor(Shape{rows, k}, 1), dtype)),
        weight(test::rounded(test::normal_tensor(Shape{n, k}, 2, kWeightSize), dtype)),
        want(Shape{rows, n}, DType::kF32) {
    if (with_bias) bias = test::normal_tensor(Shape{n}, 3, 3);
    if (with_residual) residual = test::rounded(test::normal_tensor(Shape{rows, n}, 4, 4), dtype);
    test::CpuRun cpu(0, CpuIsa::detect().name());
    const Tensor weight_f32 = test::as_f32(weight), x_f32 = test::as_f32(x);
    const RowSource source{
        DType::kF32, n, k, weight_f32.data<std::byte>(), static_cast<size_t>(k) * sizeof(float),
        {}};
    const PackedMatrix packed = pack_matrix({&source, 1}, DType::kF32);
    if (with_residual) want = test::as_f32(residual);
    matmul(cpu.ctx, x_f32, packed, bias.view(), want,
           with_residual ? MatmulEpilogue::kAdd : MatmulEpilogue::kStore);
    gpu_weight = row_major_matrix(test::to_gpu(weight));
    if (with_bias) gpu_bias = test::to_gpu(bias);
  }

  DType dtype;
  int64_t rows, n, k;
  Tensor x, weight, bias, residual, want, gpu_bias;
  PackedMatrix gpu_weight;
};

// `rows` rows of a host tensor, `stride` elements apart, on the GPU; NaN between them.
Tensor strided_on_gpu(const Tensor& from, int64_t rows, int64_t columns, int64_t stride,
                      DType dtype) {
  Tensor host(Shape{rows, stride}, dtype);
  std::memset(host.data<char>(), 0xFF, host.bytes());
  const auto bytes = static_cast<size_t>(dtype_bytes(dtype, columns));
  for (int64_t r = 0; r < rows && !from.empty(); ++r) {
    std::memcpy(host.view().row<std::byte>(0) + dtype_bytes(dtype, r * stride),
                from.data<std::byte>() + dtype_bytes(dtype, r * columns), bytes);
  }
  return test::to_gpu(host);
}

struct Layout {
  int64_t x_padding = 0, out_padding = 0;
  bool f32_out = false;
};

// out[rows, n + padding] after the product of the case's first `rows` rows.
Tensor multiply(test::CudaRun& gpu, const Case& c, int64_t rows, const Layout& layout,
                bool batch_invariant = false) {
  const DType out_type = layout.f32_out ? DType::kF32 : c.dtype;
  const Tensor residual = c.residual.empty() ? Tensor()
                          : layout.f32_out   ? test::as_f32(c.residual)
                                             : test::rounded(test::as_f32(c.residual), c.dtype);
  const Tensor x = strided_on_gpu(c.x, rows, c.k, c.k + layout.x_padding, c.dtype);
  const Tensor out = strided_on_gpu(residual, rows, c.n, c.n + layout.out_padding, out_type);
  Ctx ctx = gpu.ctx();
  ctx.batch_invariant = batch_invariant;
  matmul(ctx, x.view().columns(0, c.k), c.gpu_weight, c.gpu_bias.view(), out.view().columns(0, c.n),
         c.residual.empty() ? MatmulEpilogue::kStore : MatmulEpilogue::kAdd);
  gpu.stream().synchronize();
  return test::to_host(out);
}

// Twice the rounding of the result, and what fp32 sums of k products cost.
double allowed(const Case& c, double want, DType out_type) {
  const double rounding = out_type == DType::kF32   ? 0x1p-23
                          : out_type == DType::kF16 ? 0x1p-11
                                                    : 0x1p-8;
  return 2 * rounding * std::fabs(want) + 4e-7 * kWeightSize * static_cast<double>(c.k);
}

void expect_rows(const Tensor& got, const Case& c, int64_t rows, const std::string& what) {
  const int64_t stride = got.shape()[1];
  int wrong = 0;
  for (int64_t t = 0; t < rows && wrong < 3; ++t) {
    for (int64_t n = 0; n < stride && wrong < 3; ++n) {
      const double value = test::element(got, t * stride + n);
      const bool gap = n >= c.n;
      const double want = gap ? NAN : c.want.data<float>()[t * c.n + n];
      const bool right =
          gap ? std::isnan(value) : std::fabs(value - want) <= allowed(c, want, got.dtype());
      if (right) continue;
      ++wrong;
      ADD_FAILURE() << what << ": row " << t << " column " << n << " is " << value << ", expected "
                    << want;
    }
  }
}

std::string name_of(const Case& c, int64_t rows) {
  return std::string(dtype_name(c.dtype)) + " T " + std::to_string(rows) + " n " +
         std::to_string(c.n) + " k " + std::to_string(c.k);
}

std::vector<int64_t> many_row_counts() {
  std::vector<int64_t> counts;
  for (int64_t rows = 1; rows <= 17; ++rows) counts.push_back(rows);
  for (int64_t rows : {31, 32, 33, 64, 65, 127, 128, 129, 200, 512}) counts.push_back(rows);
  return counts;
}

class CudaMatmul : public testing::TestWithParam<DType> {};

TEST_P(CudaMatmul, EveryNumberOfRows) {
  test::CudaRun gpu;
  const int64_t shapes[][2] = {{576, 576}, {1000, 1536}, {136, 4096}, {9, 64}, {72, 8}};
  for (const auto& [n, k] : shapes) {
    const Case c(GetParam(), 512, n, k);
    for (int64_t rows : many_row_counts()) {
      expect_rows(multiply(gpu, c, rows, {}), c, rows, name_of(c, rows));
    }
  }
}

TEST_P(CudaMatmul, AwkwardSizes) {
  test::CudaRun gpu;
  const int64_t shapes[][2] = {{32003, 576}, {100, 100}, {577, 33}, {1, 1}};
  for (const auto& [n, k] : shapes) {
    const Case c(GetParam(), 150, n, k);
    for (int64_t rows : {1, 5, 16, 33, 150}) {
      expect_rows(multiply(gpu, c, rows, {}), c, rows, name_of(c, rows));
      expect_rows(multiply(gpu, c, rows, {.f32_out = true}), c, rows, name_of(c, rows) + " f32");
    }
  }
}

TEST_P(CudaMatmul, StridedRowsBiasAndResidual) {
  test::CudaRun gpu;
  for (int64_t n : {576, 333}) {
    const Case plain(GetParam(), 140, n, 1024), biased(GetParam(), 140, n, 1024, true),
        added(GetParam(), 140, n, 1024, true, true);
    for (const Case* c : {&plain, &biased, &added}) {
      for (int64_t rows : {1, 7, 16, 40, 140}) {
        for (const Layout& layout :
             {Layout{8, 16, false}, Layout{3, 5, false}, Layout{64, 4, true}}) {
          expect_rows(multiply(gpu, *c, rows, layout), *c, rows, name_of(*c, rows) + " strided");
        }
      }
    }
  }
}

TEST_P(CudaMatmul, BatchInvariantRowsKeepTheirBits) {
  test::CudaRun gpu;
  const int64_t shapes[][2] = {{4096, 1024}, {576, 1536}, {200, 4096}};
  for (const auto& [n, k] : shapes) {
    const Case c(GetParam(), 300, n, k);
    const Tensor all = multiply(gpu, c, 300, {}, true);
    expect_rows(all, c, 300, name_of(c, 300));
    for (int64_t rows : {1, 2, 7, 8, 9, 16, 17, 33, 64, 65, 128, 129, 257}) {
      const Tensor some = multiply(gpu, c, rows, {}, true);
      EXPECT_EQ(std::memcmp(some.data<char>(), all.data<char>(), some.bytes()), 0)
          << name_of(c, rows);
    }
  }
}

TEST_P(CudaMatmul, ARunRepeatsToTheBit) {
  test::CudaRun gpu;
  const Case c(GetParam(), 64, 4096, 4096);
  for (int64_t rows : {1, 16, 64}) {
    const Tensor first = multiply(gpu, c, rows, {});
    for (int run = 0; run < 5; ++run) {
      const Tensor again = multiply(gpu, c, rows, {});
      EXPECT_EQ(std::memcmp(first.data<char>(), again.data<char>(), first.bytes()), 0)
          << name_of(c, rows);
    }
  }
}

// Products that read each other's results, in one graph, give what they give one at a time: no
// kernel reads its input before the kernel before it is done.
TEST_P(CudaMatmul, ChainsInAGraph) {
  test::CudaRun gpu;
  auto& stream = static_cast<cuda::CudaStream&>(gpu.stream());
  for (int64_t rows : {1, 12, 64, 192}) {
    const Case c(GetParam(), rows, 1024, 1024);
    const Tensor x = test::to_gpu(c.x);
    Tensor a(Shape{rows, 1024}, c.dtype, test::CudaRun::kDevice),
        b(Shape{rows, 1024}, c.dtype, test::CudaRun::kDevice);
    constexpr int kLength = 24;
    const auto chain = [&](bool waits) {
      Ctx ctx = gpu.ctx();
      matmul(ctx, x, c.gpu_weight, {}, a);
      for (int i = 0; i < kLength; ++i) {
        matmul(ctx, i % 2 == 0 ? a : b, c.gpu_weight, {}, i % 2 == 0 ? b : a);
        if (waits) gpu.stream().synchronize();
      }
      matmul(ctx, x, c.gpu_weight, {}, a, MatmulEpilogue::kAdd);
    };
    chain(true);
    gpu.stream().synchronize();
    const Tensor want = test::to_host(a);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    CUDA_CHECK(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal));
    chain(false);
    CUDA_CHECK(cudaStreamEndCapture(stream.handle(), &graph));
    CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
    for (int run = 0; run < 3; ++run) {
      CUDA_CHECK(cudaGraphLaunch(exec, stream.handle()));
      gpu.stream().synchronize();
      const Tensor got = test::to_host(a);
      EXPECT_EQ(std::memcmp(want.data<char>(), got.data<char>(), want.bytes()), 0)
          << dtype_name(c.dtype) << " T " << rows << " run " << run;
    }
    CUDA_CHECK(cudaGraphExecDestroy(exec));
    CUDA_CHECK(cudaGraphDestroy(graph));
  }
}

// A gated product of random inputs: the CPU's f32 products of gate and up, and their result.
struct GatedCase : Case {
  GatedCase(DType dtype, int64_t rows, int64_t size, int64_t k, Activation activation,
            bool with_bias = false)
      : Case(dtype, rows, 2 * size, k, with_bias),
        size(size),
        activation(activation),
        product(Shape{rows, size}, DType::kF32) {
    test::CpuRun cpu(0, CpuIsa::detect().name());
    gated_activation(cpu.ctx, want, activation, product);
  }

  // What rounding gate and up in between may cost, and fp32 sums; all activations have slopes below
  // 1.2.
  double allowed_product(int64_t row, int64_t column, double rounding) const {
    const double gate = std::fabs(want.data<float>()[row * n + column]);
    const double up = std::fabs(want.data<float>()[row * n + size + column]);
    const double sums = 4e-7 * kWeightSize * static_cast<double>(k);
    return rounding * gate * up + 2 * sums * (1 + gate + up);
  }

  int64_t size;
  Activation activation;
  Tensor product;
};

double unit_of(DType dtype) {
  return dtype == DType::kF32 ? 0x1p-20 : dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
}

// got [rows, size + padding]: NaN behind each row's end.
void expect_gated(const Tensor& got, const GatedCase& c, int64_t rows, double rounding,
                  const std::string& what) {
  const int64_t stride = got.shape()[1];
  int wrong = 0;
  for (int64_t i = 0; i < rows * stride && wrong < 3; ++i) {
    const int64_t row = i / stride, column = i % stride;
    const double value = test::element(got, i);
    const bool gap = column >= c.size;
    const double expected = gap ? NAN : c.product.data<float>()[row * c.size + column];
    if (gap ? std::isnan(value)
            : std::fabs(value - expected) <= c.allowed_product(row, column, rounding)) {
      continue;
    }
    ++wrong;
    ADD_FAILURE() << what << ": row " << row << " column " << column << " is " << value
                  << ", expected " << expected;
  }
}

Tensor multiply_gated(test::CudaRun& gpu, const GatedCase& c, int64_t rows, int64_t x_padding,
                      int64_t out_padding, bool batch_invariant) {
  const Tensor x = strided_on_gpu(c.x, rows, c.k, c.k + x_padding, c.dtype);
  const Tensor out = strided_on_gpu({}, rows, c.size, c.size + out_padding, c.dtype);
  Ctx ctx = gpu.ctx();
  ctx.batch_invariant = batch_invariant;
  matmul_gated(ctx, x.view().columns(0, c.k), c.gpu_weight, c.gpu_bias.view(), c.activation,
               out.view().columns(0, c.size));
  gpu.stream().synchronize();
  return test::to_host(out);
}

// Shapes of one kernel with wide and narrow tiles, of a split of k, of no whole vectors.
constexpr int64_t kGatedShapes[][2] = {{5640, 200}, {2900, 512}, {100, 256}, {72, 1024}, {37, 33}};

TEST_P(CudaMatmul, GatedProductsOfEveryNumberOfRows) {
  test::CudaRun gpu;
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    for (const auto& [size, k] : kGatedShapes) {
      if (activation == Activation::kGelu && size > 100) continue;
      const GatedCase c(GetParam(), 300, size, k, activation);
      for (int64_t rows : {1, 3, 8, 9, 16, 17, 32, 33, 64, 65, 100, 128, 129, 300}) {
        expect_gated(multiply_gated(gpu, c, rows, 0, 0, false), c, rows, 3 * unit_of(c.dtype),
                     name_of(c, rows));
      }
      for (int64_t rows : {1, 40}) {
        expect_gated(multiply_gated(gpu, c, rows, 8, 16, false), c, rows, 3 * unit_of(c.dtype),
                     name_of(c, rows) + " strided");
        expect_gated(multiply_gated(gpu, c, rows, 3, 5, false), c, rows, 3 * unit_of(c.dtype),
                     name_of(c, rows) + " not aligned");
      }
    }
  }
  const GatedCase biased(GetParam(), 40, 100, 256, Activation::kSilu, true);
  for (int64_t rows : {1, 40}) {
    expect_gated(multiply_gated(gpu, biased, rows, 0, 0, false), biased, rows,
                 3 * unit_of(biased.dtype), name_of(biased, rows) + " biased");
  }
}

TEST_P(CudaMatmul, BatchInvariantGatedRowsKeepTheirBits) {
  test::CudaRun gpu;
  for (const auto& [size, k] : kGatedShapes) {
    const GatedCase c(GetParam(), 300, size, k, Activation::kSilu);
    const Tensor all = multiply_gated(gpu, c, 300, 0, 0, true);
    expect_gated(all, c, 300, 3 * unit_of(c.dtype), name_of(c, 300));
    for (int64_t rows : {1, 8, 17, 64, 65, 128, 129}) {
      const Tensor some = multiply_gated(gpu, c, rows, 0, 0, true);
      EXPECT_EQ(std::memcmp(some.data<char>(), all.data<char>(), some.bytes()), 0)
          << name_of(c, rows);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaMatmul, testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return dtype_name(info.param); });

// Every tile of the Hopper kernel with every way to share it.
TEST(CudaMatmulPlans, EveryPlanIsRight) {
  test::CudaRun gpu;
  auto& stream = static_cast<cuda::CudaStream&>(gpu.stream());
  if (!stream.hopper()) GTEST_SKIP() << "not a Hopper GPU, or LMDEPLOY_CUDA_PATH=portable";
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    const Case c(dtype, 300, 1100, 1480);
    const Tensor x = test::to_gpu(c.x);
    for (const cuda::GemmTile& tile : cuda::kGemmSm90Tiles) {
      for (const auto& [split, multicast] :
           {std::pair{1, 1}, {2, 1}, {4, 1}, {8, 1}, {1, 2}, {1, 4}}) {
        if (tile.t / multicast < 8 || (tile.n > 128 && split > 1) || (tile.n < 128 && split > 4))
          continue;
        for (int64_t rows : {1, 29, 300}) {
          const Tensor out = strided_on_gpu({}, rows, c.n, c.n + 4, dtype);
          const cuda::GemmLaunch gemm{.x = x.view().raw(),
                                      .weights = c.gpu_weight.storage.view().raw(),
                                      .x_stride = c.k,
                                      .k = c.k,
                                      .output = {.out = out.view().raw(),
                                                 .stride = c.n + 4,
                                                 .bias = nullptr,
                                                 .rows = rows,
                                                 .n = static_cast<int>(c.n),
                                                 .add = false,
                                                 .f32 = false,
                                                 .vectors = true}};
          const GemmPlan plan{tile.n, tile.t, split, multicast};
          CUDA_CHECK(cuda::launch_matmul_sm90(
              gemm, dtype, plan, stream.properties().multiprocessors, stream.handle()));
          stream.synchronize();
          expect_rows(test::to_host(out), c, rows,
                      name_of(c, rows) + " tile " + std::to_string(tile.n) + "x" +
                          std::to_string(tile.t) + " split " + std::to_string(split) +
                          " multicast " + std::to_string(multicast));
        }
      }
    }
  }
}

// Every tile of a gated product; one rounding, of the result.
TEST(CudaMatmulPlans, EveryGatedPlanIsRight) {
  test::CudaRun gpu;
  auto& stream = static_cast<cuda::CudaStream&>(gpu.stream());
  if (!stream.hopper()) GTEST_SKIP() << "not a Hopper GPU, or LMDEPLOY_CUDA_PATH=portable";
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    const GatedCase c(dtype, 300, 556, 1480, Activation::kGeluTanh);
    const Tensor x = test::to_gpu(c.x);
    for (const cuda::GemmTile& tile : cuda::kGemmSm90Tiles) {
      for (int multicast : {1, 2, 4}) {
        if (tile.t / multicast < 8) continue;
        for (int64_t rows : {1, 29, 300}) {
          const Tensor out = strided_on_gpu({}, rows, c.size, c.size + 4, dtype);
          const cuda::GemmLaunch gemm{.x = x.view().raw(),
                                      .weights = c.gpu_weight.storage.view().raw(),
                                      .x_stride = c.k,
                                      .k = c.k,
                                      .output = {.out = out.view().raw(),
                                                 .stride = c.size + 4,
                                                 .bias = nullptr,
                                                 .rows = rows,
                                                 .n = static_cast<int>(c.size),
                                                 .add = false,
                                                 .f32 = false,
                                                 .vectors = true}};
          CUDA_CHECK(cuda::launch_matmul_sm90(gemm, dtype, {tile.n, tile.t, 1, multicast},
                                              stream.properties().multiprocessors, stream.handle(),
                                              {.on = true, .activation = c.activation}));
          stream.synchronize();
          expect_gated(test::to_host(out), c, rows, 1.05 * unit_of(dtype),
                       name_of(c, rows) + " tile " + std::to_string(tile.n) + "x" +
                           std::to_string(tile.t) + " multicast " + std::to_string(multicast));
        }
      }
    }
  }
}

TEST(CudaMatmulPlans, BlocksFillTheMemoryBus) {
  for (int64_t n : {2048, 4096, 6144, 12288, 22016, 128256}) {
    for (int64_t rows : {1, 16, 64}) {
      const GemmPlan plan = cuda::plan_gemm(rows, n, 4096, 132, false);
      EXPECT_GE((n + plan.tile_n - 1) / plan.tile_n * plan.split, 52) << n << " " << rows;
    }
  }
  EXPECT_EQ(cuda::plan_gemm(3, 64, 64, 132, false).split, 1);
}

// 33 to 64 rows on 132 multiprocessors: one tile a block where that is possible.
TEST(CudaMatmulPlans, MediumTilesAreSharedEvenly) {
  EXPECT_EQ(cuda::plan_gemm(64, 4096, 4096, 132, false), (GemmPlan{64, 64, 2, 1}));
  EXPECT_EQ(cuda::plan_gemm(64, 6144, 4096, 132, false), (GemmPlan{64, 64, 1, 1}));
  EXPECT_EQ(cuda::plan_gemm(64, 12288, 4096, 132, false), (GemmPlan{128, 64, 1, 1}));
  EXPECT_EQ(cuda::plan_gemm(33, 22016, 4096, 132, false), (GemmPlan{256, 64, 1, 1}));
  EXPECT_EQ(cuda::plan_gemm(64, 28672, 4096, 132, true), (GemmPlan{256, 64, 1, 1}));
}

TEST(CudaMatmulPlans, BatchInvariantSplitsDependOnTheWeightsAlone) {
  for (int64_t n : {512, 2048, 4096, 6144, 128256}) {
    const int split = cuda::plan_gemm(1, n, 4096, 132, true).split;
    for (int64_t rows : {2, 16, 33, 64, 500, 8000}) {
      EXPECT_EQ(cuda::plan_gemm(rows, n, 4096, 132, true).split, split) << n << " " << rows;
    }
  }
}

}  // namespace
}  // namespace lmdeploy
