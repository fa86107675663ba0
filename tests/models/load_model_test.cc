// What load_model says of configurations and tensors that it cannot use.
#include <gtest/gtest.h>

#include "models/registry.h"
#include "tests/models/batch_runner.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

class LoadModelTest : public testing::Test {
 protected:
  // The message of loading the golden after `edit`.
  template <class Edit>
  std::string message(const char* name, Edit edit) {
    Golden golden = read_golden(name);
    edit(golden.config, golden.weights);
    const auto model = load_tiny(golden.config, golden.weights, "float32", *stream_);
    return model.ok() ? "loaded" : model.status().message();
  }
  static bool says(const std::string& message, std::string_view part) {
    return message.find(part) != std::string::npos;
  }

  std::unique_ptr<Stream> stream_ = test_stream();
};

TEST_F(LoadModelTest, UnknownArchitectureNamesTheNearestAndAll) {
  const std::string text = message("llama", [](json::object& config, TinyWeights&) {
    config["architectures"] = json::array{"LlamaForCausalML"};
  });
  EXPECT_TRUE(says(text, "'LlamaForCausalML'")) << text;
  EXPECT_TRUE(says(text, "nearest is 'LlamaForCausalLM'")) << text;
  for (const ModelEntry& entry : model_registry())
    EXPECT_TRUE(says(text, entry.architecture)) << text;
}

TEST_F(LoadModelTest, EveryProblemOfAConfigurationIsInOneError) {
  const std::string text = message("llama", [](json::object& config, TinyWeights&) {
    config.erase("hidden_size");
    config["hidden_act"] = "relu6";
    config["num_key_value_heads"] = 3;
    config["rope_scaling"] = {{"rope_type", "spiral"}, {"factor", 2.0}};
  });
  for (const char* part : {"hidden_size", "'relu6'", "gelu_pytorch_tanh", "num_key_value_heads 3",
                           "'spiral'", "llama3"}) {
    EXPECT_TRUE(says(text, part)) << part << " in: " << text;
  }
}

TEST_F(LoadModelTest, BadNumbersAreErrors) {
  const auto edited = [&](const char* key, json::value value) {
    return message("llama", [&](json::object& config, TinyWeights&) { config[key] = value; });
  };
  for (const char* key :
       {"num_hidden_layers", "num_attention_heads", "vocab_size", "hidden_size",
        "intermediate_size", "head_dim", "num_key_value_heads", "max_position_embeddings"}) {
    for (const json::value& value : {json::value(0), json::value(-1), json::value(int64_t{1} << 60),
                                     json::value("four"), json::value(json::array{})}) {
      EXPECT_NE(edited(key, value), "loaded") << key << " = " << to_json_text(value);
    }
  }
}

TEST_F(LoadModelTest, RealNumbersOutOfRangeAreErrors) {
  const auto refused = [&](const char* golden, const char* key, double value) {
    const std::string text =
        message(golden, [&](json::object& config, TinyWeights&) { config[key] = value; });
    EXPECT_TRUE(says(text, key)) << key << " = " << value << ": " << text;
  };
  for (double value : {-1e-5, 0.0, 2.0}) refused("llama", "rms_norm_eps", value);
  for (double value : {-1.0, 0.0, 1e300}) {
    refused("llama", "rope_theta", value);
    refused("gemma3", "rope_local_base_freq", value);
    refused("gemma3", "query_pre_attn_scalar", value);
  }
  refused("gemma3", "final_logit_softcapping", -30.0);
  refused("gemma3", "attn_logit_softcapping", 1e300);
  EXPECT_TRUE(says(message("gemma3",
                           [](json::object& config, TinyWeights&) {
                             config["sliding_window_pattern"] = 0;
                           }),
                   "sliding_window_pattern"));
}

