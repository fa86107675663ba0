#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "text/builtin_templates.h"

namespace lmdeploy {
namespace {

ChatRender conversation(const char* messages) {
  ChatRender chat;
  chat.messages = parse_json(messages, "messages").value().as_array();
  return chat;
}

ChatTemplate builtin(std::string_view name, SpecialTokenText tokens = {}) {
  return ChatTemplate::builtin(name, std::move(tokens)).value();
}

std::string text_of(const Result<std::string>& text) {
  return text.ok() ? *text : "error: " + text.status().message();
}

constexpr char kTwoTurns[] = R"([{"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"},
                                 {"role": "user", "content": "Q2"}])";

TEST(BuiltinChatTemplate, PiecesAreAssembledAsDocumented) {
  EXPECT_EQ(text_of(builtin("qwen").render(conversation(kTwoTurns))),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nQ1<|im_end|>\n"
            "<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(text_of(builtin("codellama").render(conversation(kTwoTurns))),
            "[INST] <<SYS>>\n\n<</SYS>>\n\nQ1 [/INST] A1</s><s>[INST] Q2 [/INST] ");
  EXPECT_EQ(text_of(builtin("base").render(conversation(kTwoTurns))), "Q1A1Q2");
  EXPECT_EQ(text_of(builtin("gemma").render(conversation(kTwoTurns))),
            "<start_of_turn>user\nQ1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n"
            "<start_of_turn>user\nQ2<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_EQ(text_of(builtin("yi").render(
                conversation(R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}])"))),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n");
}

TEST(BuiltinChatTemplate, Llama3KeepsItsNewlineAndAsksForNoSecondBos) {
  const ChatTemplate llama3 = builtin("llama3", {"<|begin_of_text|>", "<|eot_id|>"});
  const std::string prompt = text_of(llama3.render(conversation(R"([{"role": "user", "content": "Q"}])")));
  EXPECT_EQ(prompt,
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_FALSE(llama3.wants_bos(prompt));
  EXPECT_TRUE(builtin("llama2", {"<s>", "</s>"}).wants_bos("[INST] "));
}

TEST(BuiltinChatTemplate, RoundsAreCountedPerConversation) {
  const ChatTemplate chatglm = builtin("chatglm");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(text_of(chatglm.render(conversation(kTwoTurns))),
              "[Round 1]\n\n问：Q1\n\n答：A1\n\n[Round 2]\n\n问：Q2\n\n答：");
  }
}

TEST(BuiltinChatTemplate, FinalSpaceIsDroppedButNotFromAPrefix) {
  EXPECT_TRUE(text_of(builtin("vicuna").render(conversation(kTwoTurns))).ends_with("Q2 ASSISTANT:"));
  ChatRender open = conversation(R"([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A "}])");
  open.continue_final_message = true;
  EXPECT_TRUE(text_of(builtin("vicuna").render(open)).ends_with("Q ASSISTANT: A "));
}

TEST(BuiltinChatTemplate, ThinkingCanBeSwitchedOff) {
  ChatRender chat = conversation(R"([{"role": "user", "content": "Q"}])");
  EXPECT_TRUE(text_of(builtin("qwq").render(chat)).ends_with("<|im_start|>assistant\n<think>\n"));
  EXPECT_TRUE(text_of(builtin("qwen3").render(chat)).ends_with("<|im_start|>assistant\n"));
  chat.variables["enable_thinking"] = false;
  EXPECT_TRUE(text_of(builtin("qwen3").render(chat)).ends_with("assistant\n<think>\n\n</think>\n\n"));
}

TEST(BuiltinChatTemplate, InteractiveTurns) {
  EXPECT_EQ(text_of(builtin("internlm").get_prompt("Q", false)), "\n<|User|>:Q\n<|Bot|>:");
  EXPECT_EQ(text_of(builtin("solar").get_prompt("Q", true)),
            "### System:\n\n\n### User:\nQ\n\n### Assistant:\n");
  EXPECT_EQ(text_of(builtin("internlm2-7b").get_prompt("Q", true)), "Q");
}

TEST(BuiltinChatTemplate, EveryNameFormatsAConversation) {
  const std::vector<std::string> names = list_builtin_templates();
  EXPECT_GT(names.size(), 80u);
  for (const std::string& name : names) {
    const std::string prompt = text_of(builtin(name).render(conversation(kTwoTurns)));
    EXPECT_NE(prompt.find("Q2"), std::string::npos) << name;
    EXPECT_EQ(builtin(name).name(), name);
  }
}

