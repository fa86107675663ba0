#include "engine/model_text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"
#include "tests/text/sentencepiece_builder.h"

namespace lmdeploy {
namespace {

using Words = std::vector<std::string>;

Result<ChatTemplate> template_of(const std::string& spec, const char* capability) {
  return ChatTemplate::load(template_with_capability(spec, capability), {});
}

TEST(TemplateWithCapability, KeepsTheStopWordsOfFilesAndJsonText) {
  TemporaryDirectory directory;
  constexpr char kConfig[] = R"({"model_name": "mine", "user": "U:", "stop_words": ["###"]})";
  const std::string file = directory.write("my.json", kConfig);
  for (const std::string& spec : {file, std::string(kConfig)}) {
    const Result<ChatTemplate> chat_template = template_of(spec, "completion");
    ASSERT_TRUE(chat_template.ok()) << chat_template.status().message();
    EXPECT_EQ(chat_template->stop_words(), Words{"###"});
    EXPECT_EQ(chat_template->name(), "mine");
    EXPECT_EQ(*chat_template->get_prompt("text", true), "text");
    EXPECT_EQ(*template_of(spec, "chat")->get_prompt("text", true), "U:text");
  }
  EXPECT_EQ(template_of("llama2", "completion")->stop_words(), template_of("llama2", "chat")->stop_words());
}

TEST(TemplateWithCapability, WhatCannotBeReadIsAnErrorStill) {
  TemporaryDirectory directory;
  const std::string broken = directory.write("broken.json", "{"), list = directory.write("list.json", "[]");
  for (const std::string& spec : {broken, list, directory.path() + "/none.json", std::string("nosuch"),
                                  std::string("{")}) {
    EXPECT_FALSE(template_of(spec, "completion").ok()) << spec;
  }
}

TEST(ModelText, WarnsOfAVocabularyThatNamesNoPreTokenizer) {
  TemporaryDirectory directory;
  const auto warning = [&](const char* pre) {
    GgufBuilder file;
    file.text("general.architecture", "llama").text("general.name", "Tiny Model");
    for (const char* key : {"block_count", "attention.head_count_kv"}) file.u32(fmt::format("llama.{}", key), 1);
    file.u32("llama.context_length", 128).u32("llama.embedding_length", 64).u32("llama.feed_forward_length", 96);
    file.u32("llama.attention.head_count", 2).f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    file.text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<eos>"});
    file.texts("tokenizer.ggml.merges", {"a b"}).u32("tokenizer.ggml.eos_token_id", 3);
    if (*pre != '\0') file.text("tokenizer.ggml.pre", pre);
    file.tensor("token_embd.weight", {64, 4}, 0, 1024);
    const auto checkpoint = Checkpoint::open(directory.write("model.gguf", file.build()));
    CHECK(checkpoint.ok(), "{}", checkpoint.status().message());
    const Result<ModelText> text = load_model_text(**checkpoint, "");
    CHECK(text.ok(), "{}", text.status().message());
    return text->tokenizer_warning;
  };
  EXPECT_NE(warning("").find("is missing"), std::string::npos);
  EXPECT_NE(warning("default").find("'default'"), std::string::npos);
  EXPECT_EQ(warning("llama-bpe"), "");
}

// A directory with a configuration and a vocabulary of single characters and the given special tokens.
Result<ModelText> text_of_directory(const TemporaryDirectory& directory, const std::string& config,
                                    std::vector<std::string> special, const std::string& spec = "") {
  json::object vocabulary;
  json::array added;
  for (char c = 'a'; c <= 'z'; ++c) vocabulary[std::string(1, c)] = vocabulary.size();
  for (const std::string& token : special) {
    added.push_back({{"id", vocabulary.size() + added.size()}, {"content", token}, {"special", true},
                     {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}});
  }
  const json::object tokenizer = {
      {"added_tokens", added}, {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array()}}}};
  directory.write("config.json", config);
  directory.write("tokenizer.json", to_json_text(tokenizer));
  const auto checkpoint = Checkpoint::open(directory.path(), CheckpointParts::kConfigOnly);
  CHECK(checkpoint.ok(), "{}", checkpoint.status().message());
  return load_model_text(**checkpoint, spec);
}

