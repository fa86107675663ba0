// Frequencies against values worked out by hand from models.md 1.4; whole models with each type are
// compared with transformers in tests/models.
#include <gtest/gtest.h>

#include <cmath>

#include "nn/rope_config.h"

namespace lmdeploy {
namespace {

RopeConfig parse(json::object config, int head_dim = 64) {
  config.emplace("max_position_embeddings", 2048);
  ConfigReader reader(config);
  RopeConfig rope = read_rope_config(reader, head_dim);
  EXPECT_TRUE(reader.status().ok()) << reader.status().message();
  return rope;
}

std::string problem(json::object config, int head_dim = 64) {
  config.emplace("max_position_embeddings", 2048);
  ConfigReader reader(config);
  read_rope_config(reader, head_dim);
  return reader.status().message();
}

TEST(RopeConfig, PlainFrequencies) {
  const std::vector<float> frequencies = rope_frequencies(parse({}), 10);
  ASSERT_EQ(frequencies.size(), 32u);
  EXPECT_FLOAT_EQ(frequencies[0], 1.0f);
  EXPECT_FLOAT_EQ(frequencies[16], 0.01f);
  EXPECT_FLOAT_EQ(frequencies[31], static_cast<float>(std::pow(10000.0, -62.0 / 64.0)));
}

TEST(RopeConfig, PartOfAHeadRotates) {
  const RopeConfig rope = parse({{"partial_rotary_factor", 0.5}});
  EXPECT_EQ(rope.rotary_dim, 32);
  EXPECT_EQ(parse({{"partial_rotary_factor", 62.0 / 78.0}}, 78).rotary_dim, 62);
  EXPECT_FLOAT_EQ(rope_frequencies(rope, 1)[8], 0.01f);
}

TEST(RopeConfig, DoublingsHaveOneBaseEach) {
  const RopeConfig plain = parse({});
  RopeConfig rope = plain;
  rope.type = RopeType::kDoublings;
  rope.original_max_position = 512;
  EXPECT_EQ(rope_frequencies(rope, 512), rope_frequencies(plain, 1));
  // models.md 1.4: alpha = 2^ceil(log2(length / 512) + 1) - 1
  const auto of_alpha = [](double alpha) {
    return static_cast<float>(std::pow(10000.0 * std::pow(alpha, 64.0 / 62.0), -0.5));
  };
  for (const auto& [length, alpha] :
       {std::pair{513, 3.0}, {1024, 3.0}, {1025, 7.0}, {2048, 7.0}, {2049, 15.0}}) {
    EXPECT_FLOAT_EQ(rope_frequencies(rope, length)[16], of_alpha(alpha)) << length;
  }
}

TEST(RopeConfig, DynamicStretchesBeyondTheMaximumOnly) {
  const RopeConfig rope = parse({{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}});
  EXPECT_EQ(rope_frequencies(rope, 2048), rope_frequencies(parse({}), 1));
  // length 4096: base * (2 * 4096 / 2048 - 1) ^ (64 / 62)
  const double base = 10000.0 * std::pow(3.0, 64.0 / 62.0);
  EXPECT_FLOAT_EQ(rope_frequencies(rope, 4096)[16], static_cast<float>(std::pow(base, -0.5)));
  EXPECT_EQ(rope.usable_positions(), 4096);
}

TEST(RopeConfig, Llama3HasThreeRegions) {
  const RopeConfig rope = parse({{"rope_theta", 500000.0},
                                 {"rope_scaling",
                                  {{"rope_type", "llama3"},
                                   {"factor", 8.0},
                                   {"low_freq_factor", 1.0},
                                   {"high_freq_factor", 4.0},
                                   {"original_max_position_embeddings", 8192}}}},
                                128);
  const std::vector<float> scaled = rope_frequencies(rope, 1);
  const auto plain = [](int i) { return std::pow(500000.0, -i / 64.0); };
  EXPECT_FLOAT_EQ(scaled[0], 1.0f);
  EXPECT_FLOAT_EQ(scaled[63], static_cast<float>(plain(63) / 8.0));
  // i = 32: wavelength 4442.9, between 8192 / 4 and 8192 / 1.
  const double smooth = (8192.0 / (2.0 * 3.14159265358979323846 / plain(32)) - 1.0) / 3.0;
  EXPECT_FLOAT_EQ(scaled[32],
                  static_cast<float>((1 - smooth) * plain(32) / 8.0 + smooth * plain(32)));
}

TEST(RopeConfig, YarnScalesItsAttentionByDefault) {
  const json::object scaling = {
      {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 2048}};
  EXPECT_FLOAT_EQ(parse({{"rope_scaling", scaling}}).attention_scale,
                  static_cast<float>(0.1 * std::log(4.0) + 1.0));
  EXPECT_EQ(parse({{"rope_scaling", scaling}}).usable_positions(), 8192);
  json::object deepseek = scaling;
  deepseek["mscale"] = 0.707;
  deepseek["mscale_all_dim"] = 1.0;
  EXPECT_FLOAT_EQ(parse({{"rope_scaling", deepseek}}).attention_scale,
                  static_cast<float>((0.0707 * std::log(4.0) + 1.0) / (0.1 * std::log(4.0) + 1.0)));
}

TEST(RopeConfig, LongropeTakesFactorsByLength) {
  json::array ones(32, json::value(1.0)), twos(32, json::value(2.0));
  const RopeConfig rope = parse({{"rope_scaling",
                                  {{"rope_type", "longrope"},
                                   {"original_max_position_embeddings", 512},
                                   {"short_factor", ones},
                                   {"long_factor", twos}}}});
  EXPECT_EQ(rope_frequencies(rope, 512)[0], 1.0f);
  EXPECT_EQ(rope_frequencies(rope, 513)[0], 0.5f);
  EXPECT_FLOAT_EQ(rope.attention_scale,
                  static_cast<float>(std::sqrt(1.0 + std::log(4.0) / std::log(512.0))));
}

TEST(RopeConfig, ProblemsAreNamed) {
  const auto says = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(says(problem({{"rope_scaling", {{"rope_type", "spiral"}}}}), "'spiral'"));
  EXPECT_TRUE(says(problem({{"rope_scaling", {{"rope_type", "linear"}}}}), "factor"));
  EXPECT_TRUE(says(problem({{"rope_scaling",
                             {{"rope_type", "longrope"},
                              {"factor", 2.0},
                              {"short_factor", json::array{1.0}},
                              {"long_factor", json::array{"x"}}}}}),
                   "short_factor"));
  EXPECT_TRUE(says(problem({{"rope_theta", 0.0}}), "rope_theta"));
  EXPECT_TRUE(says(problem({{"partial_rotary_factor", 0.01}}), "rotated"));
  EXPECT_TRUE(says(problem({{"rope_scaling",
                             {{"rope_type", "llama3"},
                              {"factor", 2.0},
                              {"low_freq_factor", 4.0},
                              {"high_freq_factor", 4.0}}}}),
                   "high_freq_factor"));
}

TEST(RopeConfig, NumbersOutOfRangeAreAllNamed) {
  const auto expect_named = [](const json::object& config, std::initializer_list<const char*> keys) {
    const std::string text = problem(config);
    for (const char* key : keys) {
      EXPECT_NE(text.find(key), std::string::npos) << key << " is not in: " << text;
    }
  };
  const auto scaling = [](json::object object) { return json::object{{"rope_scaling", object}}; };
  expect_named({{"rope_theta", -1.0},
                {"partial_rotary_factor", 1.5},
                {"max_position_embeddings", int64_t{1} << 40},
                {"rope_scaling", {{"rope_type", "linear"}, {"factor", 1e300}}}},
               {"'rope_theta' is -1", "'partial_rotary_factor' is 1.5", "'max_position_embeddings'",
                "'factor' is 1e+300"});
  expect_named({{"rope_theta", 1e300}}, {"'rope_theta' is 1e+300"});
  for (const char* type : {"linear", "dynamic", "llama3", "yarn"}) {
    for (double factor : {-4.0, 0.0, 1e-300, 1e7}) {
      expect_named(scaling({{"rope_type", type}, {"factor", factor}}), {"'factor'"});
    }
  }
  expect_named(scaling({{"rope_type", "yarn"},
                        {"factor", 4.0},
                        {"original_max_position_embeddings", -5},
                        {"beta_fast", 0.0},
                        {"beta_slow", -1.0},
                        {"mscale", -1.0},
                        {"attention_factor", 1e9}}),
               {"'original_max_position_embeddings' is -5", "'beta_fast' is 0", "'beta_slow' is -1",
                "'mscale' is -1", "'attention_factor'"});
  expect_named(scaling({{"rope_type", "yarn"}, {"factor", 4.0}, {"beta_fast", 1.0}, {"beta_slow", 32.0}}),
               {"beta_slow <= beta_fast"});
  expect_named(scaling({{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 0.0}}),
               {"'low_freq_factor' is 0"});
  json::array factors(32, json::value(1.0));
  factors[3] = 1e-9;
  expect_named(scaling({{"rope_type", "longrope"},
                        {"factor", 4.0},
                        {"short_factor", json::array(32, json::value(1.0))},
                        {"long_factor", factors}}),
               {"long_factor must hold 32 numbers"});
}

TEST(RopeConfig, TheWindowStaysWithinPositions) {
  const RopeConfig rope = parse({{"max_position_embeddings", int64_t{1} << 30},
                                 {"rope_scaling", {{"rope_type", "linear"}, {"factor", 1e6}}}});
  EXPECT_EQ(rope.usable_positions(), int64_t{1} << 30);
  RopeConfig scaled = parse({{"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}});
  EXPECT_EQ(scaled.usable_positions(), 8 * 2048);
  scaled.max_position_scaled = true;
  EXPECT_EQ(scaled.usable_positions(), 2048);
}

}  // namespace
}  // namespace lmdeploy
