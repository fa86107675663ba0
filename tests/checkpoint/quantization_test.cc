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
  json::object refused;
  add_modelopt_quantization({{"quantization", {{"quant_algo", "NVFP4"}}}}, refused);
  EXPECT_NE(refusal(refused).find("('hf_quant_config.json', method 'modelopt', 'NVFP4')"),
            std::string::npos)
      << refusal(refused);
}

// Its weights are not quantized; the scales of its cache are left out, as those beside fp8.
TEST(Quantization, ModelOptWithoutAnAlgorithmHasPlainWeights) {
  json::object file;
  add_modelopt_quantization(
      {{"quantization", {{"quant_algo", nullptr}, {"kv_cache_quant_algo", "FP8"}}}}, file);
  for (const json::object& config : {file, config_of(R"({"quant_method": "modelopt"})")}) {
    const auto read = read_quantization(config, "M");
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_TRUE(read->fp8);
    EXPECT_EQ(stored_format(config), "hf");
  }
}

TEST(Quantization, GroupsShareOneBlock) {
  constexpr std::string_view kSecond = R"("group_1": {"weights": {"num_bits": 8, "type": "float",
    "strategy": "block", "block_structure": [)";
  const auto two = [&](const char* sizes) {
    return with(kBlock, R"("group_1": {"weights": null)", fmt::format("{}{}]}}", kSecond, sizes));
  };
  const auto same = read_quantization(two("128, 128"), "M");
  ASSERT_TRUE(same.ok()) << same.status().message();
  EXPECT_EQ(same->block, (std::optional<BlockShape>{{128, 128}}));
  EXPECT_NE(refusal(two("64, 32")).find("64 x 32 in 'group_1' beside others of 128 x 128"),
            std::string::npos)
      << refusal(two("64, 32"));
}

TEST(Quantization, RefusalsAreShort) {
  const std::string most(100000, 'x');
  const std::string weights =
      fmt::format(R"({{"weights": {{"num_bits": ["{0}"], "type": "{0}"}}}})", most);
  std::string groups = fmt::format(R"("g": {})", weights);
  for (int i = 0; i < 20; ++i) groups += fmt::format(R"(, "g{}": {})", i, weights);
  for (const std::string& quantization : {
           fmt::format(R"({{"quant_method": "{}"}})", most),
           fmt::format(R"({{"quant_method": "modelopt", "quant_algo": "{}"}})", most),
           fmt::format(R"({{"quant_method": "fp8", "weight_block_size": "{}"}})", most),
           fmt::format(R"({{"quant_method": "compressed-tensors", "config_groups": {{{}}},
                            "sparsity_config": {{"format": "{}"}}}})", groups, most),
           fmt::format(R"({{"quant_method": "compressed-tensors", "config_groups": {{"g": {{
                            "weights": {{"num_bits": 8, "type": "float", "strategy": "{}"}}}}}}}})",
                       most)}) {
    const std::string message = refusal(config_of(quantization));
    EXPECT_LT(message.size(), 600U) << message;
    EXPECT_NE(message.find("xxx..."), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace lmdeploy
