#include "serve/openai/chat_request.h"

#include <fmt/format.h>

#include <limits>

#include "text/chat_template.h"

namespace lmdeploy {

namespace {

constexpr size_t kMostMessages = 4096;

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

void check_part(FieldReader& fields, const json::value& part) {
  const json::object* object = part.if_object();
  const json::value* type = object == nullptr ? nullptr : find(*object, "type");
  const json::value* text = object == nullptr ? nullptr : find(*object, "text");
  if (type != nullptr && type->is_string() && type->get_string() != "text") {
    return fields.fail(
        "messages",
        fmt::format("content of type '{}' is not in this version of lmdeploy; send text",
                    view(type->get_string()).substr(0, 40)),
        "unsupported_parameter");
  }
  if (text == nullptr || !text->is_string()) {
    fields.fail("messages", "a content part needs 'type': \"text\" and a string 'text'");
  }
}

void check_message(FieldReader& fields, const json::value& message, size_t index) {
  const json::object* object = message.if_object();
  const json::value* role = object == nullptr ? nullptr : find(*object, "role");
  if (role == nullptr || !role->is_string()) {
    return fields.fail("messages", fmt::format("messages[{}] needs a string 'role'", index));
  }
  const json::value* content = find(*object, "content");
  if (content == nullptr) {
    if (find(*object, "tool_calls") != nullptr) return;
    return fields.fail("messages", fmt::format("messages[{}] has no 'content'", index));
  }
  if (const json::array* parts = content->if_array()) {
    for (const json::value& part : *parts) check_part(fields, part);
  } else if (!content->is_string()) {
    fields.fail("messages",
                fmt::format("the content of messages[{}] is neither a string nor a list "
                            "of parts",
                            index));
  }
}

void read_messages(FieldReader& fields, ChatRequest& out) {
  const json::value* messages = fields.value("messages");
  if (messages == nullptr) {
    return fields.fail("messages",
                       "'messages' is missing; send a list of messages with 'role' and "
                       "'content'");
  }
  if (const auto* text = messages->if_string()) {
    if (text->empty()) fields.fail("messages", "'messages' is an empty string");
    out.raw_prompt = std::string(view(*text));
    return;
  }
  const json::array* list = fields.array("messages");
  if (list == nullptr) return;
  if (list->empty() || list->size() > kMostMessages) {
    return fields.fail("messages", fmt::format("'messages' has {} items; expected 1 to {}",
                                               list->size(), kMostMessages));
  }
  for (size_t i = 0; i < list->size() && fields.ok(); ++i) check_message(fields, (*list)[i], i);
  if (!fields.ok()) return;
  out.input.messages = *list;
  const json::object& last = out.input.messages.back().get_object();
  out.input.continue_last =
      last.at("role") == json::value("assistant") && find(last, "tool_calls") == nullptr;
}

void read_template_variables(FieldReader& fields, json::object& out) {
  if (const json::object* given = fields.object("chat_template_kwargs")) {
    for (const auto& entry : *given) {
      const std::string_view key(entry.key().data(), entry.key().size());
      if (is_reserved_template_variable(key)) {
        fields.fail("chat_template_kwargs",
                    fmt::format("'chat_template_kwargs' cannot set '{}'", key));
      }
      out[entry.key()] = entry.value();
    }
  }
  for (const char* name : {"enable_thinking", "reasoning_effort"}) {
    if (const json::value* given = fields.value(name)) out[name] = *given;
  }
}

// Tools need a parser of the model's tool calls. "none" keeps them from the model.
void refuse_tools(FieldReader& fields) {
  const json::value* choice = fields.value("tool_choice");
  if (choice != nullptr && *choice == json::value("none")) {
    fields.ignore("tools");
  } else {
    fields.refuse("tools");
    fields.refuse("tool_choice", "auto");
  }
  fields.ignore("parallel_tool_calls");
  fields.refuse("functions");
  fields.refuse("function_call");
}

}  // namespace

ChatRequest read_chat_request(FieldReader& fields, const ModelFacts& facts) {
  constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();
  ChatRequest out;
  out.reply = read_reply_options(fields);
  read_messages(fields, out);
  out.sampling = read_sampling(fields, facts);
  if (!out.raw_prompt) {
    out.sampling.stop.insert(out.sampling.stop.end(), facts.chat_stops.begin(),
                             facts.chat_stops.end());
  }
  read_template_variables(fields, out.input.variables);
  refuse_tools(fields);
  fields.refuse("audio");
  fields.refuse("modalities", json::array{"text"});
  fields.refuse("prediction");
  out.sampling.max_new_tokens = fields.integer("max_tokens", 1, kMostTokens);
  if (const auto newer = fields.integer("max_completion_tokens", 1, kMostTokens)) {
    out.sampling.max_new_tokens = newer;
  }
  if (!fields.boolean("do_preprocess").value_or(true) && !out.raw_prompt) {
    fields.fail("do_preprocess",
                "'do_preprocess': false needs 'messages' to be a string, the whole "
                "prompt");
  }
  const auto top = fields.integer("top_logprobs", 0, kMostTopLogprobs);
  const bool wanted = fields.boolean("logprobs").value_or(false);
  if (top.value_or(0) > 0 && !wanted)
    fields.fail("top_logprobs", "'top_logprobs' needs 'logprobs': true");
  if (wanted) out.sampling.logprobs = static_cast<int>(top.value_or(0));
  return out;
}

}  // namespace lmdeploy
