// Which chat template a model gets.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/chat_template.h"

namespace lmdeploy {

// What is known of a model when its template is chosen. All but the tokens may be empty.
struct ChatTemplateFacts {
  // Its own names, most telling first: the last component of its path (never its directories), what its
  // configuration calls it.
  std::vector<std::string> names;
  std::string architecture;  // config.json architectures[0]
  std::string model_type;
  std::string jinja_source;  // the model's own template; empty when it has none
  std::string user_spec;     // --chat-template; empty when not given, "hf" is the model's own
  // generation_config.json of families that have no template: Qwen's chat_format ("chatml", "raw"), and
  // the token that begins a user's turn in Baichuan's ("<reserved_106>").
  std::string chat_format, user_token;
  std::function<bool(std::string_view)> has_token;  // whether the vocabulary has it; absent: not known
  SpecialTokenText tokens;
};

struct ChosenChatTemplate {
  ChatTemplate chat_template;
  std::string reason;  // for the log: "the model's own template"
};

// The user's choice, else the model's own template, else the built-in that its files, its name or its
// architecture speak for, else `base`.
Result<ChosenChatTemplate> choose_chat_template(const ChatTemplateFacts& facts);

struct MatchedTemplate {
  std::string_view name;  // of the built-in template; empty when none fits
  std::string reason;     // "by the model's name 'Yi-34B-Chat'"
};
// The built-in template for a model without one of its own.
MatchedTemplate match_builtin_template(const ChatTemplateFacts& facts);

}  // namespace lmdeploy
