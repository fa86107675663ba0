#include "checkpoint/quantization.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

json::object config_of(std::string_view quantization) {
  const auto value = parse_json(quantization, "test");
  CHECK(value.ok(), "{}", value.status().message());
  return {{"quantization_config", *value}};
}

std::string refusal(const json::object& config) {
  const auto read = read_quantization(config, "M");
  return read.ok() ? "read" : std::string(read.status().message());
}

constexpr std::string_view kChannel = R"({"quant_method": "compressed-tensors",
  "format": "float-quantized", "ignore": ["lm_head"], "quantization_status": "compressed",
  "kv_cache_scheme": null, "sparsity_config": {"format": "dense"}, "config_groups": {"group_0": {
    "targets": ["Linear"], "input_activations": {"num_bits": 8, "type": "float", "dynamic": true,
    "strategy": "token"}, "weights": {"num_bits": 8, "type": "float", "strategy": "channel",
    "symmetric": true, "dynamic": false, "block_structure": null}}}})";

constexpr std::string_view kBlock = R"({"quant_method": "compressed-tensors", "config_groups": {
  "group_0": {"weights": {"num_bits": 8, "type": "float", "strategy": "block",
  "block_structure": [128, 128]}}, "group_1": {"weights": null}}})";

json::object with(std::string_view text, std::string_view from, std::string_view to) {
  std::string changed(text);
  const size_t at = changed.find(from);
  CHECK(at != std::string::npos, "no {}", from);
  return config_of(changed.replace(at, from.size(), to));
}

TEST(Quantization, Fp8OfSeveralToolsIsRead) {
  const struct {
    json::object config;
    const char* format;
    std::optional<std::array<int64_t, 2>> block;
  } cases[] = {
      {config_of(R"({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 64]})"),
       "fp8", {{128, 64}}},
      {config_of(R"({"quant_method": "fp8", "activation_scheme": "static",
                     "ignored_layers": ["lm_head"]})"), "fp8", {}},
      {config_of(R"({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0,
                     "modules_to_not_convert": ["lm_head"]})"), "fp8", {}},
      {config_of(R"({"quant_method": "modelopt", "quant_algo": "FP8"})"), "fp8", {}},
      {config_of(kChannel), "compressed-tensors", {}},
      {with(kChannel, "channel", "tensor"), "compressed-tensors", {}},
      {with(kBlock, "", ""), "compressed-tensors", {{128, 128}}},
  };
  for (const auto& one : cases) {
    const auto read = read_quantization(one.config, "M");
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_TRUE(read->fp8);
    EXPECT_EQ(read->block, one.block) << to_json_text(one.config);
    EXPECT_EQ(stored_format(one.config), one.format);
  }
}

TEST(Quantization, NoneAndMxfp4HaveNoFp8) {
  for (const json::object& config : {json::object(), config_of("null"), config_of("{}"),
                                     config_of(R"({"quant_method":"mxfp4"})")}) {
    const auto read = read_quantization(config, "M");
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_FALSE(read->fp8);
  }
  EXPECT_EQ(stored_format({}), "hf");
  EXPECT_EQ(stored_format(config_of(R"({"quant_method":"mxfp4"})")), "mxfp4");
}

TEST(Quantization, OthersAreRefusedByName) {
  const auto expect = [](const json::object& config, std::initializer_list<const char*> texts) {
    for (const char* text : texts) {
      EXPECT_NE(refusal(config).find(text), std::string::npos) << text << ": " << refusal(config);
    }
  };
  expect(config_of(R"({"quant_method":"awq"})"), {"'awq'", "later version"});
  expect(config_of(R"({"quant_method":"modelopt","quant_algo":"NVFP4"})"), {"'NVFP4'"});
  expect(with(kChannel, R"("weights": {"num_bits": 8, "type": "float")",
              R"("weights": {"num_bits": 4, "type": "int")"),
         {"compressed-tensors", "int of 4 bits"});
  expect(with(kChannel, R"("strategy": "channel")", R"("strategy": "group")"),
         {"strategy 'group'"});
  expect(with(kChannel, "dense", "sparse-24-bitmask"), {"sparse 'sparse-24-bitmask'"});
  expect(with(kBlock, "[128, 128]", "[0, 128]"), {"'block_structure'"});
  expect(config_of(R"({"quant_method":"compressed-tensors"})"), {"no 'config_groups'"});
  expect(with(kChannel, R"("ignore")",
              R"("transform_config": {"config_groups": {"u": {}}}, "ignore")"), {"rotated"});
  for (const char* size : {"[0, 128]", "[128]", "\"128\"", "[128, 65537]"}) {
    expect(config_of(R"({"quant_method":"fp8","weight_block_size":)" + std::string(size) + "}"),
           {"'weight_block_size'"});
  }
}

TEST(Quantization, ModelOptsOwnFileCountsWhereTheConfigurationSaysNothing) {
  const json::object modelopt{{"quantization", {{"quant_algo", "FP8"}}}};
  json::object plain;
  add_modelopt_quantization(modelopt, plain);
  EXPECT_TRUE(read_quantization(plain, "M")->fp8);
  json::object named = config_of(R"({"quant_method":"awq"})");
  add_modelopt_quantization(modelopt, named);
  EXPECT_EQ(stored_format(named), "awq");
  json::object unnamed;
  add_modelopt_quantization({}, unnamed);
  EXPECT_NE(refusal(unnamed).find("'modelopt'"), std::string::npos);
}

}  // namespace
}  // namespace lmdeploy
