// CUDA's attention_input against the CPU op on the same rounded inputs.
#include "kernels/attention_input.h"

#include <cmath>

#include "tests/kernels/cuda/cuda_test_support.h"
#include "tests/kernels/paged_kv_fixture.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::CudaRun;
using test::PagedKvFixture;

struct Layout {
  int heads, kv_heads, head_dim, rotary_dim;
  bool norms;
  int tokens;
  int gap = 0;  // columns between the rows of qkv
};

// q and the pages after the op.
struct Outcome {
  Tensor qkv;
  PagedKvFixture cache;
};

class Input {
 public:
  Input(const Layout& layout, DType dtype)
      : layout_(layout),
        dtype_(dtype),
        columns_((layout.heads + 2 * layout.kv_heads) * layout.head_dim),
        slots_(Shape{layout.tokens}, DType::kI64) {
    qkv_ = test::rounded(test::normal_tensor(Shape{layout.tokens, columns_ + layout.gap}, 1, 2),
                         dtype);
    q_norm_ = test::normal_tensor(Shape{layout.head_dim}, 2);
    k_norm_ = test::normal_tensor(Shape{layout.head_dim}, 3);
    if (layout.rotary_dim > 0)
      cos_sin_ = test::normal_tensor(Shape{layout.tokens, layout.rotary_dim}, 4);
  }

  Outcome on(Ctx ctx, Device device) {
    PagedKvFixture cache({.kv_heads = layout_.kv_heads,
                          .head_dim = layout_.head_dim,
                          .block_tokens = 32,
                          .dtype = dtype_},
                         {layout_.tokens + 3});
    for (int t = 0; t < layout_.tokens; ++t)
      slots_.data<int64_t>()[t] = t == 1 ? -1 : cache.slot(0, t + 3);
    const Tensor qkv = test::copied(device.is_cpu() ? test::as_f32(qkv_) : to_host(qkv_), device),
                 slots = test::copied(slots_, device), q_norm = test::copied(q_norm_, device),
                 k_norm = test::copied(k_norm_, device),
                 pages = test::copied(cache.pages(), device);
    Tensor cos_sin;
    AttentionInputParams params{.heads = layout_.heads,
                                .kv_heads = layout_.kv_heads,
                                .head_dim = layout_.head_dim,
                                .norm_eps = 1e-6f};
    if (layout_.norms) {
      params.q_norm = q_norm;
      params.k_norm = k_norm;
    }
    if (layout_.rotary_dim > 0) {
      cos_sin = test::copied(cos_sin_, device);
      params.cos_sin = cos_sin;
    }
    PagedKv kv = cache.kv();
    kv.pages = pages.data<std::byte>();
    attention_input(ctx, qkv.view().columns(0, columns_), params, slots, kv);
    ctx.stream.synchronize();
    device_copy(Device{}, cache.pages().view().raw(), device, pages.view().raw(), pages.bytes());
    return {test::to_host(qkv), std::move(cache)};
  }

  void expect_same(const Outcome& got, const Outcome& want) const {
    for (int t = 0; t < layout_.tokens; ++t) {
      for (int i = 0; i < layout_.heads * layout_.head_dim; ++i) {
        const int64_t at = int64_t{t} * (columns_ + layout_.gap) + i;
        expect_rounded(test::element(got.qkv, at), test::element(want.qkv, at));
      }
    }
    for (int token = 0; token < layout_.tokens + 3; ++token) {
      for (int head = 0; head < 2 * layout_.kv_heads; ++head) {
        for (int i = 0; i < layout_.head_dim; ++i) {
          expect_rounded(got.cache.get(0, token, head, i), want.cache.get(0, token, head, i));
        }
      }
    }
  }

 private:
  // Poison stays poison.
  void expect_rounded(float got, float want) const {
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got));
      return;
    }
    ASSERT_NEAR(got, want, test::rounding(dtype_) * std::fabs(want) + 4e-6);
  }
  static Tensor to_host(const Tensor& x) { return test::copied(x, Device{}); }

  Layout layout_;
  DType dtype_;
  int64_t columns_;
  Tensor qkv_, q_norm_, k_norm_, cos_sin_, slots_;
};

class CudaAttentionInput : public testing::TestWithParam<DType> {};

TEST_P(CudaAttentionInput, EqualsTheCpuOp) {
  CpuRun cpu(4, "scalar");
  CudaRun gpu;
  for (const Layout& layout : {Layout{32, 8, 128, 128, false, 7}, Layout{32, 8, 128, 128, true, 7},
                               Layout{9, 3, 64, 64, false, 33}, Layout{4, 1, 256, 256, true, 5},
                               Layout{32, 32, 80, 32, false, 3}, Layout{6, 2, 96, 96, true, 3, 8},
                               Layout{5, 5, 100, 100, true, 3}, Layout{3, 1, 24, 8, true, 3},
                               Layout{8, 2, 128, 0, false, 3}, Layout{8, 2, 128, 0, true, 3, 5},
                               Layout{7, 1, 72, 36, true, 2}, Layout{2, 1, 6, 6, true, 2},
                               Layout{2, 1, 64, 32, false, 3}, Layout{2, 1, 128, 96, true, 3}}) {
    SCOPED_TRACE(testing::Message()
                 << layout.heads << "/" << layout.kv_heads << " heads of " << layout.head_dim);
    Input input(layout, GetParam());
    input.expect_same(input.on(gpu.ctx(), CudaRun::kDevice), input.on(cpu.ctx, Device{}));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaAttentionInput,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

TEST(CudaAttentionInput, LimitsF16ToItsLargestFiniteValue) {
  CudaRun gpu;
  PagedKvFixture cache({.kv_heads = 1, .head_dim = 64, .dtype = DType::kF16}, {1});
  Tensor qkv(Shape{1, 192}, DType::kF16), cos_sin(Shape{1, 2}, DType::kF32),
      slots(Shape{1}, DType::kI64);
  for (int i = 0; i < 192; ++i) qkv.data<f16>()[i] = to_f16(60000.0f);
  cos_sin.data<float>()[0] = 4.0f;
  slots.data<int64_t>()[0] = cache.slot(0, 0);
  const Tensor on_gpu = test::to_gpu(qkv), angles = test::to_gpu(cos_sin),
               slot = test::to_gpu(slots), pages = test::to_gpu(cache.pages());
  PagedKv kv = cache.kv();
  kv.pages = pages.data<std::byte>();
  Ctx ctx = gpu.ctx();
  attention_input(ctx, on_gpu, {.heads = 1, .kv_heads = 1, .head_dim = 64, .cos_sin = angles}, slot,
                  kv);
  gpu.stream().synchronize();
  device_copy(Device{}, cache.pages().view().raw(), CudaRun::kDevice, pages.view().raw(),
              pages.bytes());
  EXPECT_EQ(cache.get(0, 0, 0, 0), 65504.0f);
  EXPECT_EQ(cache.get(0, 0, 0, 1), 65504.0f);
  EXPECT_EQ(cache.get(0, 0, 0, 2), 60000.0f);
}

}  // namespace
}  // namespace lmdeploy
