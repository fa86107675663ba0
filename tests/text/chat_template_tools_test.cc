// Tools in the built-in templates: the text that the model's own template, or LMDeploy, writes.
#include <gtest/gtest.h>

#include "text/chat_template.h"

namespace lmdeploy {
namespace {

constexpr char kTools[] = R"([
  {"type": "function", "function": {"name": "weather", "description": "Of a \"city\", é",
   "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
  {"type": "function", "function": {"name": "now", "parameters": {}}}])";

constexpr const char* kConversations[] = {
    R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}])",
    R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "", "tool_calls": [
          {"type": "function", "function": {"name": "weather", "arguments": {"city": "北京", "n": 1.0}}}]},
        {"role": "tool", "content": "21"}])",
    R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "Two.", "tool_calls": [
          {"function": {"name": "weather", "arguments": {"city": "A \"b\""}}},
          {"function": {"name": "now", "arguments": {}}}]},
        {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"},
        {"role": "assistant", "content": "Done."}, {"role": "user", "content": "Thanks"}])"};

ChatRender conversation(const char* messages, bool tools) {
  ChatRender chat;
  chat.messages = parse_json(messages, "messages").value().as_array();
  if (tools) chat.tools = parse_json(kTools, "tools").value().as_array();
  return chat;
}

ChatTemplate builtin(std::string_view name) { return ChatTemplate::builtin(name, {}).value(); }

void expect_own_template(const char* name, const char* file, const char* messages) {
  const auto own = ChatTemplate::load(
      std::string(LMDEPLOY_TEST_DATA) + "/chat_templates/" + file, {}).value();
  for (const bool tools : {true, false}) {
    const ChatRender chat = conversation(messages, tools);
    EXPECT_EQ(builtin(name).render(chat).value(), own.render(chat).value()) << name << messages;
  }
}

TEST(BuiltinTools, QwenEqualsTheModelsOwnTemplate) {
  for (const char* messages : kConversations) {
    expect_own_template("qwen2d5", "qwen2_5.jinja", messages);
    expect_own_template("qwen3", "qwen3.jinja", messages);
  }
  expect_own_template("qwen2d5", "qwen2_5.jinja", R"([{"role": "user", "content": "Q"}])");
  expect_own_template("qwen3", "qwen3.jinja", R"([{"role": "user", "content": "Q"}])");
}

TEST(BuiltinTools, ArgumentsMayBeJsonText) {
  ChatRender chat = conversation(
      R"([{"role": "user", "content": "Q"}, {"role": "assistant", "content": null, "tool_calls": [
          {"function": {"name": "now", "arguments": "{\"a\":[1,2]}"}}]}])", true);
  EXPECT_NE(builtin("qwen2d5").render(chat).value().find(
                "assistant\n<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": [1, 2]}}\n</tool_call><|im_end|>"),
            std::string::npos);
}

