#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "tests/kernels/matmul_inputs.h"
#include "tests/support/sanitized.h"

namespace lmdeploy {
namespace {

using test::CpuContext;
using test::FileWeight;
using test::random_rows;
using test::random_weight;

// The int8-activation product in double precision, from the definition in matmul.h.
double quantized_dot(const FileWeight& w, const std::vector<float>& weight, const float* x) {
  double sum = 0;
  for (int64_t g = 0; g < w.k / 32; ++g) {
    float absmax = 0;
    for (int i = 0; i < 32; ++i) absmax = std::max(absmax, std::abs(x[g * 32 + i]));
    const float scale = absmax / 127.0f, inverse = absmax > 0 ? 127.0f / absmax : 0.0f;
    for (int i = 0; i < 32; ++i) {
      const double code = std::nearbyint(x[g * 32 + i] * inverse);
      sum += code * scale * weight[static_cast<size_t>(g * 32 + i)];
    }
  }
  return sum;
}

double plain_dot(const std::vector<float>& weight, const float* x) {
  return std::inner_product(weight.begin(), weight.end(), x, 0.0,
                            std::plus<>(), [](double a, double b) { return a * b; });
}

struct Product {
  std::vector<float> out;
  int64_t stride;
};

Product multiply(const std::string& isa, const PackedMatrix& w, std::vector<float>& x, int64_t rows,
                 int64_t x_stride, int threads = 2, bool batch_invariant = true) {
  CpuContext cpu(isa, threads, batch_invariant);
  Product product{std::vector<float>(static_cast<size_t>(rows * (w.n + 3)), NAN), w.n + 3};
  matmul(cpu.ctx, test::view(x, rows, w.k, x_stride), w, {}, test::view(product.out, rows, w.n, w.n + 3));
  return product;
}

class MatmulIsa : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!CpuIsa::named(GetParam()).ok()) GTEST_SKIP() << "this processor has no " << GetParam();
  }
};

TEST_P(MatmulIsa, BlockFormatsEqualTheQuantizedOperands) {
  for (DType format : test::kBlockFormats) {
    const int64_t k = 512, rows = 5;
    const FileWeight w = random_weight(format, 37, k, 11);
    const RowSource source = w.source();
    const PackedMatrix packed = pack_matrix({&source, 1}, format);
    std::vector<float> x = random_rows(rows, k + 5, 3);
    const Product product = multiply(GetParam(), packed, x, rows, k + 5);
    for (int64_t n = 0; n < w.rows; ++n) {
      const std::vector<float> weight = w.row(n);
      for (int64_t m = 0; m < rows; ++m) {
        const double want = quantized_dot(w, weight, x.data() + m * (k + 5));
        double magnitude = 0;
        for (int64_t i = 0; i < k; ++i) magnitude += std::abs(weight[static_cast<size_t>(i)] * x[static_cast<size_t>(m * (k + 5) + i)]);
        EXPECT_NEAR(product.out[static_cast<size_t>(m * product.stride + n)], want, 4e-7 * magnitude)
            << dtype_name(format) << " row " << n << " of x row " << m;
      }
    }
  }
}

// x as the product with weights of `format` reads it.
float read_as(DType format, float x) { return format == DType::kBF16 ? to_float(to_bf16(x)) : x; }

TEST_P(MatmulIsa, PlainFormatsEqualTheirValues) {
  for (DType format : test::kPlainFormats) {
    for (int64_t k : {1, 31, 96, 515, 1100}) {
      const FileWeight w = random_weight(format, 37, k, 5);
      const RowSource source = w.source();
      const PackedMatrix packed = pack_matrix({&source, 1}, format);
      std::vector<float> x = random_rows(7, k, 3);
      const Product product = multiply(GetParam(), packed, x, 7, k);
      for (int64_t n = 0; n < w.rows; ++n) {
        const std::vector<float> weight = w.row(n);
        for (int64_t m = 0; m < 7; ++m) {
          std::vector<float> row(x.begin() + m * k, x.begin() + (m + 1) * k);
          for (float& value : row) value = read_as(format, value);
          double magnitude = 0;
          for (size_t i = 0; i < row.size(); ++i) magnitude += std::abs(weight[i] * row[i]);
          EXPECT_NEAR(product.out[static_cast<size_t>(m * product.stride + n)], plain_dot(weight, row.data()), 4e-7 * magnitude)
              << dtype_name(format) << " k " << k;
        }
      }
    }
  }
}

// Bits of rows [0, rows) of the product of every format that this process multiplies by.
std::vector<float> leading_rows(const std::string& isa, const PackedMatrix& w, std::vector<float> x, int64_t rows,
                                int64_t keep, int threads, bool batch_invariant = true) {
  Product product = multiply(isa, w, x, rows, w.k, threads, batch_invariant);
  product.out.resize(static_cast<size_t>(keep * product.stride));
  for (float& value : product.out) {
    if (std::isnan(value)) value = 0;  // the columns between rows, which stay as they were
  }
  return product.out;
}

