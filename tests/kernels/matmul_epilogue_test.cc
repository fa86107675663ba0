// Products large enough for every way in which rows and panels are shared out, against fp64, with each
// epilogue: 1,280 of k are three slabs of an AMX panel, the last one short; 600 rows of a weight are 38
// panels, the last one half; so a thread's share is three strips of panels or 16 and 3.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/matmul_inputs.h"

namespace lmdeploy {
namespace {

using test::CpuContext;
using test::FileWeight;
using test::random_rows;

constexpr int64_t kK = 1280, kN = 600, kMostRows = 450;

// Every seventh row of x is compared: in turn each row of a tile.
constexpr int64_t kFirst = 6, kApart = 7;

// x W^T of the rows compared and the sum of each product's absolute terms.
struct Exact {
  std::vector<double> product, magnitude;
};

Exact exact_products(const FileWeight& w, const std::vector<float>& x) {
  Exact exact;
  for (int64_t m = kFirst; m < kMostRows; m += kApart) {
    exact.product.resize(exact.product.size() + kN);
    exact.magnitude.resize(exact.product.size());
  }
  for (int64_t n = 0; n < kN; ++n) {
    const std::vector<float> weight = w.row(n);
    for (int64_t m = kFirst, at = n; m < kMostRows; m += kApart, at += kN) {
      double product = 0, magnitude = 0;
      for (int64_t i = 0; i < kK; ++i) {
        const double term = double{weight[static_cast<size_t>(i)]} * x[static_cast<size_t>(m * kK + i)];
        product += term;
        magnitude += std::abs(term);
      }
      exact.product[static_cast<size_t>(at)] = product;
      exact.magnitude[static_cast<size_t>(at)] = magnitude;
    }
  }
  return exact;
}

struct Epilogue {
  const char* name;
  bool bias, add;
};

class MatmulEpilogueIsa : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!CpuIsa::named(GetParam()).ok()) GTEST_SKIP() << "this processor has no " << GetParam();
  }

  // `error`: of a product, as a part of its absolute terms.
  void compare(DType format, double error) {
    const FileWeight w = test::random_weight(format, kN, kK, 13);
    const RowSource source = w.source();
    weight_ = pack_matrix({&source, 1}, format);
    x_ = random_rows(kMostRows, kK, 4);
    if (format == DType::kBF16) {
      for (float& value : x_) value = to_float(to_bf16(value));
    }
    exact_ = exact_products(w, x_);
    for (const Epilogue& epilogue : {Epilogue{"store", false, false}, Epilogue{"bias", true, false},
                                     Epilogue{"add", false, true}, Epilogue{"both", true, true}}) {
      // Threads share all panels; each has its rows; two groups of two. The plain version knows only the first.
      compare(epilogue, 70, 2, error);
      if (GetParam() == std::string("scalar")) continue;
      compare(epilogue, kMostRows, 2, error);
      compare(epilogue, kMostRows, 4, error);
    }
  }

 private:
  void compare(const Epilogue& epilogue, int64_t rows, int threads, double error) {
    const std::vector<float> residual = random_rows(rows, kN, 3);
    std::vector<float> out = residual;
    TensorView bias;
    if (epilogue.bias) bias = TensorView(bias_.data(), DType::kF32, Shape{kN});
    CpuContext cpu(GetParam(), threads, false);
    matmul(cpu.ctx, test::view(x_, rows, kK, kK), weight_, bias, test::view(out, rows, kN, kN),
           epilogue.add ? MatmulEpilogue::kAdd : MatmulEpilogue::kStore);
    size_t at = 0;
    int64_t wrong = 0;
    for (int64_t m = kFirst; m < rows; m += kApart) {
      for (int64_t n = 0; n < kN; ++n, ++at) {
        const double from_bias = epilogue.bias ? bias_[static_cast<size_t>(n)] : 0;
        const double from_residual = epilogue.add ? residual[static_cast<size_t>(m * kN + n)] : 0;
        const double want = exact_.product[at] + from_bias + from_residual;
        const double magnitude = exact_.magnitude[at] + std::abs(from_bias) + std::abs(from_residual);
        const double got = out[static_cast<size_t>(m * kN + n)];
        if (std::abs(got - want) <= error * magnitude) continue;
        if (++wrong == 1) ADD_FAILURE() << "row " << m << ", column " << n << ": " << got << ", not " << want;
      }
    }
    EXPECT_EQ(wrong, 0) << epilogue.name << ", " << rows << " rows, " << threads << " threads";
  }

  PackedMatrix weight_;
  std::vector<float> x_, bias_ = random_rows(1, kN, 2);
  Exact exact_;
};

TEST_P(MatmulEpilogueIsa, OfPlainWeightsIsNearFp64) { compare(DType::kBF16, 4e-7); }

TEST_P(MatmulEpilogueIsa, OfBlocksIsNearFp64) {
  const bool rounds = GetParam() == std::string("amx");
  compare(DType::kQ4_1, rounds ? 2e-3 : 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Cpu, MatmulEpilogueIsa,
                         testing::Values("scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lmdeploy
