// The built-in templates against LMDeploy's own prompts (tools/chat_template_lmdeploy.py) and against
// published Jinja templates as transformers renders them (tools/chat_template_published.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "text/builtin_templates.h"
#include "text/chat_template.h"

namespace lmdeploy {
namespace {

const std::string kFolder = std::string(LMDEPLOY_TEST_DATA) + "/chat_templates/";

std::string text_of(const Result<std::string>& text) {
  return text.ok() ? *text : "error: " + text.status().message();
}

json::object read_golden(const char* name) {
  return read_json_file(kFolder + name).value().as_object();
}

// LMDeploy reads a last message of the assistant as the beginning of the answer.
ChatRender read_conversation(const json::object& request) {
  ChatRender chat;
  chat.messages = request.at("messages").as_array();
  chat.continue_final_message = chat.messages.back().at("role") == "assistant";
  if (const json::value* tools = find(request, "tools")) chat.tools = tools->as_array();
  if (const json::value* thinking = find(request, "enable_thinking")) {
    chat.variables["enable_thinking"] = *thinking;
  }
  return chat;
}

std::string our_prompt(const ChatTemplate& chat_template, std::string_view name, const json::object& conversations) {
  if (name == "first turn") return text_of(chat_template.get_prompt("Q1", true));
  if (name == "later turn") return text_of(chat_template.get_prompt("Q2", false));
  return text_of(chat_template.render(read_conversation(conversations.at(name).as_object())));
}

// Where we differ from LMDeploy on purpose; docs/guide/chat-templates.md has the reasons.
struct Difference {
  std::set<std::string> names, cases;  // no case: all
};
const Difference kDifferences[] = {
    // It cuts a letter off the beginning of an answer, starts another behind it, or has ended it.
    {{"vicuna", "wizardlm", "llava-v1", "internvl-zh", "deepseek", "deepseek-vl", "deepseek-vl2", "baichuan2",
      "baichuan2-7b", "chatglm3", "glm4", "codegeex4", "solar", "qwen2d5", "qwen2d5-vl", "qwq", "qwq_preview",
      "qwen3", "deepseek-r1"},
     {"open"}},
    // The system prompt stands unmarked before the first turn, runs into it, or is left out.
    {{"mistral", "mixtral", "Mistral-7B-Instruct", "Mixtral-8x7B-Instruct", "gemma", "chatglm", "chatglm2-6b",
      "deepseek-chat", "deepseek-vl2"},
     {"system", "open"}},
    // Without a system prompt there is an empty system block, or only its end.
    {{"qwen3", "qwq"}, {"turns", "first turn", "tools", "result", "thinking off", "thinking off, tools"}},
    {{"deepseek"}, {"turns", "first turn"}},
    // The dates of the knowledge are missing from a system prompt of the user; calls are not written.
    {{"llama3_1", "llama3_2"}, {"system", "open", "first turn", "system and tools", "result"}},
    // The beginning of the answer has a space that becomes a token of its own.
    {{"chatglm3"}, {"turns", "system", "first turn", "later turn"}},
    // Rounds follow each other without an empty line.
    {{"chatglm", "chatglm2-6b"}, {"turns"}},
    // [gMASK]<sop> is missing.
    {{"codegeex4"}, {"turns", "system", "first turn"}},
    // A single turn begins its answer without <think>.
    {{"deepseek-r1", "qwq", "intern-s1", "interns1"}, {"first turn", "later turn"}},
};

bool differs(const std::string& name, const std::string& prompt) {
  return std::ranges::any_of(kDifferences, [&](const Difference& difference) {
    return difference.names.contains(name) && (difference.cases.empty() || difference.cases.contains(prompt));
  });
}

TEST(BuiltinTemplatesGolden, WriteWhatLmdeployWrites) {
  const json::object golden = read_golden("lmdeploy.json");
  size_t names = 0, equal = 0, different = 0;
  for (const json::value& entry : golden.at("templates").as_array()) {
    for (const json::value& named : entry.at("names").as_array()) {
      const std::string name(named.as_string());
      const auto loaded = ChatTemplate::builtin(name, {});
      ASSERT_TRUE(loaded.ok()) << loaded.status().message();
      ++names;
      for (const auto& [key, expected] : entry.at("prompts").as_object()) {
        const std::string prompt(key);
        const std::string ours = our_prompt(*loaded, prompt, golden.at("conversations").as_object());
        if (differs(name, prompt)) {
          EXPECT_NE(ours, std::string(expected.as_string())) << name << ": " << prompt;
          ++different;
        } else {
          EXPECT_EQ(ours, std::string(expected.as_string())) << name << ": " << prompt;
          ++equal;
        }
      }
    }
  }
  EXPECT_EQ(names, 90u);
  RecordProperty("equal", static_cast<int>(equal));
  RecordProperty("different", static_cast<int>(different));
  EXPECT_GT(equal, 400u);
}

// Ours are LMDeploy's, or more of them where its templates do not stop.
TEST(BuiltinTemplatesGolden, StopAtLmdeploysStopWords) {
  const json::object golden = read_golden("lmdeploy.json");
  for (const json::value& entry : golden.at("templates").as_array()) {
    for (const json::value& named : entry.at("names").as_array()) {
      const auto loaded = ChatTemplate::builtin(std::string(named.as_string()), {}).value();
      for (const json::value& word : entry.at("stop_words").as_array()) {
        EXPECT_NE(std::ranges::find(loaded.stop_words(), std::string(word.as_string())), loaded.stop_words().end())
            << loaded.name() << ": " << word.as_string();
      }
    }
  }
}

TEST(BuiltinTemplatesGolden, WriteWhatPublishedTemplatesWrite) {
  const json::object golden = read_golden("published.json");
  // Its own default system prompt, which the Jinja template does not have.
  const std::set<std::string> with_default = {"internlm2", "llama3_1"};
  size_t compared = 0;
  for (const auto& [key, published] : golden.at("published").as_object()) {
    const std::string name(key), bos(published.at("bos").as_string());
    const ChatTemplate builtin = ChatTemplate::builtin(name, {.bos = bos, .eos = "", .prefix = ""}).value();
    for (const auto& [case_name, expected] : published.at("prompts").as_object()) {
      if (case_name != "system" && with_default.contains(name)) continue;
      ChatRender chat;
      chat.messages = golden.at("conversations").as_object().at(case_name).as_array();
      std::string ours = text_of(builtin.render(chat));
      if (builtin.wants_bos(ours)) ours = bos + ours;
      EXPECT_EQ(ours, std::string(expected.as_string())) << name << ": " << case_name;
      ++compared;
    }
  }
  EXPECT_GT(compared, 45u);
}

}  // namespace
}  // namespace lmdeploy