TEST_F(LoadModelTest, DivisorsOfFrequenciesMustBePositiveNumbers) {
  for (float bad : {0.0f, -1.0f, NAN, INFINITY, 1e-20f}) {
    const std::string text = message("llama", [&](json::object&, TinyWeights& weights) {
      weights["rope_freqs.weight"] = {Shape{32}, std::vector<float>(32, 1.0f)};
      weights["rope_freqs.weight"].values[5] = bad;
    });
    EXPECT_TRUE(says(text, "rope_freqs.weight") && says(text, "element 5")) << bad << ": " << text;
  }
}

// The linear factor is in Gemma 3's max_position_embeddings already.
TEST_F(LoadModelTest, ContextOfScaledModels) {
  const auto context = [&](const char* name) {
    const Golden golden = read_golden(name);
    const auto model = load_tiny(golden.config, golden.weights, "float32", *stream_);
    CHECK(model.ok(), "{}", model.status().message());
    return (*model)->info().max_position;
  };
  EXPECT_EQ(context("gemma3-v5"), 512);  // linear, factor 8
  EXPECT_EQ(context("llama-linear"), 4 * 512);
}

// What is asked before loading equals what is in memory afterwards; a refusal stops the load.
TEST_F(LoadModelTest, BytesAreKnownBeforeLoading) {
  for (const std::string& name : golden_names()) {
    const Golden golden = read_golden(name);
    TemporaryDirectory directory;
    write_checkpoint(directory, golden.config, golden.weights);
    const auto checkpoint = Checkpoint::open(directory.path());
    ASSERT_TRUE(checkpoint.ok());
    for (const char* dtype : {"auto", "bfloat16", "float16"}) {
      for (bool dummy : {false, true}) {
        size_t planned = 0;
        const auto consent = [&](const ModelInfo& needs) {
          planned = needs.weight_bytes;
          EXPECT_FALSE(needs.kv_groups.empty());
          return Status();
        };
        const ModelOptions options{.dtype = dtype, .dummy_weights = dummy};
        const auto model = load_model(**checkpoint, options, *stream_, {}, consent);
        ASSERT_TRUE(model.ok()) << model.status().message();
        EXPECT_EQ(planned, (*model)->info().weight_bytes) << name << " " << dtype;
      }
    }
    bool read = false;
    const auto refused = load_model(
        **checkpoint, {}, *stream_, [&](size_t, size_t) { read = true; },
        [](const ModelInfo&) { return resource_exhausted("no room"); });
    EXPECT_EQ(refused.status().message(), "no room");
    EXPECT_FALSE(read);
  }
}

TEST_F(LoadModelTest, EveryWrongTensorIsInOneError) {
  const std::string text = message("llama", [](json::object&, TinyWeights& weights) {
    weights.erase("model.layers.1.mlp.up_proj.weight");
    weights["model.layers.9.mlp.up_proj.weight"] = {Shape{2}, {1, 2}};
    weights["model.norm.weight"] = {Shape{3}, {1, 2, 3}};
  });
  for (const char* part : {"model.layers.1.mlp.up_proj.weight", "model.layers.9.mlp.up_proj.weight",
                           "model.norm.weight"}) {
    EXPECT_TRUE(says(text, part)) << part << " in: " << text;
  }
}

TEST_F(LoadModelTest, HalfABiasIsAnError) {
  const std::string text = message("llama-bias", [](json::object&, TinyWeights& weights) {
    weights.erase("model.layers.0.self_attn.k_proj.bias");
  });
  EXPECT_TRUE(says(text, "model.layers.0.self_attn.k_proj.bias")) << text;
}

TEST_F(LoadModelTest, OptionsAreChecked) {
  const Golden golden = read_golden("llama");
  TemporaryDirectory directory;
  write_checkpoint(directory, golden.config, golden.weights);
  const auto checkpoint = Checkpoint::open(directory.path());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_FALSE(load_model(**checkpoint, {.dtype = "int3"}, *stream_).ok());
  EXPECT_FALSE(load_model(**checkpoint, {.rope_scaling_factor = 0.5}, *stream_).ok());
  const auto stretched = load_model(**checkpoint, {.rope_scaling_factor = 2.0}, *stream_);
  ASSERT_TRUE(stretched.ok());
  EXPECT_EQ((*stretched)->info().max_position, 1024);
}

