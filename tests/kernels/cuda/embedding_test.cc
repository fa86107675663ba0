// The CUDA embedding lookup: rows of a row-major table, scaled in fp32 and rounded once.
#include "kernels/embedding.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

class CudaEmbedding : public testing::TestWithParam<DType> {};

TEST_P(CudaEmbedding, LooksRowsUpAndScalesThem) {
  test::CudaRun gpu;
  Ctx ctx = gpu.ctx();
  constexpr int64_t kVocab = 1003;
  constexpr int64_t kFirst = 7;  // id of the table's first row
  const std::vector<int32_t> ids = {7, 1009, 24, 24, -1, 0, 6, 1010, 12};
  const auto count = static_cast<int64_t>(ids.size());
  Tensor host_ids(Shape{count}, DType::kI32);
  std::copy(ids.begin(), ids.end(), host_ids.data<int32_t>());
  const Tensor gpu_ids = test::to_gpu(host_ids);
  for (int64_t size : {1, 33, 576, 4096}) {
    for (float scale : {1.0f, 23.75f}) {
      const Tensor table = test::rounded(test::normal_tensor(Shape{kVocab, size}, 3), GetParam());
      PackedMatrix packed;
      packed.n = kVocab;
      packed.k = size;
      packed.format = GetParam();
      packed.segments = {{0, kVocab, GetParam(), 0}};
      packed.storage = test::to_gpu(table);
      Tensor want(Shape{count, size}, DType::kF32);
      for (int64_t t = 0; t < count; ++t) {
        const int64_t row = ids[static_cast<size_t>(t)] - kFirst;
        if (row < 0 || row >= kVocab) continue;
        for (int64_t i = 0; i < size; ++i) {
          want.data<float>()[t * size + i] = scale * test::element(table, row * size + i);
        }
      }
      const Tensor out =
          test::to_gpu(test::rounded(test::normal_tensor(Shape{count, size}, 1), GetParam()));
      embedding(ctx, gpu_ids, packed, kFirst, scale, out);
      gpu.stream().synchronize();
      test::expect_close(test::to_host(out), test::rounded(want, GetParam()), 0, "out");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaEmbedding,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
