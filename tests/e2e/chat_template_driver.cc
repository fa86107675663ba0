// Renders chat templates for tools/chat_template_oracle.py: a JSON request on each line of stdin, a
// JSON answer {"text": ...} or {"error": ...} on each line of stdout.
//   {"template": jinja source, "variables": {...}}                          a bare template
//   {"template": ..., "messages": [...], "tools": [...], "bos": ..., ...}   a chat template
#include <iostream>
#include <string>

#include "text/chat_template.h"
#include "text/jinja/template.h"

namespace lmdeploy {
namespace {

std::string text_of(const json::object& request, std::string_view key) {
  const json::value* value = find(request, key);
  return value == nullptr ? "" : std::string(value->as_string());
}

bool flag_of(const json::object& request, std::string_view key) {
  const json::value* value = find(request, key);
  return value != nullptr && value->as_bool();
}

Result<std::string> render_bare(const json::object& request) {
  ASSIGN_OR_RETURN(const jinja::Template parsed,
                   jinja::Template::parse(text_of(request, "template")));
  std::vector<std::pair<std::string, jinja::Value>> variables;
  if (const json::value* given = find(request, "variables")) {
    for (const auto& [name, value] : given->as_object()) {
      variables.emplace_back(std::string(name), jinja::Value::from_json(value));
    }
  }
  return parsed.render(std::move(variables));
}

Result<std::string> render_chat(const json::object& request) {
  ASSIGN_OR_RETURN(const ChatTemplate chat_template,
                   ChatTemplate::from_jinja(text_of(request, "template"), "test",
                                            {text_of(request, "bos"), text_of(request, "eos")}));
  ChatRender chat;
  chat.messages = find(request, "messages")->as_array();
  if (const json::value* tools = find(request, "tools")) chat.tools = tools->as_array();
  chat.add_generation_prompt = flag_of(request, "add_generation_prompt");
  chat.continue_final_message = flag_of(request, "continue_final_message");
  if (const json::value* given = find(request, "variables")) chat.variables = given->as_object();
  return chat_template.render(chat);
}

json::object answer(const std::string& line) {
  const Result<json::value> request = parse_json(line, "the request");
  if (!request.ok()) return {{"error", request.status().message()}};
  const json::object& object = request->as_object();
  const Result<std::string> text =
      find(object, "messages") == nullptr ? render_bare(object) : render_chat(object);
  if (!text.ok()) return {{"error", text.status().message()}};
  return {{"text", *text}};
}

}  // namespace
}  // namespace lmdeploy

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << lmdeploy::to_json_text(lmdeploy::answer(line)) << "\n" << std::flush;
  }
}