TEST(ModelText, ATemplateWhoseTokensAreMissingIsWarnedOf) {
  TemporaryDirectory directory;
  constexpr char kConfig[] = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})";
  const auto with = text_of_directory(directory, kConfig, {"<|im_start|>", "<|im_end|>"}, "yi");
  ASSERT_TRUE(with.ok()) << with.status().message();
  EXPECT_EQ(with->chat_template_warning, "");
  EXPECT_EQ(with->end_ids, std::vector<int32_t>{27});
  const auto without = text_of_directory(directory, kConfig, {"<|im_end|>"}, "yi");
  EXPECT_EQ(without->chat_template_warning,
            "the chat template 'yi' writes <|im_start|>: no token of this model's vocabulary, so the model reads it "
            "as plain text; --chat-template chooses another template");
}

TEST(ModelText, AFamilyWithoutATemplateGetsItsOwn) {
  TemporaryDirectory directory;
  constexpr char kBaichuan[] = R"({"architectures": ["BaichuanForCausalLM"], "model_type": "baichuan"})";
  directory.write("generation_config.json", R"({"user_token_id": 26, "assistant_token_id": 27, "eos_token_id": 2})");
  const auto baichuan = text_of_directory(directory, kBaichuan, {"<reserved_106>", "<reserved_107>"});
  ASSERT_TRUE(baichuan.ok()) << baichuan.status().message();
  EXPECT_EQ(baichuan->chat_template_reason, "built-in template 'baichuan2', by the model's generation_config.json");
  ChatRender chat;
  chat.messages.push_back(json::object{{"role", "user"}, {"content", "hi"}});
  const ChatPrompt prompt = make_chat_prompt(*baichuan->chat_template, chat).value();
  EXPECT_EQ(baichuan->tokenizer->encode(prompt.text, {.add_special_tokens = prompt.add_special_tokens}),
            (std::vector<int32_t>{26, 7, 8, 27}));
  directory.write("generation_config.json", R"({"chat_format": "raw"})");
  const auto raw = text_of_directory(
      directory, R"({"architectures": ["QWenLMHeadModel"], "model_type": "qwen"})", {"<|im_end|>"});
  EXPECT_EQ(raw->chat_template->name(), "base");
}

TEST(ModelText, TemplatesGetTheArgumentsOfToolCallsAsObjects) {
  const auto calls = ChatTemplate::from_jinja(
      "{{ messages[0].tool_calls[0].function.arguments.a }}", "t", {}).value();
  ChatRender chat;
  chat.messages = parse_json(R"([{"role": "assistant", "tool_calls": [
      {"function": {"name": "f", "arguments": "{\"a\": 17}"}}]}])", "test")->as_array();
  EXPECT_EQ(make_chat_prompt(calls, chat)->text, "17");
}

// ChatGLM 3's tokenizer puts [gMASK] sop before every text, and reads "sop" in a text as a word.
TEST(ModelText, ChatGlmGetsItsPrefixOnceAndItsRolesAsIds) {
  TemporaryDirectory directory;
  directory.write("config.json", R"({"architectures": ["ChatGLMModel"], "model_type": "chatglm"})");
  directory.write("tokenizer_config.json",
                  R"({"tokenizer_class": "ChatGLMTokenizer", "name_or_path": "THUDM/chatglm3-6b"})");
  directory.write("tokenizer.model", small_sentencepiece().build());
  const auto checkpoint = Checkpoint::open(directory.path(), CheckpointParts::kConfigOnly);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const Result<ModelText> text = load_model_text(**checkpoint, "");
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(text->chat_template->name(), "chatglm3");
  EXPECT_EQ(text->chat_template_warning, "");
  ChatRender chat;
  chat.messages.push_back(json::object{{"role", "user"}, {"content", "ab"}});
  const ChatPrompt prompt = make_chat_prompt(*text->chat_template, chat).value();
  const Tokenizer& tokenizer = *text->tokenizer;
  Words pieces;
  for (const int32_t id : tokenizer.encode(prompt.text, {.add_special_tokens = prompt.add_special_tokens})) {
    pieces.emplace_back(tokenizer.piece(id));
  }
  EXPECT_EQ(pieces, (Words{"[gMASK]", "sop", "<|user|>", "▁", "<unk>", "▁ab", "<|assistant|>"}));
}

