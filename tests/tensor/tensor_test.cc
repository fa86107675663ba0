#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tensor/arena.h"
#include "tensor/stream.h"

namespace lmdeploy {
namespace {

TEST(Tensor, OwnsZeroedMemoryAndMoves) {
  for (int64_t count : {0, 1, 1000, 3 << 20}) {
    Tensor tensor(Shape{count}, DType::kF32);
    for (int64_t i = 0; i < count; i += 997) ASSERT_EQ(tensor.data<float>()[i], 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.view().raw()) % 64, 0u);
    float* const memory = tensor.data<float>();
    Tensor moved(std::move(tensor));
    EXPECT_EQ(moved.data<float>(), memory);
    EXPECT_TRUE(tensor.empty());
    tensor = std::move(moved);
    EXPECT_EQ(tensor.data<float>(), memory);
  }
}

TEST(TensorView, RowsAndColumnsKeepTheStride) {
  Tensor tensor(Shape{4, 6}, DType::kI32);
  for (int32_t i = 0; i < 24; ++i) tensor.data<int32_t>()[i] = i;
  const TensorView part = tensor.view().columns(2, 3).rows(1, 2);
  EXPECT_EQ(part.shape().to_string(), "[2, 3]");
  EXPECT_EQ(part.row_stride(), 6);
  EXPECT_FALSE(part.contiguous());
  EXPECT_EQ(part.row<int32_t>(0)[0], 8);
  EXPECT_EQ(part.row<int32_t>(1)[2], 16);
  EXPECT_DEATH(tensor.view().rows(3, 2), "rows \\[3, 5\\) of 4");
  EXPECT_DEATH(tensor.view().columns(5, 2), "columns \\[5, 7\\)");
}

TEST(Arena, GivesBackWhatAScopeTook) {
  Arena arena{Device{}};
  float* const first = arena.allocate<float>(10);
  void* inside = nullptr;
  {
    ArenaScope scope(arena);
    inside = arena.allocate<float>(1 << 22);  // larger than a chunk
    std::memset(inside, 1, size_t{4} << 22);
  }
  const size_t high = arena.high_water();
  EXPECT_GE(high, size_t{4} << 22);
  {
    ArenaScope scope(arena);
    EXPECT_EQ(arena.allocate<float>(1 << 22), inside);
  }
  EXPECT_EQ(arena.high_water(), high);
  EXPECT_NE(arena.allocate<float>(10), first);
}

TEST(Arena, PoisonFillsFreeMemoryAlone) {
  Arena arena{Device{}};
  float* const used = arena.allocate<float>(64);
  std::fill(used, used + 64, 2.0f);
  arena.poison();
  EXPECT_EQ(used[63], 2.0f);
  EXPECT_TRUE(std::isnan(*arena.allocate<float>(1)));
}

TEST(DType, HalfTypesRoundToNearestEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 half{static_cast<uint16_t>(bits)};
    const bf16 brain{static_cast<uint16_t>(bits)};
    const float wide = to_float(half), wide_brain = to_float(brain);
    if (!std::isnan(wide)) {
      ASSERT_EQ(to_f16(wide).bits, bits);
    }
    if (!std::isnan(wide_brain)) {
      ASSERT_EQ(to_bf16(wide_brain).bits, bits);
    }
  }
  EXPECT_EQ(to_float(to_f16(1.0f + 0x1p-11f)), 1.0f);  // a tie goes to even
  EXPECT_EQ(to_float(to_f16(1.0f + 0x1.8p-10f)), 1.0f + 0x1p-9f);
  EXPECT_EQ(to_float(to_bf16(1.0f + 0x1p-8f)), 1.0f);
  EXPECT_TRUE(std::isinf(to_float(to_f16(65520.0f))));
  EXPECT_EQ(to_float(to_f16(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isnan(to_float(to_f16(NAN))) && std::isnan(to_float(to_bf16(NAN))));
}

TEST(DType, BlockTypesCountWholeBlocks) {
  EXPECT_EQ(dtype_bytes(DType::kQ4_1, 64), 40);
  EXPECT_EQ(dtype_bytes(DType::kQ6_K, 512), 420);
  EXPECT_DEATH(dtype_bytes(DType::kQ4_K, 100), "no whole blocks of q4_k");
}

TEST(CpuIsa, NamesWhatItHas) {
  for (const std::string& name : CpuIsa::available()) EXPECT_EQ(CpuIsa::named(name)->name(), name);
  const Status unknown = CpuIsa::named("sse9").status();
  EXPECT_EQ(unknown.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.message().find("'sse9'"), std::string::npos);
}

// Where CUDA cannot start, the error says so and names the way out.
TEST(Device, CudaThatCannotStartNamesTheCpu) {
  const CudaProbe probe = probe_cuda();
  EXPECT_FALSE(probe.detail.empty());
  if (probe.built_in && probe.devices > 0) GTEST_SKIP() << probe.detail;
  const auto stream = make_stream({DeviceType::kCuda, 0}, 0, {});
  ASSERT_FALSE(stream.ok());
  EXPECT_EQ(stream.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(stream.status().message().find("--device cpu"), std::string::npos);
}

}  // namespace
}  // namespace lmdeploy
