#include "kernels/attention_input.h"

#include <cmath>

#include "kernels/rope.h"
#include "tests/kernels/paged_kv_fixture.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::normal_tensor;

class AttentionInputTest : public testing::TestWithParam<std::string> {
 protected:
  CpuRun cpu{2, GetParam()};
};

Tensor int_tensor(const std::vector<int32_t>& values) {
  Tensor tensor(Shape{static_cast<int64_t>(values.size())}, DType::kI32);
  std::copy(values.begin(), values.end(), tensor.data<int32_t>());
  return tensor;
}

TEST_P(AttentionInputTest, CosSinOfFp32Angles) {
  const std::vector<int32_t> positions = {0, 1, 2, 511, 4096, 32768, 131071, 999999};
  const Tensor rows = int_tensor({0, 1, 0, 1, 0, 1, 0, 0});
  for (int64_t half : {10, 32, 48, 64, 128}) {
    Tensor inv_freq(Shape{2, half}, DType::kF32), out(Shape{8, 2 * half}, DType::kF32);
    for (int64_t i = 0; i < 2 * half; ++i) {
      inv_freq.data<float>()[i] = static_cast<float>(std::pow(
          i < half ? 10000.0 : 1e6, -static_cast<double>(i % half) / static_cast<double>(half)));
    }
    rope_cos_sin(cpu.ctx, int_tensor(positions), inv_freq, rows, 1.25f, out);
    for (int64_t t = 0; t < 8; ++t) {
      for (int64_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(positions[static_cast<size_t>(t)]) *
                            inv_freq.view().row<float>(rows.data<int32_t>()[t])[i];
        ASSERT_NEAR(out.view().row<float>(t)[i], 1.25 * std::cos(double{angle}), 2.5e-7)
            << positions[static_cast<size_t>(t)];
        ASSERT_NEAR(out.view().row<float>(t)[half + i], 1.25 * std::sin(double{angle}), 2.5e-7);
      }
    }
  }
}

struct Layout {
  int heads, kv_heads, head_dim, rotary_dim;
  bool norms;
  DType dtype;
  int tokens;
};

// What one head becomes, in fp64.
std::vector<double> head_in_fp64(const float* x, const Layout& layout, const float* norm,
                                 const float* cos_sin) {
  std::vector<double> h(x, x + layout.head_dim);
  if (layout.norms) {
    double square = 0;
    for (double v : h) square += v * v;
    for (int i = 0; i < layout.head_dim; ++i)
      h[static_cast<size_t>(i)] *= norm[i] / std::sqrt(square / layout.head_dim + 1e-6);
  }
  const int half = layout.rotary_dim / 2;
  for (int i = 0; i < half; ++i) {
    const double a = h[static_cast<size_t>(i)], b = h[static_cast<size_t>(half + i)];
    h[static_cast<size_t>(i)] = a * cos_sin[i] - b * cos_sin[half + i];
    h[static_cast<size_t>(half + i)] = b * cos_sin[i] + a * cos_sin[half + i];
  }
  return h;
}

