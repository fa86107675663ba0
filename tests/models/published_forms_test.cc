// Forms in which configurations and tensors of a family were published, against the goldens of others
// that are the same function, and what is refused by name.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/models/batch_runner.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

class PublishedFormsTest : public testing::Test {
 protected:
  // The golden's error after `edit`, which changes the form and not the function.
  template <class Edit>
  double error_after(const char* name, Edit edit) {
    Golden golden = read_golden(name);
    edit(golden.config, golden.weights);
    const auto model = load_tiny(golden.config, golden.weights, "float32", *stream_);
    if (!model.ok()) {
      ADD_FAILURE() << name << ": " << model.status().message();
      return INFINITY;
    }
    return golden_error(golden, **model, *stream_, DType::kF32).max;
  }
  template <class Edit>
  std::string message(const char* name, Edit edit) {
    Golden golden = read_golden(name);
    edit(golden.config, golden.weights);
    const auto model = load_tiny(golden.config, golden.weights, "float32", *stream_);
    return model.ok() ? "loaded" : model.status().message();
  }
  std::vector<std::vector<float>> logits(const json::object& config, const TinyWeights& weights) {
    const auto model = load_tiny(config, weights, "float32", *stream_);
    CHECK(model.ok(), "{}", model.status().message());
    BatchRunner runner(**model, *stream_, {});
    return runner.step(0, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  }

  std::unique_ptr<Stream> stream_ = test_stream();
};

void rename_key(json::object& config, const char* from, const char* to) {
  const json::value value = config.at(from);
  config.erase(from);
  config[to] = value;
}

// The first Falcons: another class name, BLOOM's keys, defaults left out.
void make_refined_web(json::object& config) {
  config["architectures"] = json::array{"RWForCausalLM"};
  rename_key(config, "num_hidden_layers", "n_layer");
  rename_key(config, "num_attention_heads", "n_head");
  for (const char* key : {"new_decoder_architecture", "max_position_embeddings", "rope_theta"}) {
    config.erase(key);
  }
}

TEST_F(PublishedFormsTest, FalconUnderItsFirstName) {
  EXPECT_LE(error_after("falcon-7b", [](json::object& config, TinyWeights&) {
              config["model_type"] = "RefinedWebModel";
              make_refined_web(config);
            }), 1e-3);
  EXPECT_LE(error_after("falcon-40b", [](json::object& config, TinyWeights&) {
              config["model_type"] = "RefinedWeb";
              make_refined_web(config);
              rename_key(config, "num_kv_heads", "n_head_kv");
            }), 1e-3);
  EXPECT_LE(error_after("falcon-rw", [](json::object& config, TinyWeights&) {
              config["model_type"] = "RefinedWebModel";
              make_refined_web(config);
            }), 1e-3);
}

TEST_F(PublishedFormsTest, FalconWithOneKvHeadMaySayThereAreMore) {
  EXPECT_LE(error_after("falcon-7b", [](json::object& config, TinyWeights&) {
              config["num_kv_heads"] = 4;
              config["ffn_hidden_size"] = 1024;
            }), 1e-3);
}

TEST_F(PublishedFormsTest, Falcon11BSharesOneNorm) {
  Golden two = read_golden("falcon-40b");
  Golden one = two;
  one.config["num_ln_in_parallel_attn"] = 1;
  for (const auto& [name, tensor] : read_golden("falcon-40b").weights) {
    const size_t at = name.find("ln_attn");
    if (at == std::string::npos) continue;
    std::string shared = name, other = name;
    shared.replace(at, 7, "input_layernorm");
    other.replace(at, 7, "ln_mlp");
    two.weights[other] = tensor;
    one.weights[shared] = tensor;
    one.weights.erase(name);
    one.weights.erase(other);
  }
  EXPECT_EQ(logits(one.config, one.weights), logits(two.config, two.weights));
}

TEST_F(PublishedFormsTest, StableLmUnderItsFirstName) {
  EXPECT_LE(error_after("stablelm", [](json::object& config, TinyWeights&) {
              config["architectures"] = json::array{"StableLMEpochForCausalLM"};
              config["model_type"] = "stablelm_epoch";
              rename_key(config, "partial_rotary_factor", "rope_pct");
              rename_key(config, "layer_norm_eps", "norm_eps");
            }), 1e-3);
}

TEST_F(PublishedFormsTest, DefaultsOfTheClassesStandInForKeysLeftOut) {
  const auto without = [&](const char* golden, const char* key) {
    return error_after(golden, [&](json::object& config, TinyWeights&) { config.erase(key); });
  };
  EXPECT_LE(without("stablelm", "partial_rotary_factor"), 1e-3);
  EXPECT_LE(without("stablelm", "layer_norm_eps"), 1e-3);
  EXPECT_LE(without("cohere", "logit_scale"), 1e-3);
  EXPECT_LE(without("starcoder2", "norm_epsilon"), 1e-3);
  EXPECT_LE(without("starcoder2", "hidden_act"), 1e-3);
  EXPECT_LE(without("phi", "hidden_act"), 1e-3);
  EXPECT_LE(without("falcon-7b", "multi_query"), 1e-3);
}

TEST_F(PublishedFormsTest, BaichuanIsToldByItsConfigurationAndNotByItsClass) {
  for (const char* name : {"baichuan-7b", "baichuan-13b", "baichuan2-7b", "baichuan2-13b"}) {
    for (const char* architecture : {"BaiChuanForCausalLM", "BaichuanForCausalLM"}) {
      EXPECT_LE(error_after(name, [&](json::object& config, TinyWeights&) {
                  config["architectures"] = json::array{architecture};
                }), 1e-3) << name << " as " << architecture;
    }
  }
}

TEST_F(PublishedFormsTest, WhatHasNoMeaningIsRefused) {
  for (const char* name : {"falcon-rw", "baichuan-13b"}) {
    const std::string text = message(name, [](json::object& config, TinyWeights&) {
      config["rope_scaling"] = {{"type", "dynamic"}, {"factor", 2.0}};
    });
    EXPECT_NE(text.find("ALiBi"), std::string::npos) << text;
  }
  const std::string phi = message("phi", [](json::object& config, TinyWeights&) {
    config["qk_layernorm"] = true;
  });
  EXPECT_NE(phi.find("'qk_layernorm'"), std::string::npos) << phi;
  const std::string minicpm = message("minicpm", [](json::object& config, TinyWeights&) {
    config["num_experts"] = 8;
  });
  EXPECT_NE(minicpm.find("'num_experts'"), std::string::npos) << minicpm;
}

TEST_F(PublishedFormsTest, DummyWeightsRunWithAlibiAndUnitRows) {
  for (const char* name : {"falcon-rw", "falcon-40b", "baichuan2-13b", "stablelm-parallel"}) {
    json::object config = read_golden(name).config;
    config["torch_dtype"] = "bfloat16";
    TemporaryDirectory directory;
    directory.write("config.json", to_json_text(config));
    const auto checkpoint = Checkpoint::open(directory.path(), CheckpointParts::kConfigOnly);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    const auto model = load_model(**checkpoint, {.dummy_weights = true}, *stream_);
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ((*model)->info().max_position, 512) << name;
    BatchRunner runner(**model, *stream_, {});
    for (float logit : runner.step(0, {1, 2, 3}).back()) EXPECT_TRUE(std::isfinite(logit));
  }
}

}  // namespace
}  // namespace lmdeploy
