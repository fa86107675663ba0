#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf_architecture.h"
#include "checkpoint/gguf_file.h"
#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {
namespace {

Result<std::unique_ptr<Checkpoint>> open(const std::string& bytes) {
  TemporaryDirectory directory;
  return Checkpoint::open(directory.write("m.gguf", bytes));
}

void expect_refused(const std::string& bytes, StatusCode code,
                    std::initializer_list<const char*> parts) {
  const auto result = open(bytes);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  for (const char* part : parts) {
    EXPECT_NE(result.status().message().find(part), std::string::npos)
        << "'" << part << "' is not in: " << result.status().message();
  }
}

TEST(Gguf, LlamaBecomesAHuggingFaceModel) {
  const auto result = open(small_gguf());
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Checkpoint& model = **result;
  EXPECT_TRUE(model.is_gguf());
  EXPECT_EQ(model.model_name(), "Tiny Model");
  EXPECT_EQ(model.gguf_chat_template(), "{{ messages }}");
  const json::object expected = {{"architectures", json::array{"LlamaForCausalLM"}},
                                 {"model_type", "llama"},
                                 {"hidden_size", 64},
                                 {"intermediate_size", 96},
                                 {"num_hidden_layers", 1},
                                 {"num_attention_heads", 2},
                                 {"num_key_value_heads", 1},
                                 {"max_position_embeddings", 128},
                                 {"head_dim", 32},
                                 {"rms_norm_eps", 1e-5},
                                 {"rope_theta", 500000.0},
                                 {"rope_scaling", nullptr},
                                 {"vocab_size", 4},
                                 {"tie_word_embeddings", true},
                                 {"attention_bias", false},
                                 {"mlp_bias", false},
                                 {"hidden_act", "silu"},
                                 {"eos_token_id", 3}};
  EXPECT_EQ(model.config(), expected) << to_json_text(json::value(model.config()));

  const TensorRecord* q = model.find("model.layers.0.self_attn.q_proj.weight");
  ASSERT_NE(q, nullptr);
  EXPECT_EQ(q->source, "blk.0.attn_q.weight");
  EXPECT_EQ(q->dtype, DType::kQ4_0);
  EXPECT_EQ(q->shape, (Shape{64, 64}));
  EXPECT_EQ(q->bytes, 64u * 2 * 18);
  EXPECT_EQ(q->baked, kBakedInterleavedRope);
  EXPECT_EQ(static_cast<char>(q->data[q->bytes - 1]), '\2');
  EXPECT_EQ(model.find("model.embed_tokens.weight")->shape, (Shape{4, 64}));
  EXPECT_EQ(model.find("model.layers.0.post_attention_layernorm.weight")->baked, kBakedNothing);
  EXPECT_EQ(model.total_bytes(), 64u * 4 * 4 + 64 * 2 * 18 + 256 + 256);

  const GgufTokenizerMetadata& tokenizer = *model.gguf_tokenizer();
  EXPECT_EQ(tokenizer.model, "gpt2");
  EXPECT_EQ(tokenizer.pre, "llama-bpe");
  EXPECT_EQ(tokenizer.tokens, (std::vector<std::string>{"a", "b", "ab", "<eos>"}));
  EXPECT_EQ(tokenizer.merges, std::vector<std::string>{"a b"});
  EXPECT_EQ(tokenizer.token_types, (std::vector<int32_t>{1, 1, 1, 3}));
  EXPECT_EQ(tokenizer.eos, 3);
  EXPECT_FALSE(tokenizer.bos.has_value());
  EXPECT_FALSE(tokenizer.add_bos.has_value());
}

TEST(Gguf, Gemma3HasSandwichNormsWithOneAddedAndLayerTypes) {
  GgufBuilder builder = small_gguf_metadata("gemma3");
  builder.u32("gemma3.attention.sliding_window", 16).u32("gemma3.attention.key_length", 48);
  builder.u32("gemma3.attention.value_length", 48);
  builder.text("gemma3.rope.scaling.type", "linear").f32("gemma3.rope.scaling.factor", 8.0f);
  builder.array<uint8_t>("gemma3.attention.sliding_window_pattern", 7, {1});
  const auto result = open(builder.tensor("token_embd.weight", {64, 4}, 30, 512)
                               .tensor("blk.0.ffn_norm.weight", {64}, 0, 256)
                               .tensor("blk.0.attn_k_norm.weight", {48}, 0, 192)
                               .tensor("blk.0.post_ffw_norm.weight", {64}, 0, 256)
                               .tensor("blk.0.attn_q.weight", {64, 96}, 1, 64 * 96 * 2)
                               .build());
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Checkpoint& model = **result;
  const json::object& config = model.config();
  EXPECT_EQ(config.at("architectures").as_array()[0], "Gemma3ForCausalLM");
  EXPECT_EQ(config.at("model_type"), "gemma3_text");
  EXPECT_EQ(config.at("head_dim"), 48);
  EXPECT_EQ(config.at("query_pre_attn_scalar"), 48);
  EXPECT_EQ(config.at("sliding_window"), 16);
  EXPECT_EQ(config.at("rope_local_base_freq"), 10000.0);
  EXPECT_EQ(config.at("layer_types"), (json::array{"sliding_attention"}));
  EXPECT_EQ(config.at("rope_scaling"), (json::object{{"rope_type", "linear"}, {"factor", 8.0}}));
  for (const char* name :
       {"pre_feedforward_layernorm", "self_attn.k_norm", "post_feedforward_layernorm"}) {
    const TensorRecord* record = model.find(std::string("model.layers.0.") + name + ".weight");
    ASSERT_NE(record, nullptr) << name;
    EXPECT_EQ(record->baked, kBakedNormPlusOne) << name;
  }
  EXPECT_EQ(model.find("model.layers.0.self_attn.q_proj.weight")->baked, kBakedNothing);
}

TEST(Gguf, QwenBiasesAndUntiedOutput) {
  const auto result = open(small_gguf_metadata("qwen2")
                               .tensor("token_embd.weight", {64, 4}, 0, 1024)
                               .tensor("output.weight", {64, 4}, 0, 1024)
                               .tensor("blk.0.attn_q.bias", {64}, 0, 256)
                               .tensor("rope_freqs.weight", {16}, 0, 64)
                               .build());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)->config().at("architectures").as_array()[0], "Qwen2ForCausalLM");
  EXPECT_EQ((*result)->config().at("tie_word_embeddings"), false);
  EXPECT_EQ((*result)->config().at("attention_bias"), true);
  EXPECT_NE((*result)->find("lm_head.weight"), nullptr);
  EXPECT_NE((*result)->find("rope_freqs.weight"), nullptr);
  EXPECT_EQ((*result)->find("model.layers.0.self_attn.q_proj.bias")->baked, kBakedNothing);
}

