// The committed templates must render what transformers renders (tests/data/chat_templates).
#include <gtest/gtest.h>

#include "text/chat_template.h"

namespace lmdeploy {
namespace {

const std::string kFolder = std::string(LMDEPLOY_TEST_DATA) + "/chat_templates/";

ChatRender read_request(const json::object& request) {
  ChatRender chat;
  chat.messages = request.at("messages").as_array();
  if (const json::value* tools = find(request, "tools")) chat.tools = tools->as_array();
  chat.add_generation_prompt = request.at("add_generation_prompt").as_bool();
  const json::value* open = find(request, "continue_final_message");
  chat.continue_final_message = open != nullptr && open->as_bool();
  if (const json::value* given = find(request, "variables")) chat.variables = given->as_object();
  return chat;
}

void expect_same(const Result<std::string>& text, const json::value& expected,
                 const std::string& what) {
  if (expected.is_string()) {
    ASSERT_TRUE(text.ok()) << what << ": " << text.status().message();
    EXPECT_EQ(*text, std::string(expected.as_string())) << what;
    return;
  }
  ASSERT_FALSE(text.ok()) << what << ": " << *text;
  const json::value& words = expected.as_object().at("refusal");
  if (!words.is_string()) return;
  EXPECT_EQ(text.status().message(),
            "the chat template refused the conversation: " + std::string(words.as_string()))
      << what;
}

TEST(ChatTemplateGolden, RendersWhatTransformersRenders) {
  const json::value golden = read_json_file(kFolder + "golden.json").value();
  const json::object& requests = golden.as_object().at("requests").as_object();
  size_t compared = 0;
  for (const auto& [name, cases] : golden.as_object().at("rendered").as_object()) {
    const std::string file = kFolder + std::string(name) + ".jinja";
    const Result<ChatTemplate> loaded = ChatTemplate::load(file, {"<BOS>", "<EOS>"});
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    for (const auto& [case_name, expected] : cases.as_object()) {
      const ChatRender chat = read_request(requests.at(case_name).as_object());
      expect_same(loaded->render(chat), expected, file + " " + std::string(case_name));
      ++compared;
    }
  }
  EXPECT_GT(compared, 500u);
}

}  // namespace
}  // namespace lmdeploy