PackedMatrix packed_weight(DType format, int64_t rows, int64_t k) {
  const FileWeight w = random_weight(format, rows, k, 21);
  const RowSource source = w.source();
  return pack_matrix({&source, 1}, format);
}

TEST_P(MatmulIsa, ARowsResultDoesNotDependOnItsCompany) {
  std::vector<DType> formats = test::kBlockFormats;
  formats.insert(formats.end(), test::kPlainFormats.begin(), test::kPlainFormats.end());
  for (DType format : formats) {
    const PackedMatrix w = packed_weight(format, 35, 512);
    const std::vector<float> x = random_rows(130, w.k, 9);
    const std::vector<float> all = leading_rows(GetParam(), w, x, 130, 130, 2);
    const auto stride = static_cast<size_t>(w.n + 3);
    for (int64_t rows = 1; rows <= 70; rows += rows < 20 ? 1 : 7) {
      const std::vector<float> some = leading_rows(GetParam(), w, x, rows, rows, rows % 3 + 1);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << dtype_name(format) << " rows " << rows;
      const std::vector<float> moved(x.end() - rows * w.k, x.end());
      const std::vector<float> last = leading_rows(GetParam(), w, moved, rows, rows, 2);
      EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - static_cast<ptrdiff_t>(stride) * rows))
          << dtype_name(format) << " last rows " << rows;
    }
  }
}

TEST_P(MatmulIsa, BlockFormatsGiveTheBitsOfThePlainVersion) {
  using Sizes = std::vector<int64_t>;
  // One to nine of the largest blocks.
  const Sizes sizes = test::kSanitized ? Sizes{1280} : Sizes{256, 768, 1280, 2304};
  for (DType format : test::kBlockFormats) {
    for (int64_t k : sizes) {
      const PackedMatrix w = packed_weight(format, 33, k);
      for (int64_t rows : {1, 7, 70}) {
        const std::vector<float> x = random_rows(rows, k, 5);
        EXPECT_EQ(leading_rows(GetParam(), w, x, rows, rows, 2), leading_rows("scalar", w, x, rows, rows, 1))
            << dtype_name(format) << " k " << k << " rows " << rows;
      }
    }
  }
}

// Without batch_invariant, AMX multiplies many rows as bf16: not the bits of few rows, but nearer to the
// exact product than int8 activations are, and one another's bits.
TEST_P(MatmulIsa, ManyRowsAreNearTheExactProduct) {
  for (DType format : test::kBlockFormats) {
    // 1280: three slabs of k, the last one short; 37 rows: a pair of panels and one that is not full.
    const int64_t k = 1280, rows = 70;
    const FileWeight w = random_weight(format, 37, k, 13);
    const RowSource source = w.source();
    const PackedMatrix packed = pack_matrix({&source, 1}, format);
    std::vector<float> x = random_rows(rows, k, 4);
    const Product product = multiply(GetParam(), packed, x, rows, k, 2, false);
    double error = 0, size = 0;
    for (int64_t n = 0; n < w.rows; ++n) {
      const std::vector<float> weight = w.row(n);
      for (int64_t m = 0; m < rows; ++m) {
        const double want = plain_dot(weight, x.data() + m * k);
        const double got = product.out[static_cast<size_t>(m * product.stride + n)];
        error += (got - want) * (got - want);
        size += want * want;
      }
    }
    const bool rounds = std::string(GetParam()) == "amx";
    EXPECT_LE(std::sqrt(error / size), rounds ? 0.003 : 0.03) << dtype_name(format);
    EXPECT_GT(error, 0) << dtype_name(format);
  }
}

TEST_P(MatmulIsa, ManyRowsGiveOneAnothersBits) {
  for (DType format : test::kBlockFormats) {
    const PackedMatrix w = packed_weight(format, 35, 1280);
    const int64_t most = 560;  // more than share a rounded slab
    const std::vector<float> x = random_rows(most, w.k, 9);
    const std::vector<float> all = leading_rows(GetParam(), w, x, most, most, 2, false);
    for (int64_t rows : {12, 15, 16, 17, 32, 33, 48, 70, 512, 513}) {
      const std::vector<float> some =
          leading_rows(GetParam(), w, x, rows, rows, static_cast<int>(rows % 3) + 1, false);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << dtype_name(format) << " rows " << rows;
    }
    // 4 threads: two groups of two.
    const std::vector<float> grouped = leading_rows(GetParam(), w, x, 450, 450, 4, false);
    EXPECT_TRUE(std::equal(grouped.begin(), grouped.end(), all.begin())) << dtype_name(format) << ", 4 threads";
  }
}

TEST_P(MatmulIsa, BlocksOf32TakeAnyNumberOfGroups) {
  for (DType format : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0}) {
    for (int64_t k : {32, 96, 1056}) {
      const PackedMatrix w = packed_weight(format, 16, k);
      const std::vector<float> x = random_rows(40, k, 6);
      EXPECT_EQ(leading_rows(GetParam(), w, x, 40, 40, 2), leading_rows("scalar", w, x, 40, 40, 1))
          << dtype_name(format) << " k " << k;
    }
  }
}