TEST(Gguf, LlamaWithExpertsIsMixtral) {
  const std::string two_experts = std::string(64 * 8 * 4, '\1') + std::string(64 * 8 * 4, '\2');
  const auto result = open(small_gguf_metadata("llama")
                               .u32("llama.expert_count", 2)
                               .u32("llama.expert_used_count", 1)
                               .tensor("token_embd.weight", {64, 4}, 0, 1024)
                               .tensor("blk.0.ffn_gate_inp.weight", {64, 2}, 0, 512)
                               .tensor("blk.0.ffn_up_exps.weight", {64, 8, 2}, 0, two_experts)
                               .tensor("blk.1.ffn_down.1.weight", {8, 64}, 0, 2048)
                               .build());
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Checkpoint& model = **result;
  EXPECT_EQ(model.config().at("architectures").as_array()[0], "MixtralForCausalLM");
  EXPECT_EQ(model.config().at("num_local_experts"), 2);
  EXPECT_EQ(model.config().at("num_experts_per_tok"), 1);
  const std::string sparse = "model.layers.0.block_sparse_moe.";
  EXPECT_EQ(model.find(sparse + "gate.weight")->shape, (Shape{2, 64}));
  const TensorRecord* second = model.find(sparse + "experts.1.w3.weight");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->shape, (Shape{8, 64}));
  EXPECT_EQ(second->bytes, 2048u);
  EXPECT_EQ(static_cast<char>(second->data[0]), '\2');
  EXPECT_NE(model.find("model.layers.1.block_sparse_moe.experts.1.w2.weight"), nullptr);
}

TEST(Gguf, Starcoder2HasLayerNormsAndItsWindow) {
  GgufBuilder builder = small_gguf_metadata("starcoder2");
  builder.f32("starcoder2.attention.layer_norm_epsilon", 1e-5f);
  const auto result = open(builder.tensor("token_embd.weight", {64, 4}, 0, 1024)
                               .tensor("blk.0.ffn_up.bias", {64}, 0, 256)
                               .tensor("blk.0.ffn_norm.bias", {64}, 0, 256)
                               .build());
  ASSERT_TRUE(result.ok()) << result.status().message();
  const json::object& config = (*result)->config();
  EXPECT_EQ(config.at("norm_epsilon"), 1e-5);
  EXPECT_EQ(config.at("hidden_act"), "gelu_pytorch_tanh");
  EXPECT_EQ(config.at("sliding_window"), 4096);
  EXPECT_NE((*result)->find("model.layers.0.mlp.c_fc.bias"), nullptr);
  EXPECT_NE((*result)->find("model.layers.0.post_attention_layernorm.bias"), nullptr);
}

