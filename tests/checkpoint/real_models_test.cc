// The models that tools/fetch_models.py lays out; skipped where they are not.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "checkpoint/checkpoint.h"

namespace lmdeploy {
namespace {

std::unique_ptr<Checkpoint> open_model(const char* file) {
  const std::string path = std::string(LMDEPLOY_SOURCE_DIR "/build/models/") + file;
  if (!std::filesystem::exists(path)) return nullptr;
  auto result = Checkpoint::open(path);
  EXPECT_TRUE(result.ok()) << result.status().message();
  return result.ok() ? std::move(*result) : nullptr;
}

TEST(RealModels, SmolLm2) {
  const auto model = open_model("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (model == nullptr) GTEST_SKIP() << "run tools/fetch_models.py";
  EXPECT_EQ(model->tensors().size(), 272u);
  EXPECT_EQ(model->total_bytes(), 96576768u);
  EXPECT_EQ(model->gguf_tokenizer()->tokens.size(), 49152u);
  EXPECT_EQ(model->gguf_tokenizer()->merges.size(), 48900u);
  EXPECT_EQ(model->gguf_tokenizer()->add_bos, false);
  EXPECT_EQ(model->config().at("num_key_value_heads"), 3);
  EXPECT_EQ(model->config().at("rope_theta"), 100000.0);
  EXPECT_NE(model->gguf_chat_template().find("<|im_start|>"), std::string::npos);
  const TensorRecord* down = model->find("model.layers.29.mlp.down_proj.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->shape, (Shape{576, 1536}));
  EXPECT_EQ(down->dtype, DType::kQ4_1);
}

TEST(RealModels, Gemma3) {
  const auto model = open_model("gemma-3-270m-Q4_K_M.gguf");
  if (model == nullptr) GTEST_SKIP() << "run tools/fetch_models.py";
  EXPECT_EQ(model->tensors().size(), 236u);
  EXPECT_EQ(model->gguf_tokenizer()->scores.size(), 262144u);
  EXPECT_EQ(model->config().at("query_pre_attn_scalar"), 256);
  EXPECT_EQ(model->config().at("sliding_window"), 512);
  EXPECT_EQ(std::ranges::count(model->config().at("layer_types").as_array(), "full_attention"), 3);
}

}  // namespace
}  // namespace lmdeploy