// Rounded blocks begin their sums with what is added: the same but for the order of fp32 sums.
TEST_P(MatmulIsa, AddsBiasAndResidualInFp32) {
  const int64_t rows = 70;
  const PackedMatrix w = packed_weight(DType::kQ4_1, 35, 96);
  std::vector<float> x = random_rows(rows, 96, 1), bias = random_rows(1, 35, 2),
                     out = random_rows(rows, 35, 3);
  const std::vector<float> residual = out;
  for (bool batch_invariant : {true, false}) {
    const bool rounds = !batch_invariant && GetParam() == std::string("amx");
    out = residual;
    CpuContext cpu(GetParam(), 2, batch_invariant);
    matmul(cpu.ctx, test::view(x, rows, 96, 96), w, TensorView(bias.data(), DType::kF32, Shape{35}),
           test::view(out, rows, 35, 35), MatmulEpilogue::kAdd);
    const Product product = multiply(GetParam(), w, x, rows, 96, 2, batch_invariant);
    for (size_t m = 0; m < rows; ++m) {
      for (size_t n = 0; n < 35; ++n) {
        const float want = residual[m * 35 + n] + (product.out[m * 38 + n] + bias[n]);
        EXPECT_NEAR(out[m * 35 + n], want, rounds ? 1e-5f : 0.0f) << m << ", " << n;
      }
    }
  }
}

TEST_P(MatmulIsa, FusedWeightsKeepTheirFormats) {
  const std::vector<FileWeight> parts = {random_weight(DType::kQ4_K, 40, 512, 1), random_weight(DType::kQ6_K, 8, 512, 2),
                                         random_weight(DType::kQ8_0, 17, 512, 3), random_weight(DType::kF16, 5, 512, 4)};
  std::vector<RowSource> sources;
  for (const FileWeight& part : parts) sources.push_back(part.source());
  const PackedMatrix fused = pack_matrix(sources, DType::kQ4_K);
  ASSERT_EQ(fused.n, 70);
  std::vector<float> x = random_rows(33, 512, 8);
  const Product whole = multiply(GetParam(), fused, x, 33, 512);
  size_t column = 0;
  for (const RowSource& source : sources) {
    const PackedMatrix alone = pack_matrix({&source, 1}, DType::kQ4_K);
    const Product part = multiply(GetParam(), alone, x, 33, 512);
    for (size_t m = 0; m < 33; ++m) {
      for (size_t n = 0; n < static_cast<size_t>(alone.n); ++n) {
        EXPECT_EQ(whole.out[m * static_cast<size_t>(whole.stride) + column + n],
                  part.out[m * static_cast<size_t>(part.stride) + n]);
      }
    }
    column += static_cast<size_t>(alone.n);
  }
}

void expect_nan_in_its_row(const std::string& isa, DType format, int64_t rows, bool batch_invariant, float nan) {
  const PackedMatrix w = packed_weight(format, 16, 64);
  std::vector<float> x = random_rows(rows, 64, 8);
  const Product clean = multiply(isa, w, x, rows, 64, 1, batch_invariant);
  x[3 * 64 + 5] = nan;
  const Product product = multiply(isa, w, x, rows, 64, 1, batch_invariant);
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t n = 0; n < 16; ++n) {
      const auto at = static_cast<size_t>(m * clean.stride + n);
      if (m == 3) {
        EXPECT_TRUE(std::isnan(product.out[at])) << dtype_name(format) << " rows " << rows << ", " << n;
      } else {
        EXPECT_EQ(product.out[at], clean.out[at]) << dtype_name(format) << " rows " << rows << ", " << m;
      }
    }
  }
}

TEST_P(MatmulIsa, NotANumberStaysInItsRowAndShows) {
  // The upper half of the first is that of infinity; rounding the second by adding would give 0.
  for (uint32_t bits : {0x7F800001u, 0xFFFFFFFFu, 0x7FC00000u}) {
    for (DType format : {DType::kQ4_0, DType::kBF16}) {
      for (int64_t rows : {4, 16, 40}) {
        for (bool batch_invariant : {true, false}) {
          expect_nan_in_its_row(GetParam(), format, rows, batch_invariant, std::bit_cast<float>(bits));
        }
      }
    }
  }
}

TEST(Matmul, NoRowsDoNothing) {
  CpuContext cpu("scalar");
  const PackedMatrix w = packed_weight(DType::kQ8_0, 16, 64);
  std::vector<float> x(64), out(16, 7.0f);
  matmul(cpu.ctx, test::view(x, 0, 64, 64), w, {}, test::view(out, 0, 16, 16));
  EXPECT_EQ(out, std::vector<float>(16, 7.0f));
}

INSTANTIATE_TEST_SUITE_P(Cpu, MatmulIsa,
                         testing::Values("scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lmdeploy
