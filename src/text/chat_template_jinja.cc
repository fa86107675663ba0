// A model's own Jinja template, given what transformers' apply_chat_template gives it.
#include "text/chat_template_impl.h"
#include "text/jinja/python_text.h"
#include "text/jinja/string_ops.h"
#include "text/jinja/template.h"
#include "text/jinja/text_search.h"

namespace lmdeploy {

namespace {

constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

std::string to_string(const json::string& text) { return {text.data(), text.size()}; }

// Templates that look at the "type" of content parts get the list, others its text.
bool reads_content_parts(std::string_view source) {
  for (const char* type : {"text", "image"}) {
    for (const char quote : {'\'', '"'}) {
      const std::string literal = fmt::format("== {}{}{}", quote, type, quote);
      for (const char* field : {"'type'] ", "\"type\"] ", ".type "}) {
        if (source.find(field + literal) != std::string_view::npos) return true;
      }
    }
  }
  return false;
}

// Tool calls whose arguments are JSON text get the object that it holds.
void parse_arguments(json::object& message) {
  json::value* calls = message.if_contains("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (json::value& call : calls->get_array()) {
    json::value* function = call.is_object() ? call.get_object().if_contains("function") : nullptr;
    json::value* arguments = function != nullptr && function->is_object()
                                 ? function->get_object().if_contains("arguments")
                                 : nullptr;
    if (arguments == nullptr || !arguments->is_string()) continue;
    Result<json::value> parsed = parse_json(arguments->get_string(), "the arguments of a tool call");
    if (parsed.ok() && parsed->is_object()) *arguments = *std::move(parsed);
  }
}

// Reasoning goes by three names; as transformers does, "reasoning_content" gets the first that is
// there, and "thinking" if it is missing.
void alias_reasoning(json::object& message) {
  const json::value* found = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (found == nullptr) found = find(message, name);
  }
  if (found == nullptr) return;
  const json::value reasoning = *found;
  if (!message.contains("thinking")) {
    json::object with_thinking = {{"thinking", reasoning}};
    for (const auto& member : message) with_thinking.insert(member);
    message = std::move(with_thinking);
  }
  message["reasoning_content"] = reasoning;
}

// The text of the last message that the answer continues: its content, or its last text part.
json::value* continued_text(json::object& message) {
  json::value* content = message.if_contains("content");
  if (content == nullptr || content->is_string()) return content;
  if (!content->is_array()) return nullptr;
  for (auto part = content->get_array().rbegin(); part != content->get_array().rend(); ++part) {
    json::value* text = part->is_object() ? part->get_object().if_contains("text") : nullptr;
    if (text != nullptr && text->is_string()) return text;
  }
  return nullptr;
}

class JinjaChatTemplate : public ChatTemplate::Impl {
 public:
  JinjaChatTemplate(jinja::Template parsed, std::string name, SpecialTokenText tokens, bool parts)
      : Impl(std::move(name), std::move(tokens), {}),
        template_(std::move(parsed)),
        reads_parts_(parts) {}

  bool is_jinja() const override { return true; }

  Result<std::string> render(const ChatRender& chat) const override {
    json::array messages = chat.messages;
    for (size_t i = 0; i < messages.size(); ++i) {
      RETURN_IF_ERROR(message_role(messages[i], i).status());
      json::object& message = messages[i].get_object();
      alias_reasoning(message);
      if (chat.parse_tool_arguments) parse_arguments(message);
      if (!reads_parts_) RETURN_IF_ERROR(join_parts(message, i));
    }
    if (!chat.continue_final_message) return render_messages(chat, messages);
    return render_open(chat, std::move(messages));
  }

  Result<std::string> get_prompt(std::string_view text, bool sequence_start) const override {
    if (!sequence_start) {
      return invalid_argument(
          "the chat template {} formats whole conversations; a later turn needs its messages", name());
    }
    ChatRender chat;
    chat.messages.push_back(json::object{{"role", "user"}, {"content", text}});
    return render(chat);
  }

 private:
  static Status join_parts(json::object& message, size_t index) {
    json::value* content = message.if_contains("content");
    if (content == nullptr || !content->is_array()) return {};
    ASSIGN_OR_RETURN(const std::string text, message_text(message, index));
    *content = text;
    return {};
  }

  Result<std::string> render_messages(const ChatRender& chat, const json::array& messages) const {
    using jinja::Value;
    std::vector<std::pair<std::string, Value>> variables;
    if (!tokens().bos.empty()) variables.emplace_back("bos_token", Value::string(tokens().bos));
    if (!tokens().eos.empty()) variables.emplace_back("eos_token", Value::string(tokens().eos));
    variables.emplace_back("messages", Value::from_json(messages));
    variables.emplace_back("tools", chat.tools ? Value::from_json(*chat.tools) : Value::none());
    variables.emplace_back("documents", Value::none());
    variables.emplace_back(
        "add_generation_prompt",
        Value::boolean(chat.add_generation_prompt && !chat.continue_final_message));
    for (const auto& [name, value] : chat.variables) {
      variables.emplace_back(std::string(name), Value::from_json(value));
    }
    Result<std::string> text = template_.render(std::move(variables));
    if (text.ok() || text.status().message().starts_with("the chat template refused")) return text;
    return make_status(text.status().code(), "the chat template {} failed: {}", name(),
                       text.status().message());
  }

  // Marks the end of the last message's text, and cuts the prompt there.
  Result<std::string> render_open(const ChatRender& chat, json::array messages) const {
    json::value* text = messages.empty() ? nullptr : continued_text(messages.back().get_object());
    if (text == nullptr || !text->is_string()) {
      return invalid_argument("continue_final_message needs a last message with text content");
    }
    const std::string answer = to_string(text->get_string());
    *text = answer + std::string(kContinueTag);
    ASSIGN_OR_RETURN(std::string prompt, render_messages(chat, messages));
    const std::string_view bare = kContinueTag.substr(0, kContinueTag.size() - 1);
    const size_t at = prompt.rfind(bare);
    const std::string stripped = jinja::strip_text(answer, std::nullopt, true, true);
    if (at == std::string::npos || !jinja::contains_text(prompt, stripped)) {
      return invalid_argument(
          "the chat template {} drops the final message, so that it cannot be continued", name());
    }
    const bool kept_space = std::string_view(prompt).substr(at).starts_with(kContinueTag);
    prompt.resize(at);
    // The template trims the text, so the tag's own space is gone and the text's goes too.
    if (!kept_space) prompt.resize(prompt.size() - jinja::trailing_space(prompt));
    return prompt;
  }

  jinja::Template template_;
  bool reads_parts_;
};

}  // namespace

Result<std::shared_ptr<const ChatTemplate::Impl>> make_jinja_chat_template(
    std::string_view source, std::string name, SpecialTokenText tokens) {
  Result<jinja::Template> parsed = jinja::Template::parse(source);
  if (!parsed.ok()) {
    return invalid_argument("the chat template {} cannot be read: {}", name,
                            parsed.status().message());
  }
  return std::shared_ptr<const ChatTemplate::Impl>(std::make_shared<JinjaChatTemplate>(
      *std::move(parsed), std::move(name), std::move(tokens), reads_content_parts(source)));
}

}  // namespace lmdeploy
