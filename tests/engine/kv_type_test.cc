#include "engine/kv_type.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {
namespace {

// Of a GGUF file whose embedding has the ggml type (0 F32, 1 F16, 30 BF16) and, with `blocks`, a Q4_0 matrix.
DType kv_type(const char* dtype, uint32_t embedding, bool blocks = false) {
  TemporaryDirectory directory;
  GgufBuilder file = small_gguf_metadata("llama");
  file.tensor("token_embd.weight", {64, 4}, embedding, embedding == 0 ? 1024 : 512);
  if (blocks) file.tensor("blk.0.ffn_up.weight", {64, 96}, 2, 64 * 96 / 32 * 18);
  const auto checkpoint = Checkpoint::open(directory.write("model.gguf", file.build()));
  CHECK(checkpoint.ok(), "{}", checkpoint.status().message());
  return cpu_kv_type(dtype, **checkpoint);
}

TEST(KvType, AtAutoIsTheCheckpoints) {
  EXPECT_EQ(kv_type("auto", 0), DType::kF32);
  EXPECT_EQ(kv_type("auto", 1), DType::kF16);
  EXPECT_EQ(kv_type("auto", 30), DType::kBF16);
  for (uint32_t embedding : {0u, 1u, 30u}) EXPECT_EQ(kv_type("auto", embedding, true), DType::kBF16);
}

TEST(KvType, IsWhatTheUserNames) {
  for (bool blocks : {false, true}) {
    EXPECT_EQ(kv_type("float32", 30, blocks), DType::kF32);
    EXPECT_EQ(kv_type("float16", 30, blocks), DType::kF16);
    EXPECT_EQ(kv_type("bfloat16", 1, blocks), DType::kBF16);
  }
}

}  // namespace
}  // namespace lmdeploy
