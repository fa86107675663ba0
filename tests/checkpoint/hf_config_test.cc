#include "checkpoint/hf_config.h"

#include <gtest/gtest.h>

#include "checkpoint/config_reader.h"
#include "checkpoint/generation_config.h"

namespace lmdeploy {
namespace {

json::object parse(const char* text) { return parse_json(text, "test").value().as_object(); }

// The classic form of a config that has no problem.
json::object classic(const char* text, bool expect_multimodal = false) {
  bool multimodal = false;
  ProblemList problems;
  json::object config = classic_config(parse(text), multimodal, problems);
  EXPECT_EQ(problems.status(StatusCode::kInvalidArgument, "config").message(), "");
  EXPECT_EQ(multimodal, expect_multimodal);
  return config;
}

std::string problem_of(const char* text) {
  bool multimodal = false;
  ProblemList problems;
  classic_config(parse(text), multimodal, problems);
  return problems.status(StatusCode::kInvalidArgument, "config").message();
}

TEST(HfConfig, ClassicSpellingStays) {
  EXPECT_EQ(classic(R"({"architectures":["LlamaForCausalLM"],"torch_dtype":"bfloat16",
                        "rope_theta":5e5,"rope_scaling":{"rope_type":"llama3","factor":8.0}})"),
            parse(R"({"architectures":["LlamaForCausalLM"],"torch_dtype":"bfloat16",
                      "rope_theta":5e5,"rope_scaling":{"rope_type":"llama3","factor":8.0}})"));
}

TEST(HfConfig, Transformers5SpellingBecomesClassic) {
  EXPECT_EQ(classic(R"({"architectures":["LlamaForCausalLM"],"dtype":"torch.float16",
              "rope_parameters":{"rope_type":"yarn","rope_theta":1e6,"factor":4.0,
                                 "partial_rotary_factor":0.5}})"),
            parse(R"({"architectures":["LlamaForCausalLM"],"torch_dtype":"float16","rope_theta":1e6,
              "partial_rotary_factor":0.5,"rope_scaling":{"rope_type":"yarn","factor":4.0}})"));
  EXPECT_EQ(
      classic(
          R"({"architectures":["A"],"rope_parameters":{"rope_type":"default","rope_theta":1e4}})"),
      parse(R"({"architectures":["A"],"rope_theta":1e4,"rope_scaling":null})"));
}

TEST(HfConfig, Gemma3RopeParametersOfEachLayerType) {
  const json::object config = classic(R"({"architectures":["Gemma3ForCausalLM"],
    "model_type":"gemma3_text","num_hidden_layers":7,"_sliding_window_pattern":3,"rope_parameters":{
      "sliding_attention":{"rope_type":"default","rope_theta":10000.0},
      "full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1000000.0}}})");
  EXPECT_EQ(config.at("rope_theta"), 1e6);
  EXPECT_EQ(config.at("rope_local_base_freq"), 1e4);
  EXPECT_EQ(config.at("rope_scaling"), parse(R"({"rope_type":"linear","factor":8.0})"));
  EXPECT_EQ(config.if_contains("rope_parameters"), nullptr);
  const json::string s("sliding_attention"), f("full_attention");
  EXPECT_EQ(config.at("layer_types"), (json::array{s, s, f, s, s, f, s}));
}

TEST(HfConfig, RopeScalingTypeHasOneName) {
  EXPECT_EQ(classic(R"({"architectures":["A"],"rope_scaling":{"type":"dynamic","factor":2.0}})")
                .at("rope_scaling"),
            parse(R"({"rope_type":"dynamic","factor":2.0})"));
  const json::object phi = classic(R"({"architectures":["Phi3ForCausalLM"],
    "original_max_position_embeddings":4096,"rope_scaling":{"type":"su","long_factor":[1.5]}})");
  EXPECT_EQ(phi.at("rope_scaling").at("rope_type"), "longrope");
  EXPECT_EQ(phi.at("rope_scaling").at("original_max_position_embeddings"), 4096);
}

TEST(HfConfig, ArchitectureComesFromAutoMapOrModelType) {
  EXPECT_EQ(classic(R"({"auto_map":{"AutoModelForCausalLM":"x--modeling_qwen.QWenLMHeadModel"}})")
                .at("architectures"),
            (json::array{"QWenLMHeadModel"}));
  EXPECT_EQ(classic(R"({"architectures":[],"model_type":"qwen3"})").at("architectures"),
            (json::array{"Qwen3ForCausalLM"}));
  EXPECT_NE(problem_of("{}").find("'architectures' is missing"), std::string::npos);
  EXPECT_NE(problem_of(R"({"architectures":"Llama"})").find("not a list"), std::string::npos);
}