// --meta-instruction is a first message of the system.
TEST(BuiltinChatTemplate, AGivenSystemPromptTakesThePlaceOfTheDefault) {
  for (const std::string& name : list_builtin_templates()) {
    const ChatPieces pieces = pieces_of(*find_builtin_template(name), name);
    const std::string prompt = text_of(builtin(name).render(conversation(
        R"([{"role": "system", "content": "BE BRIEF"}, {"role": "user", "content": "Q"}])")));
    const size_t at = prompt.find("BE BRIEF");
    ASSERT_NE(at, std::string::npos) << name;
    EXPECT_LT(at, prompt.find("Q", at)) << name;
    EXPECT_EQ(prompt.find("BE BRIEF", at + 1), std::string::npos) << name;
    if (!pieces.meta_instruction.value_or("").empty()) {
      EXPECT_EQ(prompt.find(*pieces.meta_instruction), std::string::npos) << name;
    }
  }
  EXPECT_EQ(text_of(builtin("mistral").render(conversation(
                R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}])"))),
            "[INST] S\n\nQ [/INST]");
}

TEST(BuiltinChatTemplate, SpecialMarksAreFound) {
  EXPECT_EQ(builtin("dbrx").special_marks(), (std::vector<std::string>{"<|im_start|>", "<|im_end|>"}));
  EXPECT_EQ(builtin("llama2").special_marks(), (std::vector<std::string>{"</s>", "<s>"}));
  EXPECT_EQ(builtin("glm4").special_marks(),
            (std::vector<std::string>{"[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"}));
  EXPECT_EQ(builtin("internlm").special_marks(), std::vector<std::string>());
  EXPECT_EQ(builtin("base").special_marks(), std::vector<std::string>());
}

TEST(BuiltinChatTemplate, AStartThatTheTokenizerPutsItselfIsLeftOut) {
  const ChatTemplate chatglm3 = builtin("chatglm3", {.bos = "<s>", .eos = "", .prefix = "[gMASK]sop"});
  const std::string prompt = text_of(chatglm3.render(conversation(R"([{"role": "user", "content": "Q"}])")));
  EXPECT_EQ(prompt, "<|user|>\n Q<|assistant|>");
  EXPECT_TRUE(chatglm3.wants_bos(prompt));
}

TEST(BuiltinChatTemplate, ErrorsSayWhatToDo) {
  EXPECT_EQ(ChatTemplate::builtin("lama3", {}).status().message(),
            "there is no chat template named 'lama3'; did you mean 'llama3'? `lmdeploy list` prints all");
  EXPECT_EQ(text_of(builtin("qwen").render(conversation(R"([{"role": "wizard", "content": ""}])"))),
            "error: the chat template qwen has no format for messages of role 'wizard'; it knows system, "
            "user and assistant");
  ChatRender tools = conversation(kTwoTurns);
  tools.tools = json::array{json::object{{"type", "function"}}};
  EXPECT_EQ(builtin("qwen").render(tools).status().code(), StatusCode::kUnsupported);
}

TEST(ChatTemplateConfig, DocumentedJsonWorks) {
  const char* config = R"({"model_name": "mine", "system": "<|im_start|>system\n",
      "meta_instruction": "You are a robot.", "eosys": "<|im_end|>\n", "user": "<|im_start|>user\n",
      "eoh": "<|im_end|>\n", "assistant": "<|im_start|>assistant\n", "eoa": "<|im_end|>",
      "separator": "\n", "capability": "chat", "stop_words": ["<|im_end|>"]})";
  const Result<ChatTemplate> mine = ChatTemplate::load(config, {});
  ASSERT_TRUE(mine.ok()) << mine.status().message();
  EXPECT_EQ(text_of(mine->render(conversation(R"([{"role": "user", "content": "Q"}])"))),
            "<|im_start|>system\nYou are a robot.<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(mine->stop_words(), std::vector<std::string>{"<|im_end|>"});
  EXPECT_EQ(mine->name(), "mine");
}

TEST(ChatTemplateConfig, ABuiltinNameSuppliesThePieces) {
  const Result<ChatTemplate> changed = ChatTemplate::load(
      R"({"model_name": "internlm2", "meta_instruction": "X", "system": null})", {});
  ASSERT_TRUE(changed.ok());
  EXPECT_TRUE(text_of(changed->get_prompt("Q", true)).starts_with("<|im_start|>system\nX<|im_end|>\n"));
  EXPECT_EQ(changed->stop_words().size(), 2u);
  EXPECT_EQ(ChatTemplate::load(R"({"capability": "sing"})", {}).status().message(),
            "'capability' is \"sing\"; expected completion, infilling, chat or python");
  EXPECT_FALSE(ChatTemplate::load(R"({"user": 3})", {}).ok());
}

