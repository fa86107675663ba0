#include "checkpoint/weight_type.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {
namespace {

// Of a directory with an embedding [2,2], a matrix [4,2] and a norm [2], of these safetensors types.
DType type_of_directory(const char* config, const char* embedding, const char* matrix,
                        const char* norm) {
  const auto bytes = [](std::string_view dtype, int elements) {
    return elements * (dtype == "F32" ? 4 : dtype == "U8" ? 1 : 2);
  };
  const int a = bytes(embedding, 4), b = a + bytes(matrix, 8), c = b + bytes(norm, 2);
  TemporaryDirectory directory;
  directory.write("config.json", config);
  directory.write(
      "model.safetensors",
      safetensors_file(
          fmt::format(
              R"({{"model.embed_tokens.weight":{{"dtype":"{}","shape":[2,2],"data_offsets":[0,{}]}},)"
              R"("model.layers.0.mlp.up_proj.weight":{{"dtype":"{}","shape":[4,2],"data_offsets":[{},{}]}},)"
              R"("model.norm.weight":{{"dtype":"{}","shape":[2],"data_offsets":[{},{}]}}}})",
              embedding, a, matrix, a, b, norm, b, c),
          std::string(static_cast<size_t>(c), '\1')));
  const auto checkpoint = Checkpoint::open(directory.path());
  CHECK(checkpoint.ok(), "{}", checkpoint.status().message());
  return stored_weight_type(**checkpoint);
}

constexpr char kNoType[] = R"({"architectures":["LlamaForCausalLM"]})";
constexpr char kSaysHalf[] = R"({"architectures":["LlamaForCausalLM"],"torch_dtype":"float16"})";

TEST(WeightType, IsTheMatricesOfADirectory) {
  for (const auto& [name, dtype] :
       {std::pair("F32", DType::kF32), {"F16", DType::kF16}, {"BF16", DType::kBF16}}) {
    EXPECT_EQ(type_of_directory(kNoType, name, name, "F32"), dtype) << name;
    EXPECT_EQ(type_of_directory(kSaysHalf, name, name, "F32"), dtype) << name;
  }
  EXPECT_EQ(type_of_directory(kNoType, "F16", "BF16", "F32"), DType::kF16) << "the embedding's";
}

TEST(WeightType, OfOddEmbeddingsIsThatOfMostMatrices) {
  EXPECT_EQ(type_of_directory(kNoType, "U8", "F16", "F32"), DType::kF16);
  EXPECT_EQ(type_of_directory(kSaysHalf, "U8", "U8", "F32"), DType::kF16) << "the configured one";
}

// ggml types: 0 F32, 1 F16, 2 Q4_0, 30 BF16.
TEST(WeightType, OfAGgufFile) {
  const auto type = [](uint32_t embedding, size_t embedding_bytes, uint32_t matrix, size_t bytes) {
    TemporaryDirectory directory;
    GgufBuilder file = small_gguf_metadata("llama");
    file.tensor("token_embd.weight", {64, 4}, embedding, embedding_bytes);
    file.tensor("blk.0.ffn_up.weight", {64, 96}, matrix, bytes);
    const auto checkpoint = Checkpoint::open(directory.write("model.gguf", file.build()));
    CHECK(checkpoint.ok(), "{}", checkpoint.status().message());
    return stored_weight_type(**checkpoint);
  };
  constexpr size_t kEmbedding = 64 * 4, kMatrix = 64 * 96;
  EXPECT_EQ(type(0, kEmbedding * 4, 0, kMatrix * 4), DType::kF32);
  EXPECT_EQ(type(1, kEmbedding * 2, 1, kMatrix * 2), DType::kF16);
  EXPECT_EQ(type(30, kEmbedding * 2, 30, kMatrix * 2), DType::kBF16);
  EXPECT_EQ(type(1, kEmbedding * 2, 2, kMatrix / 32 * 18), DType::kBF16) << "blocks";
  EXPECT_EQ(type(0, kEmbedding * 4, 2, kMatrix / 32 * 18), DType::kBF16) << "blocks";
}

TEST(WeightType, WithoutWeightsIsTheConfiguredOne) {
  const auto type = [](const char* dtype) {
    TemporaryDirectory directory;
    directory.write("config.json", fmt::format(R"({{"architectures":["A"],"torch_dtype":{}}})", dtype));
    return stored_weight_type(**Checkpoint::open(directory.path(), CheckpointParts::kConfigOnly));
  };
  EXPECT_EQ(type("\"float32\""), DType::kF32);
  EXPECT_EQ(type("\"float16\""), DType::kF16);
  EXPECT_EQ(type("\"bfloat16\""), DType::kBF16);
  EXPECT_EQ(type("null"), DType::kBF16);
  EXPECT_EQ(type("7"), DType::kBF16);
}

}  // namespace
}  // namespace lmdeploy