void check_layout(CpuRun& cpu, const Layout& layout) {
  const int d = layout.head_dim, columns = (layout.heads + 2 * layout.kv_heads) * d;
  test::PagedKvFixture cache(
      {.kv_heads = layout.kv_heads, .head_dim = d, .block_tokens = 32, .dtype = layout.dtype},
      {layout.tokens + 3});
  const Tensor before = normal_tensor(Shape{layout.tokens, columns}, 1, 2),
               q_norm = normal_tensor(Shape{d}, 2), k_norm = normal_tensor(Shape{d}, 3);
  Tensor qkv = normal_tensor(Shape{layout.tokens, columns}, 1, 2),
         slots(Shape{layout.tokens}, DType::kI64), cos_sin;
  for (int t = 0; t < layout.tokens; ++t)
    slots.data<int64_t>()[t] = t == 1 ? -1 : cache.slot(0, t + 3);
  AttentionInputParams params{
      .heads = layout.heads, .kv_heads = layout.kv_heads, .head_dim = d, .norm_eps = 1e-6f};
  if (layout.norms) {
    params.q_norm = q_norm;
    params.k_norm = k_norm;
  }
  if (layout.rotary_dim > 0)
    params.cos_sin = cos_sin = normal_tensor(Shape{layout.tokens, layout.rotary_dim}, 4);
  attention_input(cpu.ctx, qkv, params, slots, cache.kv());
  const double rounding = layout.dtype == DType::kF32   ? 4e-6
                          : layout.dtype == DType::kF16 ? 0x1p-11 * 1.01
                                                        : 0x1p-8 * 1.01;
  for (int t = 0; t < layout.tokens; ++t) {
    const float* row = before.view().row<float>(t);
    const float* angles = layout.rotary_dim > 0 ? cos_sin.view().row<float>(t) : nullptr;
    for (int h = 0; h < layout.heads; ++h) {
      const std::vector<double> want =
          head_in_fp64(row + h * d, layout, q_norm.data<float>(), angles);
      for (int i = 0; i < d; ++i)
        ASSERT_NEAR(qkv.view().row<float>(t)[h * d + i], want[static_cast<size_t>(i)],
                    4e-6 * (1 + std::fabs(want[static_cast<size_t>(i)])));
    }
    for (int h = 0; h < layout.kv_heads && t != 1; ++h) {
      const float* k = row + (layout.heads + h) * d;
      const float* v = k + layout.kv_heads * d;
      const std::vector<double> want = head_in_fp64(k, layout, k_norm.data<float>(), angles);
      for (int i = 0; i < d; ++i) {
        const double size = std::fabs(want[static_cast<size_t>(i)]);
        ASSERT_NEAR(cache.get(0, t + 3, h, i), want[static_cast<size_t>(i)],
                    rounding * size + 4e-6 * (1 + size));
        ASSERT_NEAR(cache.get(0, t + 3, layout.kv_heads + h, i), v[i],
                    rounding * std::fabs(v[i]) + 1e-7);
      }
    }
  }
  // The slot of the token that stores nothing, and those before the first, keep their poison.
  for (int token : {0, 1, 2, 4}) EXPECT_TRUE(std::isnan(cache.get(0, token, 0, 0)));
}

TEST_P(AttentionInputTest, Layouts) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int tokens : {2, 90}) {
      check_layout(cpu, {9, 3, 64, 64, false, dtype, tokens});
      check_layout(cpu, {4, 1, 256, 256, true, dtype, tokens});
      check_layout(cpu, {2, 2, 80, 32, false, dtype, tokens});
      check_layout(cpu, {2, 2, 72, 20, true, dtype, tokens});
      check_layout(cpu, {3, 1, 40, 0, false, dtype, tokens});
      check_layout(cpu, {3, 1, 100, 100, false, dtype, tokens});
    }
  }
}

// Rounding to the cache's types is that of tensor/dtype.h, but for f16, which saturates.
TEST_P(AttentionInputTest, RoundsAsTheScalarConversionsDo) {
  const std::vector<float> values = {0.0f,     -0.0f,       1.00048828125f, 1.00146484375f,
                                     3e-8f,    6e-8f,       65519.0f,       65520.0f,
                                     -1e9f,    INFINITY,    -INFINITY,      NAN,
                                     1.0f / 3, -2.7182818f, 3.4e38f,        1e-40f};
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    test::PagedKvFixture cache({.kv_heads = 1, .head_dim = 16, .block_tokens = 32, .dtype = dtype},
                               {1});
    Tensor qkv(Shape{1, 48}, DType::kF32), slots(Shape{1}, DType::kI64);
    std::copy(values.begin(), values.end(), qkv.data<float>() + 32);
    slots.data<int64_t>()[0] = cache.slot(0, 0);
    attention_input(cpu.ctx, qkv, {.heads = 1, .kv_heads = 1, .head_dim = 16}, slots, cache.kv());
    for (int i = 0; i < 16; ++i) {
      const float x = values[static_cast<size_t>(i)], got = cache.get(0, 0, 1, i);
      const float want = dtype == DType::kBF16 ? to_float(to_bf16(x))
                         : std::isnan(x)
                             ? x
                             : to_float(to_f16(std::fmin(std::fmax(x, -65504.0f), 65504.0f)));
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got)) << x;
      } else {
        EXPECT_EQ(got, want) << x;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, AttentionInputTest, testing::ValuesIn(test::op_isas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lmdeploy
