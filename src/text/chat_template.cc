#include "text/chat_template.h"

#include <algorithm>

#include "base/edit_distance.h"
#include "text/chat_template_impl.h"
#include "text/jinja/globals.h"
#include "text/template_file.h"

namespace lmdeploy {

namespace {

std::string nearest_name(std::string_view name) {
  const std::vector<std::string> names = list_builtin_templates();
  return *std::min_element(names.begin(), names.end(), [&](const auto& a, const auto& b) {
    return edit_distance(name, a) < edit_distance(name, b);
  });
}

constexpr std::string_view kReservedVariables[] = {
    "messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize"};

Status check_variables(const json::object& variables) {
  if (variables.empty()) return {};
  const auto functions = jinja::global_functions();
  for (const auto& member : variables) {
    const std::string_view name(member.key().data(), member.key().size());
    if (is_reserved_template_variable(name)) {
      return invalid_argument(
          "the template variable '{}' is reserved: how the conversation is rendered sets it, so it cannot "
          "be given beside it",
          name);
    }
    const bool is_function = std::any_of(functions.begin(), functions.end(),
                                         [&](const auto& entry) { return entry.first == name; });
    if (is_function) {
      return invalid_argument(
          "the template variable '{}' is reserved: templates call the function of that name", name);
    }
  }
  return {};
}

Status read_capability(const json::object& config, ChatPieces& pieces) {
  using Capability = ChatPieces::Capability;
  ASSIGN_OR_RETURN(const auto text, get_string(config, "capability"));
  if (!text) return {};
  if (*text == "chat") {
    pieces.capability = Capability::kChat;
  } else if (*text == "completion") {
    pieces.capability = Capability::kCompletion;
  } else if (*text == "infilling") {
    pieces.capability = Capability::kInfilling;
    pieces.stop_words = {"<EOT>"};
  } else if (*text == "python") {
    pieces.capability = Capability::kPython;
  } else {
    return invalid_argument(
        "'capability' is \"{}\"; expected completion, infilling, chat or python", *text);
  }
  return {};
}

Status read_stop_words(const json::object& config, ChatPieces& pieces) {
  const json::value* words = find(config, "stop_words");
  if (words == nullptr) return {};
  if (!words->is_array()) return invalid_argument("'stop_words' must be a list of strings");
  pieces.stop_words.clear();
  for (const json::value& word : words->get_array()) {
    if (!word.is_string()) return invalid_argument("'stop_words' must be a list of strings");
    pieces.stop_words.emplace_back(word.get_string().data(), word.get_string().size());
  }
  return {};
}

}  // namespace

Result<std::string> message_role(const json::value& message, size_t index) {
  if (!message.is_object()) return invalid_argument("messages[{}] is no object", index);
  const json::value* role = find(message.get_object(), "role");
  if (role == nullptr || !role->is_string()) {
    return invalid_argument("messages[{}] has no 'role' of type string", index);
  }
  return std::string(role->get_string().data(), role->get_string().size());
}

Result<std::string> message_text(const json::object& message, size_t index) {
  const json::value* content = find(message, "content");
  if (content == nullptr) return std::string();
  if (const json::string* text = content->if_string()) {
    return std::string(text->data(), text->size());
  }
  if (!content->is_array()) {
    return invalid_argument("messages[{}]: 'content' must be a string or a list of parts", index);
  }
  std::string joined;
  for (const json::value& part : content->get_array()) {
    const json::value* text = part.is_object() ? find(part.get_object(), "text") : nullptr;
    if (text == nullptr || !text->is_string()) {
      return invalid_argument("messages[{}]: this model takes text parts only", index);
    }
    if (&part != content->get_array().begin()) joined += '\n';
    joined.append(text->get_string().data(), text->get_string().size());
  }
  return joined;
}

bool is_reserved_template_variable(std::string_view name) {
  return std::ranges::find(kReservedVariables, name) != std::end(kReservedVariables);
}

Result<ChatTemplate> ChatTemplate::from_jinja(std::string_view source, std::string name,
                                              SpecialTokenText tokens) {
  ASSIGN_OR_RETURN(auto impl, make_jinja_chat_template(source, std::move(name), std::move(tokens)));
  return ChatTemplate(std::move(impl));
}

Result<ChatTemplate> ChatTemplate::builtin(std::string_view name, SpecialTokenText tokens) {
  const BuiltinTemplate* row = find_builtin_template(name);
  if (row == nullptr) {
    return not_found("there is no chat template named '{}'; did you mean '{}'? `lmdeploy list` "
                     "prints all",
                     name, nearest_name(name));
  }
  return ChatTemplate(make_piece_chat_template(pieces_of(*row, name), std::move(tokens)));
}

Result<ChatTemplate> ChatTemplate::from_json(const json::object& config, SpecialTokenText tokens) {
  ASSIGN_OR_RETURN(const auto model_name, get_string(config, "model_name"));
  const std::string name = model_name.value_or("custom");
  const BuiltinTemplate* row = find_builtin_template(name);
  ChatPieces pieces;
  if (row != nullptr) pieces = pieces_of(*row, name);
  pieces.name = name;
  const std::pair<const char*, std::string*> fields[] = {
      {"system", &pieces.system},       {"eosys", &pieces.eosys},
      {"user", &pieces.user},           {"eoh", &pieces.eoh},
      {"assistant", &pieces.assistant}, {"eoa", &pieces.eoa},
      {"separator", &pieces.separator}, {"tool", &pieces.tool},
      {"eotool", &pieces.eotool}};
  for (const auto& [key, piece] : fields) {
    ASSIGN_OR_RETURN(auto text, get_string(config, key));
    if (!text) continue;
    if (piece == &pieces.assistant) pieces.answer = pieces.answer_unthought = "";  // made with the old one
    if (piece == &pieces.system) pieces.system_in_user = false;
    *piece = *std::move(text);
  }
  ASSIGN_OR_RETURN(auto meta, get_string(config, "meta_instruction"));
  if (meta || row == nullptr) pieces.meta_instruction = std::move(meta).value_or("");
  RETURN_IF_ERROR(read_capability(config, pieces));
  RETURN_IF_ERROR(read_stop_words(config, pieces));
  return ChatTemplate(make_piece_chat_template(std::move(pieces), std::move(tokens)));
}

Result<ChatTemplate> ChatTemplate::from_json_file(const std::string& path,
                                                  SpecialTokenText tokens) {
  ASSIGN_OR_RETURN(const json::value config, read_json_file(path, {.max_bytes = kMaxTemplateBytes}));
  if (!config.is_object()) return invalid_argument("the chat template {} is no JSON object", path);
  return from_json(config.get_object(), std::move(tokens));
}

Result<ChatTemplate> ChatTemplate::load(const std::string& spec, SpecialTokenText tokens) {
  if (spec.starts_with("{")) {
    ASSIGN_OR_RETURN(const json::value config, parse_json(spec, "--chat-template"));
    if (!config.is_object()) return invalid_argument("--chat-template is no JSON object");
    return from_json(config.get_object(), std::move(tokens));
  }
  if (spec.ends_with(".json")) return from_json_file(spec, std::move(tokens));
  if (spec.ends_with(".jinja") || spec.ends_with(".jinja2")) {
    ASSIGN_OR_RETURN(const std::string source, read_template_file(spec));
    return from_jinja(source, spec, std::move(tokens));
  }
  return builtin(spec, std::move(tokens));
}

Result<std::string> ChatTemplate::render(const ChatRender& chat) const {
  RETURN_IF_ERROR(check_variables(chat.variables));
  return impl_->render(chat);
}

Result<std::string> ChatTemplate::get_prompt(std::string_view text, bool sequence_start) const {
  return impl_->get_prompt(text, sequence_start);
}

const std::vector<std::string>& ChatTemplate::stop_words() const { return impl_->stop_words(); }
const std::string& ChatTemplate::name() const { return impl_->name(); }
bool ChatTemplate::is_jinja() const { return impl_->is_jinja(); }
std::vector<std::string> ChatTemplate::special_marks() const { return impl_->special_marks(); }

bool ChatTemplate::wants_bos(std::string_view prompt) const {
  if (is_jinja()) return false;
  return impl_->tokens().bos.empty() || !prompt.starts_with(impl_->tokens().bos);
}

}  // namespace lmdeploy
