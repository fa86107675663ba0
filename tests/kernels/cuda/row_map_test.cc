// The ops that map rows in place on CUDA against the plain CPU ops on the same rounded inputs.
#include <functional>

#include "kernels/apply_activation.h"
#include "kernels/clamp.h"
#include "kernels/scale.h"
#include "kernels/softcap.h"
#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

using Map = std::function<void(Ctx&, const TensorView&)>;

class CudaRowMap : public testing::TestWithParam<DType> {
 protected:
  // On `rows` rows of `size`, `stride` elements apart.
  void check(const Map& map, DType dtype, int64_t rows, int64_t size, int64_t stride, double spread,
             double tolerance) {
    const Tensor x = test::rounded(test::normal_tensor(Shape{rows, stride}, 7, spread), dtype);
    const Tensor want = test::as_f32(x), got = test::to_gpu(x);
    map(cpu_.ctx, want.view().columns(0, size));
    Ctx ctx = gpu_.ctx();
    map(ctx, got.view().columns(0, size));
    gpu_.stream().synchronize();
    test::expect_close(test::to_host(got), want, tolerance, "x");
  }
  void check_sizes(const Map& map, DType dtype, double spread, double tolerance) {
    for (int64_t size : {1, 33, 1536, 32003}) {
      for (int64_t rows : {1, 5}) {
        check(map, dtype, rows, size, size, spread, tolerance);
        check(map, dtype, rows, size, size + 3, spread, tolerance);
      }
    }
    check(map, dtype, 700, 96, 104, spread, tolerance);
  }

  test::CudaRun gpu_;
  test::CpuRun cpu_{1, "scalar"};
};

TEST_P(CudaRowMap, Activations) {
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    check_sizes([=](Ctx& ctx, const TensorView& x) { apply_activation(ctx, x, activation); },
                GetParam(), 4, test::rounding(GetParam()));
  }
}

TEST_P(CudaRowMap, Clamp) {
  const float limit = 6.5f;
  check_sizes([=](Ctx& ctx, const TensorView& x) { clamp(ctx, x, limit); }, GetParam(), 8, 0);
}

INSTANTIATE_TEST_SUITE_P(Types, CudaRowMap,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

using CudaLogitMap = CudaRowMap;  // of f32 alone

TEST_P(CudaLogitMap, Scale) {
  check_sizes([](Ctx& ctx, const TensorView& x) { scale(ctx, x, 0.3f); }, GetParam(), 1, 0);
}

TEST_P(CudaLogitMap, Softcap) {
  const Map map = [](Ctx& ctx, const TensorView& x) { softcap(ctx, x, 30); };
  check_sizes(map, GetParam(), 40, 1e-6);
  check(map, GetParam(), 3, 262144, 262144, 40, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Logits, CudaLogitMap, testing::Values(DType::kF32),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