TEST_F(LoadModelTest, ScalingFactorIsDynamicNtk) {
  Golden golden = read_golden("llama-dynamic");
  golden.config["rope_scaling"] = nullptr;
  TemporaryDirectory directory;
  write_checkpoint(directory, golden.config, golden.weights);
  const auto checkpoint = Checkpoint::open(directory.path());
  ASSERT_TRUE(checkpoint.ok());
  const auto model =
      load_model(**checkpoint, {.dtype = "float32", .rope_scaling_factor = 2.0}, *stream_);
  ASSERT_TRUE(model.ok());
  EXPECT_LE(golden_error(golden, **model, *stream_, DType::kF32).max, 1e-3);
}

TEST_F(LoadModelTest, LognScalesTheQueriesBeyondTheMaximum) {
  Golden golden = read_golden("llama");
  TemporaryDirectory directory;
  golden.config["max_position_embeddings"] = 100;  // of the prompts, the last alone is longer
  write_checkpoint(directory, golden.config, golden.weights);
  const auto checkpoint = Checkpoint::open(directory.path());
  ASSERT_TRUE(checkpoint.ok());
  const auto model = load_model(**checkpoint, {.dtype = "float32", .use_logn_attn = true}, *stream_);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_GT(golden_error(golden, **model, *stream_, DType::kF32).max, 1e-2);
  golden.logits.resize(golden.logits.size() - golden.prompts.back().rows.size());
  golden.prompts.pop_back();
  EXPECT_LE(golden_error(golden, **model, *stream_, DType::kF32).max, 1e-3);
}

TEST_F(LoadModelTest, InfoDescribesTheModel) {
  const Golden golden = read_golden("gemma3");
  const auto model = load_tiny(golden.config, golden.weights, "bfloat16", *stream_);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const ModelInfo& info = (*model)->info();
  EXPECT_EQ(info.architecture, "Gemma3ForCausalLM");
  EXPECT_EQ(info.vocab_size, 256);
  EXPECT_EQ(info.hidden_size, 128);
  EXPECT_EQ(info.num_layers, 6);
  EXPECT_EQ(info.max_position, 512);
  ASSERT_EQ(info.kv_groups.size(), 3u);  // two full layers; four with a window in groups of two
  EXPECT_EQ(info.kv_groups[0].layers, (std::vector<int>{2, 5}));
  EXPECT_EQ(info.kv_groups[1].layers, (std::vector<int>{0, 1}));
  EXPECT_EQ(info.kv_groups[1].window, 16);
  int64_t parameters = 0;
  for (const auto& [name, tensor] : golden.weights) parameters += tensor.shape.numel();
  EXPECT_GE(info.weight_bytes, static_cast<size_t>(2 * parameters));
  EXPECT_LE(info.weight_bytes, static_cast<size_t>(3 * parameters));
}

TEST_F(LoadModelTest, DummyWeightsRun) {
  json::object config = read_golden("qwen3").config;
  config["torch_dtype"] = "bfloat16";
  TemporaryDirectory directory;
  directory.write("config.json", to_json_text(config));
  const auto checkpoint = Checkpoint::open(directory.path(), CheckpointParts::kConfigOnly);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const auto model = load_model(**checkpoint, {.dummy_weights = true}, *stream_);
  ASSERT_TRUE(model.ok()) << model.status().message();
  BatchRunner runner(**model, *stream_, {});
  const auto logits = runner.step(0, {1, 2, 3});
  for (float logit : logits.back()) EXPECT_TRUE(std::isfinite(logit));
}

}  // namespace
}  // namespace lmdeploy