TEST(ChatTemplateConfig, InfillingPutsTheGapLast) {
  const Result<ChatTemplate> infill =
      ChatTemplate::load(R"({"model_name": "codellama", "capability": "infilling"})", {});
  ASSERT_TRUE(infill.ok());
  EXPECT_EQ(text_of(infill->get_prompt("a<FILL>b", true)), "<PRE> a <SUF>b <MID>");
  EXPECT_FALSE(infill->get_prompt("a", true).ok());
  EXPECT_EQ(infill->stop_words(), std::vector<std::string>{"<EOT>"});
}

TEST(JinjaChatTemplate, PartsAreJoinedUnlessTheTemplateReadsThem) {
  const ChatRender chat = conversation(
      R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])");
  const auto plain = ChatTemplate::from_jinja("{{ messages[0]['content'] }}", "t", {}).value();
  EXPECT_EQ(text_of(plain.render(chat)), "a\nb");
  const auto parts = ChatTemplate::from_jinja(
      "{% for p in messages[0].content %}{% if p['type'] == 'text' %}[{{ p.text }}]{% endif %}{% endfor %}",
      "t", {}).value();
  EXPECT_EQ(text_of(parts.render(chat)), "[a][b]");
  EXPECT_EQ(text_of(plain.render(conversation(
                R"([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])"))),
            "error: messages[0]: this model takes text parts only");
}

TEST(JinjaChatTemplate, ToolArgumentsAsTextBecomeObjects) {
  ChatRender chat = conversation(
      R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}])");
  const auto calls = ChatTemplate::from_jinja(
      "{{ messages[0].tool_calls[0].function.arguments | tojson }}", "t", {}).value();
  EXPECT_EQ(text_of(calls.render(chat)), R"("{\"a\": 1}")");
  chat.parse_tool_arguments = true;
  EXPECT_EQ(text_of(calls.render(chat)), R"({"a": 1})");
}

TEST(JinjaChatTemplate, WhatTheConversationSetsCannotBeGivenAsAVariable) {
  const auto own = ChatTemplate::from_jinja("{{ x }}{{ bos_token }}", "m", {"B", "E"}).value();
  for (const ChatTemplate& chat_template : {own, builtin("qwen")}) {
    for (const char* name : {"messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize",
                             "raise_exception", "namespace"}) {
      ChatRender chat = conversation(kTwoTurns);
      chat.variables[name] = nullptr;
      const Status status = chat_template.render(chat).status();
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
      EXPECT_NE(status.message().find(fmt::format("'{}' is reserved", name)), std::string::npos);
    }
  }
  ChatRender chat = conversation(kTwoTurns);
  chat.variables = {{"x", 1}, {"bos_token", "Y"}, {"documents", nullptr}};
  EXPECT_EQ(text_of(own.render(chat)), "1Y");
}

TEST(JinjaChatTemplate, FilesAreBounded) {
  const std::string path = testing::TempDir() + "/large.jinja";
  std::ofstream(path) << std::string((4 << 20) + 1, 'x');
  EXPECT_NE(ChatTemplate::load(path, {}).status().message().find("has more than 4194304 bytes"),
            std::string::npos);
  std::ofstream(path) << "\xFF";
  EXPECT_NE(ChatTemplate::load(path, {}).status().message().find("is not UTF-8"), std::string::npos);
  std::filesystem::remove(path);
  EXPECT_NE(ChatTemplate::load(path, {}).status().message().find("cannot be read"), std::string::npos);
  std::filesystem::create_directory(path);
  EXPECT_NE(ChatTemplate::load(path, {}).status().message().find("is a directory"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(JinjaChatTemplate, ErrorsNameTheTemplate) {
  EXPECT_EQ(ChatTemplate::from_jinja("{{", "m", {}).status().message(),
            "the chat template m cannot be read: line 1: a tag has no end ('}}')");
  const auto strict = ChatTemplate::from_jinja("{{ messages[9].role }}", "m", {}).value();
  EXPECT_EQ(text_of(strict.render(conversation("[]"))),
            "error: the chat template m failed: line 1: list object has no element 9");
  EXPECT_EQ(text_of(strict.render(conversation("[3]"))), "error: messages[0] is no object");
}

}  // namespace
}  // namespace lmdeploy