TEST(Gguf, LlamaWithAWindowIsMistral) {
  GgufBuilder builder = small_gguf_metadata("llama");
  builder.u32("llama.attention.sliding_window", 4096).u32("llama.rope.dimension_count", 16);
  const auto result = open(builder.tensor("token_embd.weight", {64, 4}, 0, 1024).build());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)->config().at("architectures").as_array()[0], "MistralForCausalLM");
  EXPECT_EQ((*result)->config().at("sliding_window"), 4096);
  EXPECT_EQ((*result)->config().at("partial_rotary_factor"), 0.5);
}

TEST(Gguf, AnUnknownArchitectureIsRefusedWithTheKnownOnes) {
  expect_refused(small_gguf("mamba"), StatusCode::kUnsupported,
                 {"'mamba'", "llama, qwen2, qwen3, gemma, gemma2, gemma3, phi3, starcoder2"});
}

TEST(Gguf, OtherTensorTypesAreRefusedByName) {
  expect_refused(small_gguf_metadata("llama")
                     .tensor("token_embd.weight", {64, 4}, 0, 1024)
                     .tensor("blk.0.ffn_up.weight", {256, 96}, 10, 84 * 96)
                     .tensor("blk.0.ffn_down.weight", {256, 96}, 23, 136 * 96)
                     .build(),
                 StatusCode::kUnsupported,
                 {"'blk.0.ffn_up.weight' is Q2_K", "'blk.0.ffn_down.weight' is IQ4_XS", "Q6_K"});
}

TEST(Gguf, VersionsOneAndBigEndianAreRefused) {
  GgufBuilder builder = small_gguf_metadata("llama");
  builder.version = 1;
  expect_refused(builder.build(), StatusCode::kUnsupported, {"version 1"});
  builder.version = 0x03000000;
  expect_refused(builder.build(), StatusCode::kUnsupported, {"big-endian"});
  builder.version = 2;
  EXPECT_TRUE(open(builder.tensor("token_embd.weight", {64, 4}, 0, 1024).build()).ok());
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string file = small_gguf();
  for (size_t size = 0; size < file.size(); size += size < 1500 ? 1 : 97) {
    const std::string cut = file.substr(0, size);
    EXPECT_FALSE(parse_gguf(std::as_bytes(std::span(cut)), "m").ok()) << size;
  }
  expect_refused(file.substr(0, file.size() - 1), StatusCode::kDataLoss,
                 {"'output_norm.weight'", "truncated"});
}

TEST(Gguf, HugeCountsAreRefusedBeforeAnythingIsAllocated) {
  for (size_t offset : {8u, 16u}) {
    std::string file = small_gguf();
    std::memset(file.data() + offset, 0xFF, 8);
    expect_refused(file, StatusCode::kDataLoss, {"18446744073709551615", "more than"});
  }
  expect_refused(small_gguf_metadata("llama")
                     .tensor_at("token_embd.weight", {1ull << 62, 1ull << 62}, 0, 0)
                     .build(),
                 StatusCode::kDataLoss, {"'token_embd.weight' has an impossible shape"});
}

