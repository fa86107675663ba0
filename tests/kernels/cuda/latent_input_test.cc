// CUDA's latent_input against the CPU op on the same rounded inputs.
#include "kernels/latent_input.h"

#include "tests/kernels/cuda/cuda_test_support.h"
#include "tests/kernels/paged_kv_fixture.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::CudaRun;
using test::PagedKvFixture;

struct Layout {
  int heads, latent_dim, rope_dim, tokens;
  int head_dim() const { return latent_dim + rope_dim; }
};

struct Outcome {
  Tensor latent, query;  // f32
  PagedKvFixture cache;
};

Outcome run(const Layout& layout, DType dtype, Ctx ctx, Device device) {
  PagedKvFixture cache({.kv_heads = 1,
                        .head_dim = layout.head_dim(),
                        .block_tokens = 32,
                        .dtype = dtype,
                        .latent_dim = layout.latent_dim},
                       {layout.tokens + 3});
  Tensor host_slots(Shape{layout.tokens}, DType::kI64);
  for (int t = 0; t < layout.tokens; ++t) {
    host_slots.data<int64_t>()[t] = t == 1 ? -1 : cache.slot(0, t + 3);
  }
  const auto input = [&](int64_t columns, uint64_t seed) {
    Tensor values = test::rounded(test::normal_tensor(Shape{layout.tokens, columns}, seed), dtype);
    return device.is_cpu() ? test::as_f32(values) : test::to_gpu(values);
  };
  const Tensor latent = input(layout.head_dim(), 1), rope = input(layout.heads * layout.rope_dim, 2),
               query = input(int64_t{layout.heads} * layout.head_dim(), 3),
               slots = test::copied(host_slots, device),
               norm = test::copied(test::normal_tensor(Shape{layout.latent_dim}, 4), device),
               cos_sin =
                   test::copied(test::normal_tensor(Shape{layout.tokens, layout.rope_dim}, 5), device),
               pages = test::copied(cache.pages(), device);
  PagedKv kv = cache.kv();
  kv.pages = pages.data<std::byte>();
  latent_input(ctx, latent, rope,
               {.heads = layout.heads,
                .latent_dim = layout.latent_dim,
                .norm = norm,
                .norm_eps = 1e-6f,
                .cos_sin = cos_sin},
               slots, kv, query);
  ctx.stream.synchronize();
  device_copy(Device{}, cache.pages().view().raw(), device, pages.view().raw(), pages.bytes());
  return {test::as_f32(test::to_host(latent)), test::as_f32(test::to_host(query)), std::move(cache)};
}

TEST(CudaLatentInput, EqualsTheCpu) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const Layout& layout : {Layout{3, 24, 8, 5}, Layout{16, 512, 64, 40}}) {
      CudaRun gpu;
      CpuRun cpu(2, "scalar");
      const Outcome got = run(layout, dtype, gpu.ctx(), CudaRun::kDevice);
      const Outcome want = run(layout, dtype, cpu.ctx, Device{});
      const double tolerance = dtype == DType::kF32 ? 1e-5 : test::rounding(dtype);
      test::expect_close(got.latent, want.latent, tolerance, "latent");
      test::expect_close(got.query, want.query, tolerance, "query");
      Tensor got_cache(Shape{layout.tokens, layout.head_dim()}, DType::kF32),
          want_cache(Shape{layout.tokens, layout.head_dim()}, DType::kF32);
      for (int t = 0; t < layout.tokens; ++t) {
        for (int i = 0; i < layout.head_dim(); ++i) {
          if (t == 1) continue;
          got_cache.view().row<float>(t)[i] = got.cache.get(0, t + 3, 0, i);
          want_cache.view().row<float>(t)[i] = want.cache.get(0, t + 3, 0, i);
        }
      }
      test::expect_close(got_cache, want_cache, tolerance, "cache");
      for (int token : {0, 1, 2, 4}) EXPECT_TRUE(std::isnan(got.cache.get(0, token, 0, 0)));
    }
  }
}

}  // namespace
}  // namespace lmdeploy
