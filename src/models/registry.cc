#include "models/registry.h"

#include <string>

#include "base/edit_distance.h"

namespace lmdeploy {
namespace {

constexpr ModelEntry kModels[] = {
    {"LlamaForCausalLM", make_llama},
    {"InternLMForCausalLM", make_llama},
    {"InternLM3ForCausalLM", make_llama},
    {"InternLM2ForCausalLM", make_internlm2, false, "output"},
    {"YiForCausalLM", make_yi},
    {"QWenLMHeadModel", make_qwen},
    {"MistralForCausalLM", make_mistral},
    {"Qwen2ForCausalLM", make_qwen2},
    {"Qwen3ForCausalLM", make_qwen3},
    {"GemmaForCausalLM", make_gemma},
    {"Gemma2ForCausalLM", make_gemma2, true},
    {"Gemma3ForCausalLM", make_gemma3, true},
    {"Gemma3ForConditionalGeneration", make_gemma3, true},
    {"Starcoder2ForCausalLM", make_starcoder2},
    {"PhiForCausalLM", make_phi},
    {"StableLmForCausalLM", make_stablelm},
    {"StableLMEpochForCausalLM", make_stablelm},
    {"CohereForCausalLM", make_cohere},
    {"Olmo2ForCausalLM", make_olmo2},
    {"GraniteForCausalLM", make_granite},
    {"MiniCPMForCausalLM", make_minicpm},
    {"FalconForCausalLM", make_falcon},
    {"RWForCausalLM", make_falcon},
    {"BaichuanForCausalLM", make_baichuan},
    {"BaiChuanForCausalLM", make_baichuan},
    {"MixtralForCausalLM", make_mixtral},
    {"Qwen2MoeForCausalLM", make_qwen2_moe},
    {"Qwen3MoeForCausalLM", make_qwen3_moe},
    {"DeepseekForCausalLM", make_deepseek_moe},
    {"GptOssForCausalLM", make_gpt_oss},
    {"DbrxForCausalLM", make_dbrx},
    {"DeepseekV2ForCausalLM", make_deepseek_v2},
    {"DeepseekV3ForCausalLM", make_deepseek_v3},
    {"Phi3ForCausalLM", make_phi3},
    {"ChatGLMModel", make_chatglm, false, "transformer.output_layer"},
    {"ChatGLMForConditionalGeneration", make_chatglm, false, "transformer.output_layer"},
    {"GlmForCausalLM", make_glm},
    {"Glm4ForCausalLM", make_glm4},
};

}  // namespace

std::span<const ModelEntry> model_registry() { return kModels; }

Result<const ModelEntry*> find_model(std::string_view architecture) {
  const std::string_view bounded = architecture.substr(0, 128);
  const ModelEntry* nearest = nullptr;
  size_t nearest_distance = SIZE_MAX;
  std::string known;
  for (const ModelEntry& entry : kModels) {
    if (entry.architecture == architecture) return &entry;
    const size_t distance = edit_distance(bounded, entry.architecture);
    if (distance < nearest_distance) {
      nearest = &entry;
      nearest_distance = distance;
    }
    known += (known.empty() ? "" : ", ") + std::string(entry.architecture);
  }
  return unsupported(
      "architecture '{}' is not supported in this version; the nearest is '{}'; supported "
      "are: {}",
      bounded, nearest->architecture, known);
}

}  // namespace lmdeploy