// The prompt of LMDeploy's own test of its llama3_1 template.
TEST(BuiltinTools, Llama31WritesLmdeploysText) {
  ChatRender chat;
  chat.messages = json::array{json::object{{"role", "user"}, {"content", "Can you?"}}};
  chat.tools = parse_json(R"([{"name": "spotify_trending_songs",
      "description": "Get top trending songs on Spotify",
      "parameters": {"n": {"param_type": "int", "required": true}}}])", "tools").value().as_array();
  EXPECT_EQ(
      builtin("llama3_1").render(chat).value(),
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December "
      "2023\nToday Date: 26 Jul 2024\n\n# Tool Instructions\n- Always execute python code in messages "
      "that you share.\n- When looking for real time information use relevant functions if available "
      "else fallback to brave_search\n\n\n\nYou have access to the following functions:\n\nUse the "
      "function 'spotify_trending_songs' to: Get top trending songs on Spotify\n{\"name\": "
      "\"spotify_trending_songs\", \"description\": \"Get top trending songs on Spotify\", "
      "\"parameters\": {\"n\": {\"param_type\": \"int\", \"required\": true}}}\n\n\nIf a you choose to "
      "call a function ONLY reply in the following format:\n<{start_tag}={function_name}>{parameters}"
      "{end_tag}\nwhere\n\nstart_tag => `<function`\nparameters => a JSON dict with the function "
      "argument name as key and function argument value as value.\nend_tag => `</function>`\n\nHere is "
      "an example,\n<function=example_function_name>{\"example_name\": \"example_value\"}</function>\n\n"
      "Reminder:\n- Function calls MUST follow the specified format\n- Required parameters MUST be "
      "specified\n- Only call one function at a time\n- Put the entire function call reply on one "
      "line\"\n- Always add your sources when using search results to answer the user query\n\nYou are a "
      "helpful assistant.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nCan you?<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(BuiltinTools, Llama31CallsWaitForTheirResult) {
  const std::string prompt = builtin("llama3_1").render(conversation(kConversations[1], false)).value();
  EXPECT_TRUE(prompt.ends_with(
      "<|start_header_id|>assistant<|end_header_id|>\n\n<function=weather>{\"city\": \"北京\", \"n\": 1.0}"
      "</function><|eom_id|><|start_header_id|>ipython<|end_header_id|>\n\n21<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\n")) << prompt;
}

TEST(BuiltinTools, Internlm2NamesWhoSpeaks) {
  ChatRender chat = conversation(kConversations[1], true);
  chat.messages.push_back(json::object{{"role", "environment"}, {"name", "interpreter"}, {"content", "plot"}});
  EXPECT_EQ(builtin("internlm2").render(chat).value(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>system name=<|plugin|>\n"
            "[{\"name\": \"weather\", \"description\": \"Of a \\\"city\\\", é\", \"parameters\": {\"type\": "
            "\"object\", \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}, "
            "{\"name\": \"now\", \"parameters\": {}}]<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
            "<|im_start|>assistant\n<|action_start|><|plugin|>\n{\"name\": \"weather\", \"parameters\": {\"city\": "
            "\"北京\", \"n\": 1.0}}<|action_end|><|im_end|>\n<|im_start|>environment name=<|plugin|>\n21<|im_end|>\n"
            "<|im_start|>environment name=<|interpreter|>\nplot<|im_end|>\n<|im_start|>assistant\n");
}

TEST(BuiltinTools, InternS1RepeatsTheThoughtsAfterTheLastQuestion) {
  ChatRender chat;
  chat.messages = parse_json(R"([{"role": "user", "content": "Q1"},
      {"role": "assistant", "content": "A1", "reasoning_content": "old"}, {"role": "user", "content": "Q2"},
      {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [
        {"function": {"name": "now", "arguments": {}}}]},
      {"role": "tool", "content": "12:00"}])", "messages").value().as_array();
  const std::string prompt = builtin("intern-s1").render(chat).value();
  EXPECT_TRUE(prompt.ends_with(
      "<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n"
      "</think>\n<|action_start|><|plugin|>\n{\"name\": \"now\", \"parameters\": {}}\n<|action_end|><|im_end|>\n"
      "<|im_start|>environment name=<|plugin|>\n12:00<|im_end|>\n<|im_start|>assistant\n<think>")) << prompt;
}

TEST(BuiltinTools, TemplatesWithoutAFormatRefuse) {
  for (const char* name : {"qwen", "llama3", "gemma", "mistral", "deepseek"}) {
    EXPECT_EQ(builtin(name).render(conversation(kConversations[0], true)).status().code(),
              StatusCode::kUnsupported) << name;
    const Status calls = builtin(name).render(conversation(kConversations[1], false)).status();
    EXPECT_NE(calls.message().find("has no format for tool calls"), std::string::npos) << name;
  }
  ChatRender nameless = conversation(kConversations[0], true);
  nameless.tools->push_back(json::object{{"type", "function"}});
  EXPECT_EQ(builtin("qwen3").render(nameless).status().message(),
            "tools[2] has no function with a 'name' of type string");
}

}  // namespace
}  // namespace lmdeploy
