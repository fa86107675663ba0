// The one list of architectures.
#pragma once

#include <span>
#include <string_view>

#include "models/decoder_lm.h"

namespace lmdeploy {

// Reads the configuration and builds the model, whose constructors declare their loads in the plan
// behind `root`. Problems of the configuration are in the Status, all of them.
using ModelFactory = Result<std::unique_ptr<BuiltModel>> (*)(ConfigReader& config,
                                                             const Weights& root,
                                                             const BuildOptions& options);

struct ModelEntry {
  std::string_view architecture;  // architectures[0] of config.json
  ModelFactory make;
  bool leaves_f16_range = false;  // activations pass f16's largest number: f16 files run in bf16 on CUDA
  std::string_view head = "lm_head";  // output matrix: where it is missing, the embedding is that
};

std::span<const ModelEntry> model_registry();

// kUnsupported, with the nearest known name and the list of all, when there is none.
Result<const ModelEntry*> find_model(std::string_view architecture);

// Factories, one a file.
Result<std::unique_ptr<BuiltModel>> make_llama(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_mistral(ConfigReader&, const Weights&,
                                                 const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_qwen2(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_qwen3(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_internlm2(ConfigReader&, const Weights&,
                                                   const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_yi(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_gemma(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_gemma2(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_phi3(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_qwen(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_chatglm(ConfigReader&, const Weights&,
                                                 const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_glm(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_glm4(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_gemma3(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_starcoder2(ConfigReader&, const Weights&,
                                                    const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_phi(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_stablelm(ConfigReader&, const Weights&,
                                                  const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_cohere(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_olmo2(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_granite(ConfigReader&, const Weights&,
                                                 const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_minicpm(ConfigReader&, const Weights&,
                                                 const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_falcon(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_baichuan(ConfigReader&, const Weights&,
                                                  const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_mixtral(ConfigReader&, const Weights&,
                                                 const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_qwen2_moe(ConfigReader&, const Weights&,
                                                   const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_qwen3_moe(ConfigReader&, const Weights&,
                                                   const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_deepseek_moe(ConfigReader&, const Weights&,
                                                      const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_gpt_oss(ConfigReader&, const Weights&,
                                                 const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_dbrx(ConfigReader&, const Weights&, const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_deepseek_v2(ConfigReader&, const Weights&,
                                                     const BuildOptions&);
Result<std::unique_ptr<BuiltModel>> make_deepseek_v3(ConfigReader&, const Weights&,
                                                     const BuildOptions&);

}  // namespace lmdeploy
