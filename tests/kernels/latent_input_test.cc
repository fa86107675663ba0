#include "kernels/latent_input.h"

#include <cmath>

#include "tests/kernels/paged_kv_fixture.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::normal_tensor;

struct Layout {
  int heads, latent_dim, rope_dim, tokens;
  DType dtype;
};

// Column i of a head of `rope_dim` elements, rotated, in fp64.
double rotated(const float* x, const float* cos_sin, int rope_dim, int i) {
  const int half = rope_dim / 2, pair = i % half;
  const double a = x[pair], b = x[half + pair], c = cos_sin[pair], s = cos_sin[half + pair];
  return i < half ? a * c - b * s : b * c + a * s;
}

std::vector<double> latent_in_fp64(const float* x, const float* norm, const float* cos_sin,
                                   const Layout& layout) {
  double square = 0;
  for (int i = 0; i < layout.latent_dim; ++i) square += double{x[i]} * x[i];
  std::vector<double> row;
  for (int i = 0; i < layout.latent_dim; ++i) {
    row.push_back(x[i] / std::sqrt(square / layout.latent_dim + 1e-6) * norm[i]);
  }
  for (int i = 0; i < layout.rope_dim; ++i) {
    row.push_back(rotated(x + layout.latent_dim, cos_sin, layout.rope_dim, i));
  }
  return row;
}

void check_layout(const Layout& layout) {
  const int head_dim = layout.latent_dim + layout.rope_dim;
  test::PagedKvFixture cache({.kv_heads = 1,
                              .head_dim = head_dim,
                              .block_tokens = 32,
                              .dtype = layout.dtype,
                              .latent_dim = layout.latent_dim},
                             {layout.tokens + 3});
  const Tensor before = normal_tensor(Shape{layout.tokens, head_dim}, 1),
               norm = normal_tensor(Shape{layout.latent_dim}, 2),
               rope = normal_tensor(Shape{layout.tokens, layout.heads * layout.rope_dim}, 3),
               cos_sin = normal_tensor(Shape{layout.tokens, layout.rope_dim}, 4),
               query_before = normal_tensor(Shape{layout.tokens, layout.heads * head_dim}, 5);
  Tensor latent = normal_tensor(Shape{layout.tokens, head_dim}, 1),
         query = normal_tensor(Shape{layout.tokens, layout.heads * head_dim}, 5),
         slots(Shape{layout.tokens}, DType::kI64);
  for (int t = 0; t < layout.tokens; ++t) {
    slots.data<int64_t>()[t] = t == 1 ? -1 : cache.slot(0, t + 3);
  }
  CpuRun cpu(2, "scalar");
  latent_input(cpu.ctx, latent, rope,
               {.heads = layout.heads,
                .latent_dim = layout.latent_dim,
                .norm = norm,
                .norm_eps = 1e-6f,
                .cos_sin = cos_sin},
               slots, cache.kv(), query);
  const double rounding = layout.dtype == DType::kF32 ? 4e-6 : layout.dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
  for (int t = 0; t < layout.tokens; ++t) {
    const float* angles = cos_sin.view().row<float>(t);
    const std::vector<double> want =
        latent_in_fp64(before.view().row<float>(t), norm.data<float>(), angles, layout);
    for (int i = 0; i < head_dim && t != 1; ++i) {
      const double size = std::fabs(want[static_cast<size_t>(i)]);
      ASSERT_NEAR(cache.get(0, t + 3, 0, i), want[static_cast<size_t>(i)],
                  1.01 * rounding * size + 4e-6);
    }
    for (int c = 0; c < layout.heads * head_dim; ++c) {
      const int head = c / head_dim, within = c % head_dim - layout.latent_dim;
      const float got = query.view().row<float>(t)[c];
      if (within < 0) {
        ASSERT_EQ(got, query_before.view().row<float>(t)[c]);
        continue;
      }
      const float* x = rope.view().row<float>(t) + head * layout.rope_dim;
      ASSERT_NEAR(got, rotated(x, angles, layout.rope_dim, within), 1e-5);
    }
  }
  for (int token : {0, 1, 2, 4}) EXPECT_TRUE(std::isnan(cache.get(0, token, 0, 0)));
}

TEST(LatentInput, NormsRotatesAndStores) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    check_layout({.heads = 3, .latent_dim = 24, .rope_dim = 8, .tokens = 5, .dtype = dtype});
    check_layout({.heads = 16, .latent_dim = 512, .rope_dim = 64, .tokens = 40, .dtype = dtype});
  }
}

}  // namespace
}  // namespace lmdeploy