// Of each family, what ends a turn: generation_config.json, the vocabulary and the template joined.
TEST(ModelText, EndTokensOfTheFamilies) {
  const struct {
    const char* name; const char* architecture; Words special; const char* eos; Words ends;
  } families[] = {
      {"Llama-2-7b-chat", "LlamaForCausalLM", {"<s>", "</s>"}, "27", {"</s>"}},
      {"Meta-Llama-3-8B-Instruct", "LlamaForCausalLM", {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"}, "27",
       {"<|end_of_text|>", "<|eot_id|>"}},
      {"Yi-6B-Chat", "LlamaForCausalLM", {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}, "28",
       {"<|im_end|>", "<|endoftext|>"}},
      {"internlm-chat-7b", "InternLMForCausalLM", {"</s>", "<eoa>"}, "26", {"</s>", "<eoa>"}},
      {"internlm2-chat-7b", "InternLM2ForCausalLM", {"</s>", "<|im_start|>", "<|im_end|>", "<|action_end|>"}, "26",
       {"</s>", "<|im_end|>", "<|action_end|>"}},
      {"Qwen-7B-Chat", "QWenLMHeadModel", {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, "26",
       {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}},
      {"chatglm3-6b", "ChatGLMModel", {"</s>", "<|user|>", "<|observation|>"}, "26",
       {"</s>", "<|user|>", "<|observation|>"}},
      {"glm-4-9b-chat", "ChatGLMModel", {"<|endoftext|>", "<|user|>", "<|observation|>"}, "[26, 27, 28]",
       {"<|endoftext|>", "<|user|>", "<|observation|>"}},
      {"gemma-2b-it", "GemmaForCausalLM", {"<eos>", "<end_of_turn>"}, "26", {"<eos>", "<end_of_turn>"}},
      {"dbrx-instruct", "DbrxForCausalLM", {"<|endoftext|>", "<|im_end|>"}, "26", {"<|endoftext|>", "<|im_end|>"}},
      {"Phi-3-mini-4k-instruct", "Phi3ForCausalLM", {"<|endoftext|>", "<|assistant|>", "<|end|>"}, "26",
       {"<|endoftext|>", "<|assistant|>", "<|end|>"}},
      {"gpt-oss-20b", "GptOssForCausalLM", {"<|return|>", "<|call|>", "<|end|>", "<|endoftext|>"}, "[26, 29]",
       {"<|return|>", "<|call|>", "<|endoftext|>"}},
  };
  for (const auto& family : families) {
    TemporaryDirectory directory;
    directory.write("generation_config.json", fmt::format(R"({{"eos_token_id": {}}})", family.eos));
    const auto text = text_of_directory(
        directory, fmt::format(R"({{"architectures": ["{}"], "_name_or_path": "{}"}})", family.architecture, family.name),
        family.special);
    ASSERT_TRUE(text.ok()) << text.status().message();
    Words ends;
    for (const int32_t id : text->end_ids) ends.emplace_back(text->tokenizer->piece(id));
    std::ranges::sort(ends);
    Words expected = family.ends;
    std::ranges::sort(expected);
    EXPECT_EQ(ends, expected) << family.name << ": " << text->chat_template_reason;
  }
}

}  // namespace
}  // namespace lmdeploy
