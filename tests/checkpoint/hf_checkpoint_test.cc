#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/model_path.h"
#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"
#include "tests/checkpoint/torch_builder.h"

namespace lmdeploy {
namespace {

constexpr const char* kConfig = R"({"architectures":["LlamaForCausalLM"],"eos_token_id":2})";

void expect_refused(const std::string& path, StatusCode code,
                    std::initializer_list<const char*> parts) {
  const auto result = Checkpoint::open(path);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  for (const char* part : parts) {
    EXPECT_NE(result.status().message().find(part), std::string::npos)
        << "'" << part << "' is not in: " << result.status().message();
  }
}

TEST(HfCheckpoint, SingleFile) {
  TemporaryDirectory dir;
  dir.write("My-Model/config.json", kConfig);
  dir.write("My-Model/model.safetensors", small_safetensors());
  dir.write("My-Model/generation_config.json", R"({"eos_token_id":[7,8],"temperature":0.2})");
  const auto result = Checkpoint::open(dir.path() + "/My-Model/");
  ASSERT_TRUE(result.ok()) << result.status().message();
  const Checkpoint& model = **result;
  EXPECT_FALSE(model.is_gguf());
  EXPECT_EQ(model.model_name(), "My-Model");
  EXPECT_EQ(model.tensors().size(), 2u);
  EXPECT_EQ(model.find("a")->shape, (Shape{2, 3}));
  EXPECT_EQ(model.find("nothing"), nullptr);
  EXPECT_EQ(model.total_bytes(), 32u);
  EXPECT_EQ(model.generation_defaults().eos_ids, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(model.generation_defaults().temperature, 0.2);
}

std::string one_tensor(const std::string& name) {
  return safetensors_file("{\"" + name + R"(":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                          "abcd");
}

TEST(HfCheckpoint, ShardsThroughTheIndex) {
  TemporaryDirectory dir;
  dir.write("config.json", kConfig);
  dir.write("model-1.safetensors", one_tensor("x"));
  dir.write("model-2.safetensors", one_tensor("model.layers.0.self_attn.rotary_emb.inv_freq"));
  dir.write("model-3.safetensors", one_tensor("y"));
  dir.write("unlisted.safetensors", "not even a file of that kind");
  dir.write("model.safetensors.index.json", R"({"metadata":{"total_size":8},"weight_map":{
    "x":"model-1.safetensors","y":"model-3.safetensors",
    "model.layers.0.self_attn.rotary_emb.inv_freq":"model-2.safetensors"}})");
  const auto result = Checkpoint::open(dir.path());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)->tensors().size(), 2u);
  EXPECT_EQ(static_cast<char>((*result)->find("y")->data[3]), 'd');
}

TEST(HfCheckpoint, EveryProblemOfTheShardsIsNamed) {
  TemporaryDirectory dir;
  dir.write("config.json", kConfig);
  dir.write("model-1.safetensors", one_tensor("x"));
  dir.write("model-2.safetensors", one_tensor("y").substr(0, 40));
  dir.write("model-4.safetensors", one_tensor("x"));
  dir.write("model-5.safetensors", "version https://git-lfs.github.com/spec/v1\n");
  dir.write("model.safetensors.index.json", R"({"weight_map":{
    "x":"model-1.safetensors","y":"model-2.safetensors","z":"model-3.safetensors",
    "w":"model-4.safetensors","v":"model-5.safetensors"}})");
  expect_refused(dir.path(), StatusCode::kDataLoss,
                 {"model-2.safetensors is truncated", "model-3.safetensors cannot be opened",
                  "'x' is in model-4.safetensors; the index says model-1.safetensors",
                  "'w' is not in model-4.safetensors", "model-5.safetensors is a git-lfs pointer"});
}

