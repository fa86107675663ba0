// The table of families in docs/guide/models.md: written from the list below, which has to name every
// architecture of the registry and every golden, and compared with the page. LMDEPLOY_UPDATE_DOCS=1
// writes the page anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "models/registry.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

struct Family {
  const char* name;
  const char* sizes;
  std::vector<std::string> architectures;
  std::vector<std::string> goldens;  // of tests/data/goldens; a name that ends in '*' is a beginning
  const char* notes;
};

std::vector<Family> families() {
  return {
      {"Llama 1, 2, 3, 3.1, 3.2; Code Llama, Yi, Vicuna, SmolLM 2", "135M - 405B",
       {"LlamaForCausalLM"}, {"llama*"},
       "rope scaling linear, dynamic, llama3, yarn, longrope; biases where the checkpoint has them"},
      {"Mistral", "7B, Nemo 12B", {"MistralForCausalLM"}, {"mistral*"},
       "sliding window of v0.1"},
      {"Mixtral", "8x7B, 8x22B", {"MixtralForCausalLM"}, {"mixtral*"}, ""},
      {"Qwen 1.5, 2, 2.5", "0.5B - 110B", {"Qwen2ForCausalLM"}, {"qwen2", "qwen2-window"},
       "`use_sliding_window`, `max_window_layers`, `layer_types`"},
      {"Qwen 1.5-MoE, 2-MoE", "A2.7B, 57B-A14B", {"Qwen2MoeForCausalLM"}, {"qwen2-moe*"}, ""},
      {"Qwen 3", "0.6B - 32B", {"Qwen3ForCausalLM"}, {"qwen3"}, ""},
      {"Qwen 3-MoE", "30B-A3B, 235B-A22B", {"Qwen3MoeForCausalLM"}, {"qwen3-moe*"}, ""},
      {"InternLM", "7B, 20B", {"InternLMForCausalLM"}, {"internlm", "internlm-20b"},
       "`rotary` of its configuration"},
      {"InternLM 2, 2.5", "1.8B - 20B", {"InternLM2ForCausalLM"}, {"internlm2"},
       "dynamic NTK as the configuration says"},
      {"InternLM 3", "8B", {"InternLM3ForCausalLM"}, {"internlm3"}, ""},
      {"Yi as first uploaded", "6B, 34B", {"YiForCausalLM"}, {"yi-ln"},
       "later copies are `LlamaForCausalLM`"},
      {"Qwen (v1)", "1.8B - 72B", {"QWenLMHeadModel"}, {"qwen", "qwen-plain"},
       "its own dynamic NTK and logn attention beyond `seq_length`"},
      {"ChatGLM 2, 3, GLM-4-9B", "6B, 9B", {"ChatGLMModel", "ChatGLMForConditionalGeneration"},
       {"chatglm*", "glm4-chat"},
       "`rope_ratio` divides the positions of ChatGLM 2, and stretches the base of the others"},
      {"GLM-4-9B in transformers' form, GLM-4-0414", "9B, 32B",
       {"GlmForCausalLM", "Glm4ForCausalLM"}, {"glm", "glm4"}, ""},
      {"Phi-3, 3.5, 4 (mini, medium)", "3.8B, 14B", {"Phi3ForCausalLM"}, {"phi3*"},
       "longrope (`su`), sliding window"},
      {"Gemma, CodeGemma", "2B, 7B", {"GemmaForCausalLM"}, {"gemma"}, ""},
      {"Gemma 2", "2B, 9B, 27B", {"Gemma2ForCausalLM"}, {"gemma2"}, "not in float16 on a GPU"},
      {"Gemma 3", "270M - 27B",
       {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"}, {"gemma3*"},
       "text; images come with a later version"},
      {"Baichuan, Baichuan 2", "7B, 13B", {"BaichuanForCausalLM", "BaiChuanForCausalLM"},
       {"baichuan*"}, "ALiBi and the normed output matrix by what the configuration says"},
      {"Falcon", "RW 1B, 7B, 40B, 180B", {"FalconForCausalLM", "RWForCausalLM"}, {"falcon*"},
       "ALiBi or rotation"},
      {"Phi-2", "2.7B", {"PhiForCausalLM"}, {"phi"}, ""},
      {"StableLM", "1.6B, 3B, 12B", {"StableLmForCausalLM", "StableLMEpochForCausalLM"},
       {"stablelm*"}, ""},
      {"StarCoder 2", "3B, 7B, 15B", {"Starcoder2ForCausalLM"}, {"starcoder2"}, ""},
      {"Command R", "35B, 104B", {"CohereForCausalLM"}, {"cohere*"}, ""},
      {"OLMo 2", "1B - 32B", {"Olmo2ForCausalLM"}, {"olmo2"}, ""},
      {"Granite", "2B - 34B", {"GraniteForCausalLM"}, {"granite"}, ""},
      {"MiniCPM", "1B, 2B", {"MiniCPMForCausalLM"}, {"minicpm"}, ""},
      {"DBRX", "132B-A36B", {"DbrxForCausalLM"}, {"dbrx"}, ""},
      {"DeepSeek-MoE", "16B", {"DeepseekForCausalLM"}, {"deepseek-moe"}, ""},
      {"DeepSeek V2, V2-Lite", "16B, 236B", {"DeepseekV2ForCausalLM"}, {"deepseek-v2*"},
       "latent attention; the cache keeps one head a token"},
      {"DeepSeek V3, R1", "671B", {"DeepseekV3ForCausalLM"}, {"deepseek-v3"},
       "the published fp8 weights become bf16 at load (1.3 TB of memory for 671B)"},
      {"gpt-oss", "20B, 120B", {"GptOssForCausalLM"}, {"gpt-oss*"},
       "MXFP4 experts become 16-bit ones at load"},
  };
}

bool matches(const std::string& pattern, const std::string& name) {
  if (pattern.back() != '*') return pattern == name;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

std::vector<std::string> goldens_of(const Family& family) {
  std::vector<std::string> found;
  for (const std::string& name : golden_names()) {
    for (const std::string& pattern : family.goldens) {
      if (matches(pattern, name)) {
        found.push_back(name);
        break;
      }
    }
  }
  return found;
}

std::string joined(const std::vector<std::string>& parts, const char* mark) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + (mark + part + mark);
  return text;
}

std::string table() {
  std::string text = "| family | sizes | `architectures` in config.json | goldens | notes |\n";
  text += "|---|---|---|---|---|\n";
  for (const Family& family : families()) {
    text += std::string("| ") + family.name + " | " + family.sizes + " | " +
            joined(family.architectures, "`") + " | " + joined(goldens_of(family), "") + " | " +
            family.notes + " |\n";
  }
  return text;
}

TEST(ModelsGuide, ListNamesEveryArchitectureOnce) {
  std::multiset<std::string> listed, known;
  for (const Family& family : families()) {
    listed.insert(family.architectures.begin(), family.architectures.end());
  }
  for (const ModelEntry& entry : model_registry()) known.emplace(entry.architecture);
  EXPECT_EQ(listed, known);
}

TEST(ModelsGuide, EveryGoldenBelongsToAFamilyOfItsArchitecture) {
  std::set<std::string> left;
  for (const std::string& name : golden_names()) left.insert(name);
  for (const Family& family : families()) {
    const std::vector<std::string> goldens = goldens_of(family);
    EXPECT_FALSE(goldens.empty()) << family.name;
    for (const std::string& name : goldens) {
      EXPECT_EQ(left.erase(name), 1U) << name << " is in two families";
      const json::object config = read_golden(name).config;
      const std::string architecture(config.at("architectures").at(0).as_string());
      EXPECT_EQ(std::count(family.architectures.begin(), family.architectures.end(), architecture), 1)
          << name << ": " << architecture;
    }
  }
  EXPECT_TRUE(left.empty()) << *left.begin() << " belongs to no family";
}

TEST(ModelsGuide, PageHasTheTable) {
  const std::string path = std::string(LMDEPLOY_SOURCE_DIR) + "/docs/guide/models.md";
  const std::string begin = "<!-- families: written by models_tests -->\n", end = "<!-- end -->";
  std::ifstream file(path);
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  const size_t from = page.find(begin), to = page.find(end);
  ASSERT_TRUE(from != std::string::npos && to != std::string::npos && from < to) << path;
  const size_t first = from + begin.size();
  if (std::getenv("LMDEPLOY_UPDATE_DOCS") != nullptr) {
    std::ofstream(path) << page.substr(0, first) << table() << page.substr(to);
    return;
  }
  EXPECT_EQ(page.substr(first, to - first), table())
      << "LMDEPLOY_UPDATE_DOCS=1 writes the page anew";
}

}  // namespace
}  // namespace lmdeploy
