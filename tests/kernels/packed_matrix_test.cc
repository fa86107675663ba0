#include "kernels/packed_matrix.h"

#include <gtest/gtest.h>

#include "tests/kernels/matmul_inputs.h"

namespace lmdeploy {
namespace {

using test::FileWeight;
using test::random_weight;

std::vector<float> unpacked(const PackedMatrix& w, int64_t row) {
  std::vector<float> out(static_cast<size_t>(w.k));
  unpack_row(w, row, out.data());
  return out;
}

TEST(PackedMatrix, UnpackedRowsAreTheFilesRows) {
  std::vector<DType> formats = test::kBlockFormats;
  formats.insert(formats.end(), test::kPlainFormats.begin(), test::kPlainFormats.end());
  for (DType format : formats) {
    const FileWeight w = random_weight(format, 37, 768, 3);
    const RowSource source = w.source();
    const PackedMatrix packed = pack_matrix({&source, 1}, is_block_quantized(format) ? format : DType::kQ8_0);
    EXPECT_EQ(packed.format, format);
    for (int64_t row = 0; row < w.rows; ++row) EXPECT_EQ(unpacked(packed, row), w.row(row)) << dtype_name(format) << row;
  }
}

TEST(PackedMatrix, RowOrderAndFusedFormats) {
  const FileWeight q = random_weight(DType::kQ4_K, 18, 256, 1), v = random_weight(DType::kQ6_K, 3, 256, 2);
  std::vector<int32_t> order;
  for (int32_t r = 0; r < 18; ++r) order.push_back((r * 5 + 2) % 18);
  std::vector<RowSource> sources = {q.source(), v.source()};
  sources[0].row_order = order;
  const PackedMatrix packed = pack_matrix(sources, DType::kQ4_K);
  ASSERT_EQ(packed.segments.size(), 2u);
  for (int64_t r = 0; r < 18; ++r) EXPECT_EQ(unpacked(packed, r), q.row(order[static_cast<size_t>(r)]));
  for (int64_t r = 0; r < 3; ++r) EXPECT_EQ(unpacked(packed, 18 + r), v.row(r));
}

// Codes [5, 40] in fp8 with a scale a row, and the order in which a model wants the rows.
struct ScaledRows {
  ScaledRows() {
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i % 120);
  }
  RowSource source() const {
    return {DType::kF8E4M3, 5, 40, codes.data(), 40, order,
            {reinterpret_cast<const std::byte*>(scales.data()), DType::kF32, 1, 40, 1}};
  }
  // Row r of the result.
  std::vector<float> row(int64_t r) const {
    const int32_t stored = order[static_cast<size_t>(r)];
    std::vector<float> values(40);
    dequantize_fp8_row(codes.data() + stored * 40, stored, 40, source().scales, values.data());
    return values;
  }

  std::vector<std::byte> codes = std::vector<std::byte>(5 * 40);
  std::vector<float> scales = {1, 30, 0.02f, 5, 700};
  std::vector<int32_t> order = {4, 2, 0, 1, 3};
};

TEST(PackedMatrix, RowsInAnotherOrderKeepTheirScales) {
  const ScaledRows w;
  const RowSource source = w.source();
  for (DType want : {DType::kQ8_0, DType::kBF16, DType::kF32}) {
    const PackedMatrix packed = pack_matrix({&source, 1}, want);
    EXPECT_EQ(packed.format, want == DType::kF32 ? want : DType::kBF16);
    EXPECT_EQ(packed.storage.bytes(), packed_bytes({&source, 1}, want));
    for (int64_t r = 0; r < 5; ++r) EXPECT_EQ(unpacked(packed, r), w.row(r)) << r;
  }
}

TEST(PackRows, RowsInAnotherOrderKeepTheirScales) {
  const ScaledRows w;
  std::vector<float> f32(3 * 40);
  std::vector<bf16> half(3 * 40);
  pack_rows(w.source(), 2, 3, DType::kF32, f32.data());
  pack_rows(w.source(), 2, 3, DType::kBF16, half.data());
  for (size_t i = 0; i < f32.size(); ++i) {
    EXPECT_EQ(f32[i], w.row(static_cast<int64_t>(2 + i / 40))[i % 40]) << i;
    EXPECT_EQ(to_float(half[i]), f32[i]) << i;
  }
}

TEST(PackedMatrix, WantedPlainTypeRoundsEveryValueOnce) {
  const FileWeight w = random_weight(DType::kQ5_1, 5, 96, 9);
  const RowSource source = w.source();
  const PackedMatrix f32 = pack_matrix({&source, 1}, DType::kF32);
  const PackedMatrix half = pack_matrix({&source, 1}, DType::kBF16);
  for (int64_t row = 0; row < w.rows; ++row) {
    std::vector<float> want = w.row(row);
    EXPECT_EQ(unpacked(f32, row), want);
    for (float& value : want) value = to_float(to_bf16(value));
    EXPECT_EQ(unpacked(half, row), want);
  }
}

TEST(PackedMatrix, UnalignedSourcesAreRead) {
  const FileWeight w = random_weight(DType::kF32, 3, 33, 4);
  std::vector<std::byte> shifted(w.data.size() + 1);
  std::copy(w.data.begin(), w.data.end(), shifted.begin() + 1);
  RowSource source = w.source();
  source.data = shifted.data() + 1;
  const PackedMatrix packed = pack_matrix({&source, 1}, DType::kF32);
  EXPECT_EQ(unpacked(packed, 2), w.row(2));
}

// What issue 3 allows a load to take: 1.25 x the file. Whole panels, so that padding does not count.
TEST(PackedMatrix, TakesLittleMoreThanTheFile) {
  for (DType format : test::kBlockFormats) {
    const FileWeight w = random_weight(format, 576, 1536, 3);
    const RowSource source = w.source();
    const size_t bytes = packed_bytes({&source, 1}, format);
    EXPECT_LE(static_cast<double>(bytes), 1.03 * static_cast<double>(w.data.size())) << dtype_name(format);
    EXPECT_EQ(bytes, pack_matrix({&source, 1}, format).storage.bytes());
  }
}

TEST(PackRows, ConvertsEveryFormatRowByRow) {
  std::vector<DType> formats = test::kBlockFormats;
  formats.insert(formats.end(), test::kPlainFormats.begin(), test::kPlainFormats.end());
  const std::vector<int32_t> order = {4, 2, 0, 1, 3};
  for (DType format : formats) {
    const FileWeight w = random_weight(format, 5, 256, 3);
    for (bool ordered : {false, true}) {
      RowSource source = w.source();
      if (ordered) source.row_order = order;
      std::vector<float> f32(3 * 256);
      std::vector<bf16> half(3 * 256);
      std::vector<f16> small(3 * 256);
      pack_rows(source, 1, 3, DType::kF32, f32.data());
      pack_rows(source, 1, 3, DType::kBF16, half.data());
      pack_rows(source, 1, 3, DType::kF16, small.data());
      for (size_t r = 0; r < 3; ++r) {
        const std::vector<float> want = w.row(ordered ? order[r + 1] : static_cast<int64_t>(r + 1));
        for (size_t i = 0; i < 256; ++i) {
          EXPECT_EQ(f32[r * 256 + i], want[i]) << dtype_name(format);
          EXPECT_EQ(half[r * 256 + i].bits, to_bf16(want[i]).bits) << dtype_name(format);
          EXPECT_EQ(small[r * 256 + i].bits, to_f16(want[i]).bits) << dtype_name(format);
        }
      }
    }
  }
}

}  // namespace
}  // namespace lmdeploy