TEST(HfCheckpoint, TorchFilesAreReadWhereNoSafetensorsAre) {
  TemporaryDirectory dir;
  dir.write("config.json", kConfig);
  dir.write("pytorch_model.bin", small_torch_file());
  const auto single = Checkpoint::open(dir.path());
  ASSERT_TRUE(single.ok()) << single.status().message();
  EXPECT_EQ((*single)->find("b")->shape, Shape{4});
  dir.write("pytorch_model-1.bin", torch_file(pickled_dict({{"x", pickled_tensor({})}})));
  dir.write("pytorch_model-2.bin", torch_file(pickled_dict({{"y", pickled_tensor({})}})));
  dir.write("pytorch_model.bin.index.json", R"({"weight_map":{"x":"pytorch_model-1.bin","y":"pytorch_model-2.bin"}})");
  const auto sharded = Checkpoint::open(dir.path());
  ASSERT_TRUE(sharded.ok()) << sharded.status().message();
  EXPECT_EQ((*sharded)->tensors().size(), 2u);
  dir.write("model.safetensors", one_tensor("s"));
  const auto safe = Checkpoint::open(dir.path());
  ASSERT_TRUE(safe.ok()) << safe.status().message();
  EXPECT_NE((*safe)->find("s"), nullptr) << "safetensors win";
}

TEST(HfCheckpoint, ModelOptsScalesOfTheCacheAloneLeave) {
  TemporaryDirectory dir;
  dir.write("config.json", kConfig);
  dir.write("hf_quant_config.json",
            R"({"quantization": {"quant_algo": null, "kv_cache_quant_algo": "FP8"}})");
  dir.write("model.safetensors",
            safetensors_file(
                R"({"k_proj.weight":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},)"
                R"("k_proj.k_scale":{"dtype":"F32","shape":[],"data_offsets":[4,8]}})",
                "abcdefgh"));
  const auto result = Checkpoint::open(dir.path());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)->tensors().size(), 1U);
  EXPECT_NE((*result)->find("k_proj.weight"), nullptr);
}

TEST(HfCheckpoint, AnIndexCannotLeadOutOfItsDirectory) {
  for (const char* name :
       {"../secret.safetensors", "/etc/passwd", "sub/x.safetensors", "",
        "model.safetensors.index.json", "a\\\\b.safetensors", "x\\u0000.safetensors"}) {
    TemporaryDirectory dir;
    dir.write("config.json", kConfig);
    dir.write("model.safetensors.index.json",
              std::string(R"({"weight_map":{"x":")") + name + "\"}}");
    expect_refused(dir.path(), StatusCode::kDataLoss, {"tensor 'x' is said to be in"});
  }
}

TEST(HfCheckpoint, AShardThatLinksToItselfIsNamed) {
  TemporaryDirectory dir;
  dir.write("config.json", kConfig);
  dir.write("model.safetensors.index.json", R"({"weight_map":{"x":"loop.safetensors"}})");
  std::filesystem::create_symlink("loop.safetensors", dir.path() + "/loop.safetensors");
  expect_refused(dir.path(), StatusCode::kNotFound, {"loop.safetensors cannot be opened"});
}

TEST(HfCheckpoint, MultimodalTensorsGetTheLanguageModelsNames) {
  TemporaryDirectory dir;
  dir.write("config.json", R"({"architectures":["Gemma3ForConditionalGeneration"],
                               "text_config":{"model_type":"gemma3_text"}})");
  dir.write(
      "model.safetensors",
      safetensors_file(
          R"({"language_model.model.norm.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
          R"("model.language_model.embed_tokens.weight":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
          R"("vision_tower.x":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
          "abc"));
  const auto result = Checkpoint::open(dir.path());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)->tensors().size(), 2u);
  EXPECT_NE((*result)->find("model.norm.weight"), nullptr);
  EXPECT_NE((*result)->find("model.embed_tokens.weight"), nullptr);
}

TEST(HfCheckpoint, ConfigOnlyNeedsNoWeights) {
  TemporaryDirectory dir;
  dir.write("config.json", kConfig);
  const auto result = Checkpoint::open(dir.path(), CheckpointParts::kConfigOnly);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)->generation_defaults().eos_ids, std::vector<int32_t>{2});
  expect_refused(dir.path(), StatusCode::kNotFound, {"no weights", "model.safetensors"});
}