// The size of a sparse file says nothing: what is read into memory has bounds of its own.
TEST(Gguf, SparseFilesAreRefusedBeforeAnythingLargeIsAllocated) {
  const TemporaryDirectory directory;
  const auto refused = [&](GgufBuilder builder, uint64_t size, std::initializer_list<const char*> parts) {
    const std::string path = directory.write("sparse.gguf", builder.build());
    std::filesystem::resize_file(path, size);
    const auto result = Checkpoint::open(path);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), StatusCode::kDataLoss);
    for (const char* part : parts) {
      EXPECT_NE(result.status().message().find(part), std::string::npos) << result.status().message();
    }
  };
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  // An array of zeros that goes on behind the end of what was written, as the last value.
  const auto endless = [](const char* key, uint32_t type, uint64_t count) {
    GgufBuilder builder;
    builder.text("general.architecture", "gemma3").u32("gemma3.block_count", 6);
    return builder.endless_array(key, type, count);
  };
  refused(endless("x", 0, 100'000 * kMiB), 200'000 * kMiB, {"'x'", "is not complete 536870912 bytes"});
  refused(endless("x", 8, 20'000 * kMiB), 200'000 * kMiB, {"'x'", "is not complete 536870912 bytes"});
  GgufBuilder many = small_gguf_metadata("gemma3");
  refused(many.claim(uint64_t{1} << 30, 1), 200'000 * kMiB, {"1073741824 tensors", "at most 262144"});
  refused(many.claim(1, uint64_t{1} << 20), 200'000 * kMiB, {"1048576 metadata values"});
  // Within the header's bound, but more than is read.
  for (const char* key : {"gemma3.attention.sliding_window_pattern", "tokenizer.ggml.token_type"}) {
    refused(endless(key, 0, 100 * kMiB).claim(0), 110 * kMiB, {key, "104857600 elements", "at most 8388608"});
  }
  refused(endless("tokenizer.ggml.scores", 6, 10 * kMiB).claim(0), 110 * kMiB, {"10485760 elements"});
  refused(endless("tokenizer.ggml.tokens", 8, 10 * kMiB).claim(0), 110 * kMiB, {"10485760 elements"});
}

TEST(Gguf, StringsThatAreReadAreBounded) {
  expect_refused(GgufBuilder()
                     .text("general.architecture", "llama")
                     .text("tokenizer.chat_template", std::string((size_t{16} << 20) + 1, 'x'))
                     .tensor("token_embd.weight", {64, 4}, 0, 1024)
                     .build(),
                 StatusCode::kDataLoss, {"'tokenizer.chat_template' has 16777217 bytes"});
}

TEST(Gguf, EveryProblemIsNamed) {
  expect_refused(small_gguf_metadata("llama")
                     .tensor("token_embd.weight", {64, 4}, 0, 1024)
                     .tensor_at("overlapping", {64}, 0, 32)
                     .tensor_at("far", {64}, 0, 1ull << 63)
                     .tensor_at("crooked", {8}, 0, 1027)
                     .tensor_at("ragged", {33, 2}, 2, 0)
                     .tensor_at("token_embd.weight", {8}, 0, 1024)
                     .build(),
                 StatusCode::kDataLoss,
                 {"'overlapping' overlaps 'token_embd.weight'", "'far' needs", "'crooked'",
                  "'ragged' has rows of 33 elements", "'token_embd.weight' occurs twice"});
}

TEST(Gguf, MissingAndWronglyTypedMetadataIsNamed) {
  GgufBuilder builder;
  builder.text("general.architecture", "llama").text("llama.block_count", "three");
  builder.u32("llama.attention.head_count", 0).u32("llama.embedding_length", 64);
  builder.u32("tokenizer.ggml.eos_token_id", 7).texts("tokenizer.ggml.tokens", {"a"});
  builder.array<float>("tokenizer.ggml.scores", 6, {1.0f, 2.0f});
  expect_refused(
      builder.tensor("output_norm.weight", {64}, 0, 256).build(), StatusCode::kDataLoss,
      {"'llama.block_count' is string; expected an integer", "'llama.attention.head_count' is 0",
       "'llama.feed_forward_length' is missing", "'llama.context_length' is missing",
       "layer_norm_rms_epsilon' is missing", "'token_embd.weight' is missing",
       "eos_token_id' is 7, outside the vocabulary of 1", "scores' has 2 elements for 1 tokens"});
}

TEST(Gguf, PartsAndOtherThingsThanModelsAreRefused) {
  expect_refused(small_gguf_metadata("llama").value("split.count", 2, uint16_t{3}).build(),
                 StatusCode::kUnsupported, {"one of 3 parts", "--merge"});
  expect_refused(GgufBuilder().text("general.architecture", "clip").build(),
                 StatusCode::kUnsupported, {"vision projector"});
  expect_refused(GgufBuilder().u32("x", 1).build(), StatusCode::kDataLoss,
                 {"general.architecture"});
  expect_refused(small_gguf_metadata("qwen3")
                     .u32("qwen3.expert_count", 8)
                     .tensor("token_embd.weight", {64, 4}, 0, 1024)
                     .build(),
                 StatusCode::kDataLoss, {"mixture of experts"});
  expect_refused("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
                 StatusCode::kDataLoss, {"git lfs pull"});
  expect_refused("PK\3\4 something else entirely", StatusCode::kDataLoss, {"not a GGUF file"});
}

}  // namespace
}  // namespace lmdeploy
