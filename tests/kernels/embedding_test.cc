#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include "tests/kernels/matmul_inputs.h"

namespace lmdeploy {
namespace {

TEST(Embedding, LooksRowsUpAndScalesThem) {
  for (DType format : {DType::kQ8_0, DType::kQ6_K, DType::kBF16}) {
    const test::FileWeight table = test::random_weight(format, 50, 256, 3);
    const RowSource source = table.source();
    const PackedMatrix packed = pack_matrix({&source, 1}, is_block_quantized(format) ? format : DType::kBF16);
    test::CpuContext cpu("scalar");
    constexpr int64_t kFirst = 100;  // the table holds ids 100 to 149
    std::vector<int32_t> ids = {149, 100, 117, 117, 99, 150, 0};
    const auto count = static_cast<int64_t>(ids.size());
    std::vector<float> out(ids.size() * 300, -1.0f);
    embedding(cpu.ctx, TensorView(ids.data(), DType::kI32, Shape{count}), packed, kFirst, 0.5f,
              test::view(out, count, 256, 300));
    for (size_t t = 0; t < ids.size(); ++t) {
      const int64_t row = ids[t] - kFirst;
      std::vector<float> want(256, 0.0f);
      if (row >= 0 && row < 50) want = table.row(row);
      for (float& value : want) value *= 0.5f;
      EXPECT_EQ(std::vector<float>(out.begin() + static_cast<ptrdiff_t>(t) * 300, out.begin() + static_cast<ptrdiff_t>(t) * 300 + 256), want)
          << dtype_name(format);
      EXPECT_EQ(out[t * 300 + 256], -1.0f);
    }
  }
}

}  // namespace
}  // namespace lmdeploy
