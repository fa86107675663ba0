// What the goldens notice: each peculiarity of an architecture, broken by hand through its
// configuration or weights, must move the logits by more than ten times the goldens' tolerance.
// A golden that does not notice would not notice our doing it wrong either.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/models/golden.h"
#include "tests/models/mutations.h"

namespace lmdeploy {
namespace {

constexpr double kNoticed = 1e-2;

std::vector<Mutation> mutations() {
  std::vector<Mutation> all = {
      {"llama", "rope pairs interleaved", interleave_rope(64)},
      {"llama", "kv groups by remainder", regroup_heads(64)},
      {"llama", "k and v exchanged", exchange("k_proj", "v_proj")},
      {"llama", "gate and up exchanged", exchange("gate_proj", "up_proj")},
      {"llama", "norms exchanged", exchange("input_layernorm", "post_attention_layernorm")},
      {"llama", "final norm without weight", fill("model.norm", 1.0f)},
      {"llama", "epsilon", set("rms_norm_eps", 1e-2)},
      {"llama", "rope base", set("rope_theta", 20000.0)},
      {"llama", "tanh GELU for SiLU", set("hidden_act", "gelu_pytorch_tanh")},
      {"llama", "embedding for output matrix", erase("lm_head")},
      {"llama", "scaled by 1 / sqrt(hd + 1)", scale("q_proj", std::sqrt(64.0f / 65.0f))},
      {"llama-tied-hd80", "rope pairs interleaved", interleave_rope(80)},
      {"llama-hd100", "rope pairs interleaved", interleave_rope(100)},
      {"llama-hd100", "scaled as if padded to 112", scale("q_proj", std::sqrt(100.0f / 112.0f))},
      {"llama-bias", "no q, k, v bias",
       [](json::object& config, TinyWeights& weights) {
         for (const char* name : {"q_proj.bias", "k_proj.bias", "v_proj.bias"}) {
           erase(name)(config, weights);
         }
       }},
      {"llama-bias", "no o bias", erase("o_proj.bias")},
      {"llama-bias", "no gate, up bias",
       [](json::object& config, TinyWeights& weights) {
         erase("gate_proj.bias")(config, weights);
         erase("up_proj.bias")(config, weights);
       }},
      {"llama-bias", "no down bias", erase("down_proj.bias")},
      {"llama-bias", "biases in interleaved order",
       each("q_proj.bias",
            [](TinyTensor& t) {
              permute_rows(t, [](int64_t r) { return r / 64 * 64 + r % 2 * 32 + r % 64 / 2; });
            })},
      {"llama-llama3", "no scaling", set("rope_scaling", nullptr)},
      {"llama-llama3", "linear instead", set_rope("rope_type", "linear")},
      {"llama-llama3", "high_freq_factor", set_rope("high_freq_factor", 8.0)},
      {"llama-llama3", "low_freq_factor", set_rope("low_freq_factor", 2.0)},
      {"llama-llama3", "original length", set_rope("original_max_position_embeddings", 128)},
      {"llama-linear", "no scaling", set("rope_scaling", nullptr)},
      {"llama-linear", "factor", set_rope("factor", 2.0)},
      {"llama-dynamic", "no scaling", set("rope_scaling", nullptr)},
      {"llama-dynamic", "linear instead", set_rope("type", "linear")},
      {"llama-dynamic", "maximum one less", set("max_position_embeddings", 63)},
      {"llama-yarn", "no scaling", set("rope_scaling", nullptr)},
      {"llama-yarn", "attention factor", set_rope("attention_factor", 1.0)},
      {"llama-yarn", "ramp not truncated", set_rope("truncate", false)},
      {"llama-yarn", "beta_fast", set_rope("beta_fast", 16.0)},
      {"llama-yarn", "original length", set_rope("original_max_position_embeddings", 256)},
      {"llama-longrope", "short and long exchanged",
       [](json::object& config, TinyWeights&) {
         json::object& scaling = config["rope_scaling"].as_object();
         std::swap(scaling["short_factor"], scaling["long_factor"]);
       }},
      {"llama-longrope", "never long", set_rope("original_max_position_embeddings", 512)},
      {"llama-longrope", "attention factor", set_rope("attention_factor", 1.0)},
      {"llama-v5", "rope_theta not found", set_rope("rope_theta", 10000.0)},
      {"llama-v5", "scaling not found", set_rope("rope_type", "default")},
      {"mistral-window", "window one more", set("sliding_window", 17)},
      {"mistral-window", "window one less", set("sliding_window", 15)},
      {"mistral-window", "no window", set("sliding_window", nullptr)},
      {"qwen2", "no bias", fill("bias", 0.0f)},
      {"qwen2-window", "window one more", set("sliding_window", 17)},
      {"qwen2-window", "window one less", set("sliding_window", 15)},
      {"qwen2-window", "no window", set("use_sliding_window", false)},
      {"qwen2-window", "window one layer early", set("max_window_layers", 0)},
      {"qwen2-window", "window one layer late", set("max_window_layers", 2)},
      {"qwen3", "no q norm weight", fill("q_norm", 1.0f)},
      {"qwen3", "no k norm weight", fill("k_norm", 1.0f)},
      {"qwen3", "head norms exchanged", exchange("q_norm", "k_norm")},
      {"qwen3", "rope pairs interleaved", interleave_rope(128)},
      {"gemma3", "no plus one in the layers' norms", add("layernorm", -1.0f)},
      {"gemma3", "no plus one in the head norms", add("q_norm", -1.0f)},
      {"gemma3", "no plus one in the final norm", add("model.norm", -1.0f)},
      {"gemma3", "norms around attention exchanged",
       exchange("input_layernorm", "post_attention_layernorm")},
      {"gemma3", "norms around the MLP exchanged", exchange("pre_feedforward", "post_feedforward")},
      {"gemma3", "embedding not scaled", scale("embed_tokens", 1.0f / std::sqrt(128.0f))},
      {"gemma3", "window one more", set("sliding_window", 17)},
      {"gemma3", "window one less", set("sliding_window", 15)},
      {"gemma3", "pattern", set("sliding_window_pattern", 2)},
      {"gemma3", "local rope base", set("rope_local_base_freq", 1000000.0)},
      {"gemma3", "global rope base", set("rope_theta", 100.0)},
      {"gemma3", "scale by head_dim", set("query_pre_attn_scalar", 256)},
      {"gemma3", "SiLU for GELU", set("hidden_activation", "silu")},
      {"gemma3-v5", "no logit softcap", set("final_logit_softcapping", nullptr)},
      {"gemma3-v5", "global rope not scaled",
       [](json::object& config, TinyWeights&) {
         config["rope_parameters"].as_object()["full_attention"].as_object()["rope_type"] =
             "default";
       }},
      {"gemma3-v5", "local rope base not found",
       [](json::object& config, TinyWeights&) {
         config["rope_parameters"].as_object().erase("sliding_attention");
       }},
  };
  for (Mutation& mutation : dense_mutations()) all.push_back(std::move(mutation));
  for (Mutation& mutation : moe_mutations()) all.push_back(std::move(mutation));
  for (Mutation& mutation : latent_mutations()) all.push_back(std::move(mutation));
  for (Mutation& mutation : fused_mutations()) all.push_back(std::move(mutation));
  return all;
}

class MutationTest : public testing::TestWithParam<std::string> {};

TEST_P(MutationTest, IsNoticed) {
  const Golden golden = read_golden(GetParam());
  const std::unique_ptr<Stream> stream = test_stream();
  int applied = 0;
  for (const Mutation& mutation : mutations()) {
    if (mutation.golden != GetParam()) continue;
    json::object config = golden.config;
    TinyWeights weights = golden.weights;
    mutation.apply(config, weights);
    const auto model = load_tiny(config, weights, "float32", *stream);
    ASSERT_TRUE(model.ok()) << mutation.what << ": " << model.status().message();
    EXPECT_GT(golden_error(golden, **model, *stream, DType::kF32).max, kNoticed) << mutation.what;
    ++applied;
  }
  EXPECT_GT(applied, 0) << "a golden without mutations proves little";
}

INSTANTIATE_TEST_SUITE_P(All, MutationTest, testing::ValuesIn(golden_names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace lmdeploy
