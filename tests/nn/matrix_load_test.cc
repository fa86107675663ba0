#include "nn/matrix_load.h"

#include <gtest/gtest.h>

#include <numeric>

namespace lmdeploy {
namespace {

BuildOptions fp32() {
  BuildOptions options;
  options.weights = DType::kF32;
  return options;
}

TEST(MatrixLoad, ATransposedSliceGivesItsColumnsAsRows) {
  constexpr int64_t kRows = 70, kCols = 5;  // more rows than a tile, inside of rows of 8
  std::vector<float> stored(kRows * 8);
  std::iota(stored.begin(), stored.end(), 0.0f);
  const LoadedSlice slice{DType::kF32,
                          kRows,
                          kCols,
                          reinterpret_cast<const std::byte*>(stored.data() + 2),
                          8 * sizeof(float),
                          kBakedNothing,
                          true};
  const std::vector<int32_t> as_stored;
  const Result<PackedMatrix> matrix = load_matrix({&slice, 1}, {&as_stored, 1}, fp32(), "w2");
  ASSERT_TRUE(matrix.ok()) << matrix.status().message();
  EXPECT_EQ(matrix->n, kCols);
  EXPECT_EQ(matrix->k, kRows);
  EXPECT_EQ(matrix->storage.bytes(), packed_load_bytes({&slice, 1}, fp32()));
  std::vector<float> row(kRows);
  for (int64_t c = 0; c < kCols; ++c) {
    unpack_row(*matrix, c, row.data());
    for (int64_t r = 0; r < kRows; ++r) EXPECT_EQ(row[size_t(r)], stored[size_t(r * 8 + 2 + c)]);
  }
}

TEST(MatrixLoad, ATransposedSliceInFp8IsReadAsBf16) {
  constexpr int64_t kRows = 70, kCols = 5;
  std::vector<uint8_t> codes(kRows * 8);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i % 120);
  std::vector<float> scales(36 * 2);  // blocks of 2 x 4; the slice begins at row 1, column 2
  std::iota(scales.begin(), scales.end(), 1.5f);
  LoadedSlice slice{DType::kF8E4M3, kRows, kCols,
                    reinterpret_cast<const std::byte*>(codes.data() + 2), 8, kBakedNothing, true};
  slice.scales = {reinterpret_cast<const std::byte*>(scales.data()), DType::kF32, 2, 4, 2, 1, 2};
  BuildOptions options;
  options.weights = DType::kBF16;
  const std::vector<int32_t> as_stored;
  const Result<PackedMatrix> matrix = load_matrix({&slice, 1}, {&as_stored, 1}, options, "w2");
  ASSERT_TRUE(matrix.ok()) << matrix.status().message();
  EXPECT_EQ(matrix->n, kCols);
  EXPECT_EQ(matrix->k, kRows);
  EXPECT_EQ(matrix->storage.bytes(), packed_load_bytes({&slice, 1}, options));
  std::vector<float> column(kCols), row(kRows);
  for (int64_t c = 0; c < kCols; ++c) {
    unpack_row(*matrix, c, row.data());
    for (int64_t r = 0; r < kRows; ++r) {
      dequantize_fp8_row(slice.data + r * 8, r, kCols, slice.scales, column.data());
      EXPECT_EQ(row[size_t(r)], column[size_t(c)]) << r << ' ' << c;
    }
  }
}

TEST(MatrixLoad, RefusesTransposedBlocks) {
  const LoadedSlice slice{DType::kQ8_0, 32, 32, nullptr, 34, kBakedNothing, true};
  const std::vector<int32_t> as_stored;
  const Result<PackedMatrix> matrix = load_matrix({&slice, 1}, {&as_stored, 1}, fp32(), "w2");
  ASSERT_FALSE(matrix.ok());
  EXPECT_NE(matrix.status().message().find("w2"), std::string::npos);
}

}  // namespace
}  // namespace lmdeploy
