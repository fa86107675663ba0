// matmul_heads on a GPU against the CPU op on the same rounded inputs, on the Hopper, the portable and
// the plain path.
#include "kernels/matmul_heads.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/gemm_sm90.h"
#include "tensor/cuda/stream.h"
#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

constexpr double kWeightSize = 0.05;

struct Sizes {
  int heads;
  int64_t n, k, x_step, out_step;

  int64_t x_columns() const { return (heads - 1) * x_step + k; }
  int64_t out_columns() const { return (heads - 1) * out_step + n; }
};

// Inputs rounded to `dtype`, on both devices, and the CPU's result for all rows.
struct Case {
  Case(DType dtype, int64_t rows, const Sizes& sizes)
      : dtype(dtype),
        sizes(sizes),
        x(test::rounded(test::normal_tensor(Shape{rows, sizes.x_columns()}, 1), dtype)),
        want(Shape{rows, sizes.out_columns()}, DType::kF32),
        cpu{sizes.heads, sizes.n, sizes.k, {}},
        gpu{sizes.heads, sizes.n, sizes.k, {}} {
    const Tensor weight = test::rounded(
        test::normal_tensor(Shape{sizes.heads * sizes.n, sizes.k}, 2, kWeightSize), dtype);
    const Tensor f32 = test::as_f32(weight), x_f32 = test::as_f32(x);
    const auto row_bytes = static_cast<size_t>(sizes.k) * sizeof(float);
    for (int64_t h = 0; h < sizes.heads; ++h) {
      const RowSource source{DType::kF32, sizes.n, sizes.k,
                             reinterpret_cast<const std::byte*>(f32.view().row<float>(h * sizes.n)),
                             row_bytes, {}};
      cpu.parts.push_back(pack_matrix({&source, 1}, DType::kF32));
    }
    gpu.parts.push_back(row_major_matrix(test::to_gpu(weight)));
    std::fill_n(want.data<float>(), want.shape().numel(), NAN);
    test::CpuRun run(0, CpuIsa::detect().name());
    matmul_heads(run.ctx, x_f32, sizes.x_step, cpu, want, sizes.out_step);
  }

  DType dtype;
  Sizes sizes;
  Tensor x, want;
  HeadMatrices cpu, gpu;
};

void expect_rows(test::CudaRun& gpu, const Case& c, int64_t rows) {
  const Tensor x = test::to_gpu(c.x);
  Tensor poisoned(Shape{rows, c.sizes.out_columns()}, c.dtype);
  std::memset(poisoned.data<char>(), 0xFF, poisoned.bytes());
  const Tensor out = test::to_gpu(poisoned);
  Ctx ctx = gpu.ctx();
  matmul_heads(ctx, x.view().rows(0, rows), c.sizes.x_step, c.gpu, out, c.sizes.out_step);
  gpu.stream().synchronize();
  const Tensor got = test::to_host(out);
  const double rounding = c.dtype == DType::kF32 ? 0x1p-23 : c.dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
  for (int64_t i = 0; i < got.shape().numel(); ++i) {
    const double value = test::element(got, i), want = c.want.data<float>()[i];
    if (std::isnan(want) && std::isnan(value)) continue;  // between the heads
    ASSERT_NEAR(value, want, 2 * rounding * std::fabs(want) +
                                 4e-7 * kWeightSize * static_cast<double>(c.sizes.k))
        << dtype_name(c.dtype) << " T " << rows << " row " << i / got.shape()[1] << " column "
        << i % got.shape()[1] << " of " << c.sizes.heads << " x [" << c.sizes.n << ", "
        << c.sizes.k << "]";
  }
}

class CudaMatmulHeads : public testing::TestWithParam<DType> {
 protected:
  void expect_all(test::CudaRun& gpu) {
    // DeepSeek V2's two products, as they lie in its queries and contexts.
    const Sizes all[] = {{16, 512, 128, 128, 576}, {16, 128, 512, 576, 128},
                         {3, 72, 192, 200, 80},    {5, 40, 24, 24, 48},
                         {2, 33, 20, 21, 35},      {1, 130, 64, 64, 130}};
    for (const Sizes& sizes : all) {
      const Case c(GetParam(), 150, sizes);
      for (int64_t rows : {1, 7, 8, 9, 32, 33, 64, 65, 128, 150}) expect_rows(gpu, c, rows);
    }
  }
};

TEST_P(CudaMatmulHeads, AsOnTheCpu) {
  test::CudaRun gpu;
  expect_all(gpu);
}

TEST_P(CudaMatmulHeads, OnThePortablePath) {
  if (GetParam() == DType::kF32) GTEST_SKIP() << "f32 has the plain kernel alone";
  setenv("LMDEPLOY_CUDA_PATH", "portable", 1);
  test::CudaRun gpu;
  unsetenv("LMDEPLOY_CUDA_PATH");
  expect_all(gpu);
}

// The tiles that the plan chooses on devices of other sizes.
TEST_P(CudaMatmulHeads, EveryTile) {
  if (GetParam() == DType::kF32) GTEST_SKIP() << "the plain kernel has one tile";
  test::CudaRun gpu;
  auto& stream = static_cast<cuda::CudaStream&>(gpu.stream());
  if (!stream.hopper()) GTEST_SKIP() << "needs compute capability 9.0";
  const Sizes sizes{4, 200, 128, 136, 208};
  const Case c(GetParam(), 150, sizes);
  const Tensor x = test::to_gpu(c.x);
  for (const cuda::GemmTile& tile : cuda::kHeadsSm90Tiles) {
    SCOPED_TRACE(testing::Message() << tile.n << " x " << tile.t);
    const Tensor out(Shape{150, sizes.out_columns()}, c.dtype, test::CudaRun::kDevice);
    const cuda::GemmLaunch gemm{.x = x.view().raw(),
                                .weights = c.gpu.parts[0].storage.view().raw(),
                                .x_stride = sizes.x_columns(),
                                .k = sizes.k,
                                .output = {.out = out.view().raw(),
                                           .stride = sizes.out_columns(),
                                           .bias = nullptr,
                                           .rows = 150,
                                           .n = static_cast<int>(sizes.n),
                                           .add = false,
                                           .f32 = false,
                                           .vectors = true},
                                .heads = {sizes.heads, sizes.x_step, sizes.out_step}};
    CUDA_CHECK(cuda::launch_matmul_sm90(gemm, c.dtype, {tile.n, tile.t, 1, 1},
                                        stream.properties().multiprocessors, stream.handle()));
    gpu.stream().synchronize();
    const Tensor got = test::to_host(out);
    for (int64_t t = 0; t < 150; ++t) {
      for (int64_t i = 0; i < sizes.out_columns(); ++i) {
        if (i % sizes.out_step >= sizes.n) continue;
        const double want = c.want.view().row<float>(t)[i];
        ASSERT_NEAR(test::element(got, t * sizes.out_columns() + i), want,
                    0x1p-7 * std::fabs(want) + 3e-6)
            << "row " << t << " column " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaMatmulHeads,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& param) { return dtype_name(param.param); });

}  // namespace
}  // namespace lmdeploy