// What each kind of directory that is not read is called, and what to do instead.
TEST(HfCheckpoint, OtherDirectoriesAreRefusedByName) {
  struct Case {
    std::vector<std::pair<const char*, const char*>> files;
    StatusCode code;
    std::initializer_list<const char*> parts;
  };
  const Case cases[] = {
      {{}, StatusCode::kNotFound, {"is empty"}},
      {{{"triton_models/weights/config.ini", ""}},
       StatusCode::kUnsupported,
       {"TurboMind workspace"}},
      {{{"params.json", "{}"}, {"consolidated.00.pth", "x"}},
       StatusCode::kUnsupported,
       {"Meta's own weights (consolidated.00.pth)"}},
      {{{"adapter_config.json", "{}"}, {"adapter_model.safetensors", "x"}},
       StatusCode::kUnsupported,
       {"LoRA adapter", "base model"}},
      {{{"m.gguf", "x"}}, StatusCode::kInvalidArgument, {"pass the file itself", "m.gguf"}},
      {{{"readme.md", "x"}}, StatusCode::kNotFound, {"no config.json"}},
      {{{"config.json", kConfig}, {"pytorch_model-00001-of-00002.bin", "x"}},
       StatusCode::kNotFound,
       {"pytorch_model.bin.index.json"}},
      {{{"config.json", kConfig}, {"model-00001-of-00002.safetensors", "x"}},
       StatusCode::kNotFound,
       {"model.safetensors.index.json"}},
      {{{"config.json",
         R"({"architectures":["A"],"quantization_config":{"quant_method":"gptq"}})"}},
       StatusCode::kUnsupported,
       {"'gptq'", "later version"}},
      {{{"config.json", "version https://git-lfs.github.com/spec/v1\n"}},
       StatusCode::kDataLoss,
       {"git-lfs pointer"}},
      {{{"config.json", "{"}}, StatusCode::kInvalidArgument, {"config.json is not valid JSON"}},
      {{{"config.json", ""}}, StatusCode::kInvalidArgument, {"config.json is empty"}},
  };
  for (const Case& item : cases) {
    TemporaryDirectory dir;
    for (const auto& [name, text] : item.files) dir.write(name, text);
    expect_refused(dir.path(), item.code, item.parts);
  }
  expect_refused("/no/such/model", StatusCode::kNotFound, {"/no/such/model does not exist"});
  TemporaryDirectory dir;
  expect_refused(dir.write("model.safetensors", "x"), StatusCode::kInvalidArgument, {"directory"});
  expect_refused(dir.write("pytorch_model.bin", "x"), StatusCode::kInvalidArgument, {"directory"});
  expect_refused(dir.write("m.pth", "x"), StatusCode::kUnsupported, {"torch file"});
}

TEST(ModelPath, FindsTheSnapshotThatMainNames) {
  TemporaryDirectory cache;
  cache.write("models--org--some-model/refs/main", "0123abcd");
  cache.write("models--org--some-model/snapshots/0123abcd/config.json", kConfig);
  cache.write("models--org--some-model/snapshots/feed/config.json", kConfig);
  cache.write("models--evil--m/refs/main", "../../../etc");
  ::setenv("HF_HUB_CACHE", cache.path().c_str(), 1);
  const auto found = resolve_model_path("org/some-model");
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(*found, cache.path() + "/models--org--some-model/snapshots/0123abcd");
  EXPECT_EQ(resolve_model_path(cache.path()).value(), cache.path());
  for (const char* name : {"org/other", "gpt2", "evil/m"}) {
    const auto missing = resolve_model_path(name);
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.status().message().find("Downloading is not in this version"),
              std::string::npos);
    EXPECT_NE(missing.status().message().find(cache.path()), std::string::npos);
  }
  for (const char* name : {"/no/such", "./x", "a/b/c", "../x", "a b", "org/", "/org"}) {
    const auto missing = resolve_model_path(name);
    ASSERT_FALSE(missing.ok()) << name;
    EXPECT_EQ(missing.status().message(), std::string(name) + " does not exist");
  }
  ::unsetenv("HF_HUB_CACHE");
}

TEST(ModelPath, CheckpointOfASnapshotIsNamedAfterTheRepository) {
  TemporaryDirectory cache;
  cache.write("models--org--some-model/snapshots/0123abcd/config.json", kConfig);
  const auto result = Checkpoint::open(cache.path() + "/models--org--some-model/snapshots/0123abcd",
                                       CheckpointParts::kConfigOnly);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)->model_name(), "some-model");
}

}  // namespace
}  // namespace lmdeploy
