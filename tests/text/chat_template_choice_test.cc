#include "text/chat_template_choice.h"

#include <gtest/gtest.h>

#include <set>

namespace lmdeploy {
namespace {

TEST(ChooseChatTemplate, TheUserThenTheModelThenItsNameThenBase) {
  ChatTemplateFacts facts;
  facts.names = {"Qwen1.5-7B-Chat"};
  facts.architecture = "Qwen2ForCausalLM";
  facts.jinja_source = "{{ 1 }}";
  facts.user_spec = "llama2";
  EXPECT_EQ(choose_chat_template(facts).value().chat_template.name(), "llama2");
  facts.user_spec = "hf";
  EXPECT_TRUE(choose_chat_template(facts).value().chat_template.is_jinja());
  facts.user_spec.clear();
  EXPECT_TRUE(choose_chat_template(facts).value().chat_template.is_jinja());
  EXPECT_EQ(choose_chat_template(facts).value().reason, "the model's own template");
  facts.jinja_source.clear();
  EXPECT_EQ(choose_chat_template(facts).value().chat_template.name(), "qwen");
  EXPECT_EQ(choose_chat_template(facts).value().reason,
            "built-in template 'qwen', by the model's name 'Qwen1.5-7B-Chat'");
  facts.names = {"my-model"};
  facts.architecture = "Starcoder2ForCausalLM";
  EXPECT_EQ(choose_chat_template(facts).value().chat_template.name(), "base");
  facts.user_spec = "hf";
  EXPECT_EQ(choose_chat_template(facts).status().message(),
            "--chat-template hf is the model's own chat template, and this model has none");
  facts.user_spec = "nothing-like-this";
  EXPECT_EQ(choose_chat_template(facts).status().code(), StatusCode::kNotFound);
}

std::string_view match(const std::string& name, const char* architecture) {
  ChatTemplateFacts facts;
  facts.names = {name};
  facts.architecture = architecture;
  return match_builtin_template(facts).name;
}

// Names as published, with what LMDeploy 0.4.2 and 0.9.2 choose for them; "base" where the model was not
// trained to chat.
TEST(MatchBuiltinTemplate, PublishedNames) {
  const struct { const char* name; const char* architecture; const char* expected; } cases[] = {
      {"vicuna-7b-v1.5", "LlamaForCausalLM", "vicuna"},
      {"WizardLM-70B-V1.0", "LlamaForCausalLM", "wizardlm"},
      {"Llama-2-7b-chat-hf", "LlamaForCausalLM", "llama2"},
      {"CodeLlama-7b-Instruct-hf", "LlamaForCausalLM", "codellama"},
      {"Meta-Llama-3-8B-Instruct", "LlamaForCausalLM", "llama3"},
      {"Llama-3.1-8B-Instruct", "LlamaForCausalLM", "llama3_1"},
      {"Llama 3.1 8B Instruct", "LlamaForCausalLM", "llama3_1"},
      {"Llama-4-Scout-17B-16E-Instruct", "Llama4ForConditionalGeneration", "llama4"},
      {"internlm-chat-7b", "InternLMForCausalLM", "internlm"},
      {"internlm-chat-7b-8k", "InternLMForCausalLM", "internlm-chat-7b-8k"},
      {"internlm-7b", "InternLMForCausalLM", "base"},
      {"internlm2-chat-7b", "InternLM2ForCausalLM", "internlm2"},
      {"internlm2_5-7b-chat", "InternLM2ForCausalLM", "internlm2"},
      {"internlm2-math-7b", "InternLM2ForCausalLM", "internlm2"},
      {"internlm2-7b", "InternLM2ForCausalLM", "base"},
      {"internlm3-8b-instruct", "InternLM3ForCausalLM", "internlm3"},
      {"internlm-xcomposer2-4khd-7b", "InternLMXComposer2ForCausalLM", "internlm-xcomposer2-4khd"},
      {"Mini-InternVL-Chat-4B-V1-5", "InternVLChatModel", "internvl-phi3"},
      {"InternVL-Chat-V1-5", "InternVLChatModel", "internvl-internlm2"},
      {"InternVL2-4B", "InternVLChatModel", "internvl2-phi3"},
      {"InternVL2-8B", "InternVLChatModel", "internvl2-internlm2"},
      {"InternVL2_5-8B", "InternVLChatModel", "internvl2_5"},
      {"Intern-S1-mini", "InternS1ForConditionalGeneration", "intern-s1"},
      {"Baichuan2-7B-Chat", "BaichuanForCausalLM", "baichuan2"},
      {"Baichuan2-7B-Base", "BaichuanForCausalLM", "base"},
      {"Baichuan-13B-Chat", "BaichuanForCausalLM", "baichuan-chat"},
      {"Baichuan-7B", "BaiChuanForCausalLM", "base"},
      {"chatglm2-6b", "ChatGLMModel", "chatglm"},
      {"chatglm3-6b", "ChatGLMModel", "chatglm3"},
      {"glm-4-9b-chat", "ChatGLMModel", "glm4"},
      {"codegeex4-all-9b", "ChatGLMModel", "codegeex4"},
      {"Qwen-7B-Chat", "QWenLMHeadModel", "qwen"},
      {"Qwen1.5-MoE-A2.7B-Chat", "Qwen2MoeForCausalLM", "qwen"},
      {"Qwen2.5-7B-Instruct", "Qwen2ForCausalLM", "qwen2d5"},
      {"QwQ-32B-Preview", "Qwen2ForCausalLM", "qwq_preview"},
      {"QwQ-32B", "Qwen2ForCausalLM", "qwq"},
      {"Qwen3-30B-A3B", "Qwen3MoeForCausalLM", "qwen3"},
      {"Yi-34B-Chat", "LlamaForCausalLM", "yi"},
      {"Mistral-7B-Instruct-v0.1", "MistralForCausalLM", "mistral"},
      {"Mixtral-8x7B-Instruct-v0.1", "MixtralForCausalLM", "mixtral"},
      {"falcon-7b-instruct", "FalconForCausalLM", "falcon-instruct"},
      {"falcon-40b", "RWForCausalLM", "falcon"},
      {"gemma-2-9b-it", "Gemma2ForCausalLM", "gemma"},
      {"gemma-3-1b-pt", "Gemma3ForCausalLM", "base"},
      {"deepseek-llm-7b-chat", "LlamaForCausalLM", "deepseek"},
      {"deepseek-moe-16b-chat", "DeepseekForCausalLM", "deepseek"},
      {"deepseek-moe-16b-base", "DeepseekForCausalLM", "base"},
      {"DeepSeek-V2-Lite-Chat", "DeepseekV2ForCausalLM", "deepseek"},
      {"deepseek-coder-6.7b-instruct", "LlamaForCausalLM", "deepseek-coder"},
      {"DeepSeek-V3", "DeepseekV3ForCausalLM", "deepseek-v3"},
      {"DeepSeek-R1-Distill-Qwen-7B", "Qwen2ForCausalLM", "deepseek-r1"},
      {"dbrx-instruct", "DbrxForCausalLM", "dbrx"},
      {"dbrx-base", "DbrxForCausalLM", "base"},
      {"Phi-3-mini-4k-instruct", "Phi3ForCausalLM", "phi-3"},
      {"phi-2", "PhiForCausalLM", "phi-2"},
      {"MiniCPM-2B-sft-bf16", "MiniCPMForCausalLM", "minicpm"},
      {"MiniCPM3-4B", "MiniCPM3ForCausalLM", "minicpm3"},
      {"gpt-oss-20b", "GptOssForCausalLM", "gpt-oss"},
      {"SOLAR-10.7B-Instruct-v1.0", "LlamaForCausalLM", "solar"},
      {"starcoder2-7b", "Starcoder2ForCausalLM", ""},
  };
  for (const auto& row : cases) EXPECT_EQ(match(row.name, row.architecture), row.expected) << row.name;
}

TEST(MatchBuiltinTemplate, OnlyTheModelsOwnNameCounts) {
  EXPECT_EQ(match("/home/yifan/gemma-7b-it", "GemmaForCausalLM"), "gemma");
  EXPECT_EQ(match("/data/yi/mixtral-8x7b-instruct", ""), "mixtral");
  EXPECT_EQ(match("yifan-model", ""), "");
  EXPECT_EQ(match("llama2-qwen-mix", "Qwen2ForCausalLM"), "qwen");
}

TEST(MatchBuiltinTemplate, TheSecondNameCountsWhereTheFirstSaysNothing) {
  ChatTemplateFacts facts;
  facts.names = {"work-dir-4bit", "internlm2-chat-7b"};
  facts.architecture = "InternLM2ForCausalLM";
  EXPECT_EQ(match_builtin_template(facts).reason, "by the model's name 'internlm2-chat-7b'");
  facts.names = {"vicuna-awq", "Llama-2-7b-hf"};
  facts.architecture = "LlamaForCausalLM";
  EXPECT_EQ(match_builtin_template(facts).name, "vicuna");
}

TEST(MatchBuiltinTemplate, AnArchitectureSpeaksForItsFamily) {
  const auto by_family = [](const char* type, std::set<std::string_view> tokens) {
    ChatTemplateFacts facts;
    facts.names = {"my-model"};
    facts.model_type = type;
    facts.has_token = [tokens](std::string_view token) { return tokens.contains(token); };
    return match_builtin_template(facts).name;
  };
  EXPECT_EQ(by_family("chatglm", {"<sop>", "<|observation|>"}), "glm4");
  EXPECT_EQ(by_family("chatglm", {"<|observation|>"}), "chatglm3");
  EXPECT_EQ(by_family("chatglm", {}), "chatglm");
  EXPECT_EQ(by_family("llama", {}), "");
  EXPECT_EQ(by_family("llama", {"<|start_header_id|>"}), "llama3");
  EXPECT_EQ(by_family("llama", {"<|im_end|>"}), "chatml");
  EXPECT_EQ(by_family("gpt_oss", {}), "gpt-oss");
  EXPECT_EQ(by_family("qwen3_moe", {}), "qwen3");
  EXPECT_EQ(by_family("starcoder2", {"<|im_end|>"}), "");
}

TEST(MatchBuiltinTemplate, GenerationConfigSaysWhetherAModelChats) {
  ChatTemplateFacts facts;
  facts.names = {"Qwen-7B"};
  facts.architecture = "QWenLMHeadModel";
  facts.chat_format = "raw";
  EXPECT_EQ(match_builtin_template(facts).name, "base");
  facts.chat_format = "chatml";
  EXPECT_EQ(match_builtin_template(facts).name, "qwen");
  facts.chat_format.clear();
  facts.names = {"tuned"};
  facts.architecture = "BaichuanForCausalLM";
  EXPECT_EQ(match_builtin_template(facts).name, "");
  facts.user_token = "<reserved_106>";
  EXPECT_EQ(match_builtin_template(facts).name, "baichuan2");
  facts.user_token = "<reserved_102>";
  EXPECT_EQ(match_builtin_template(facts).name, "baichuan-chat");
}

}  // namespace
}  // namespace lmdeploy