TEST(HfConfig, MultimodalWrapperGivesItsTextPartWithClassDefaults) {
  const json::object config = classic(R"({"architectures":["Gemma3ForConditionalGeneration"],
    "model_type":"gemma3","torch_dtype":"bfloat16","eos_token_id":[1,106],"vision_config":{"x":1},
    "text_config":{"model_type":"gemma3_text","hidden_size":2560,"num_hidden_layers":34,
                   "rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024}})",
                                      true);
  EXPECT_EQ(config.at("architectures"), (json::array{"Gemma3ForCausalLM"}));
  EXPECT_EQ(config.at("hidden_size"), 2560);
  EXPECT_EQ(config.at("num_attention_heads"), 8);
  EXPECT_EQ(config.at("sliding_window"), 1024);
  EXPECT_EQ(config.at("tie_word_embeddings"), true);
  EXPECT_EQ(config.at("torch_dtype"), "bfloat16");
  EXPECT_EQ(config.at("eos_token_id"), (json::array{1, 106}));
  EXPECT_EQ(config.at("layer_types").as_array().size(), 34u);
  EXPECT_EQ(config.if_contains("vision_config"), nullptr);
}

TEST(HfConfig, ProblemsOfShapeAreNamed) {
  EXPECT_NE(problem_of(R"({"architectures":["A"],"rope_scaling":7})").find("'rope_scaling'"),
            std::string::npos);
  EXPECT_NE(problem_of(R"({"architectures":["A"],"rope_parameters":[]})").find("'rope_parameters'"),
            std::string::npos);
  EXPECT_NE(problem_of(R"({"model_type":"gemma3_text","num_hidden_layers":1099511627776})")
                .find("'num_hidden_layers'"),
            std::string::npos);
}

TEST(GenerationConfig, StopIdsAreOneOrManyAndFallBackToTheConfig) {
  ProblemList problems;
  const GenerationDefaults many = read_generation_defaults(
      parse(R"({"eos_token_id":[128001,128009],"bos_token_id":128000,"do_sample":true,
                "temperature":0.6,"top_p":0.9,"top_k":20,"repetition_penalty":1.05})"),
      parse(R"({"eos_token_id":5})"), problems);
  EXPECT_EQ(many.eos_ids, (std::vector<int32_t>{128001, 128009}));
  EXPECT_EQ(many.bos_id, 128000);
  EXPECT_EQ(many.do_sample, true);
  EXPECT_EQ(many.temperature, 0.6);
  EXPECT_EQ(many.top_k, 20);
  EXPECT_FALSE(many.min_p.has_value());
  const GenerationDefaults one =
      read_generation_defaults({}, parse(R"({"eos_token_id":5,"bos_token_id":1})"), problems);
  EXPECT_EQ(one.eos_ids, std::vector<int32_t>{5});
  EXPECT_EQ(one.bos_id, 1);
  EXPECT_TRUE(problems.empty());
}

TEST(GenerationConfig, WrongValuesAreNamed) {
  ProblemList problems;
  read_generation_defaults(
      parse(R"({"eos_token_id":[-1],"top_p":7,"do_sample":"yes","top_k":1.5})"), {}, problems);
  const std::string text = problems.status(StatusCode::kInvalidArgument, "g").message();
  EXPECT_EQ(problems.size(), 4u) << text;
  for (const char* part : {"'eos_token_id' holds -1", "'top_p' is 7", "'do_sample'", "'top_k'"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
}

TEST(ConfigReader, CollectsEveryProblem) {
  const json::object config = parse(R"({"a":3,"b":"x","c":null,"d":0,"o":{},"l":[1]})");
  ConfigReader reader(config);
  EXPECT_EQ(reader.required_int("a"), 3);
  EXPECT_EQ(reader.optional_int("c", 9), 9);
  EXPECT_EQ(reader.optional_double("missing", 0.5), 0.5);
  EXPECT_NE(reader.optional_object("o"), nullptr);
  EXPECT_NE(reader.optional_array("l"), nullptr);
  EXPECT_TRUE(reader.status().ok());
  EXPECT_EQ(reader.optional_bool("b", true), true);
  EXPECT_EQ(reader.required_int("d", 4, 8), 4);
  EXPECT_EQ(reader.required_int("missing"), 1);
  EXPECT_EQ(reader.optional_object("l"), nullptr);
  reader.problem("layers do not fit");
  EXPECT_EQ(
      reader.status().message(),
      "config.json: 'b' is \"x\"; expected true or false; 'd' is 0; expected 4 to 8; 'missing' is "
      "missing; 'l' is not an object; layers do not fit");
}

}  // namespace
}  // namespace lmdeploy
