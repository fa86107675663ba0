// The table of built-in chat templates: names that `--chat-template` and `model_name` accept.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tool_format.h"

namespace lmdeploy {

// What a template of pieces is made of. A conversation becomes
//   system meta_instruction eosys (user TEXT eoh assistant TEXT eoa separator)...
struct ChatPieces {
  enum class Capability { kCompletion, kInfilling, kChat, kPython };

  std::string name;
  std::string start;  // before everything, when the sequence starts
  std::string system;
  std::optional<std::string> meta_instruction;  // absent: no system block unless a message gives one
  std::string eosys, user, eoh, assistant, eoa, separator, tool, eotool;
  Capability capability = Capability::kChat;
  std::vector<std::string> stop_words;
  bool drops_final_space = false;  // the prompt loses its last character, a space
  bool numbers_rounds = false;     // "[Round n]" before each user turn
  std::string answer_start;        // after the last assistant piece
  std::string no_thinking_start;   // instead of it when enable_thinking is false
  ToolFormat tools = ToolFormat::kNone;
};

// A row of the table; a null meta_instruction is an absent one.
struct BuiltinTemplate {
  std::array<std::string_view, 5> names;
  int session_len = 0;  // window of a model whose config has none; 0: not known
  ChatPieces::Capability capability = ChatPieces::Capability::kChat;
  std::string_view start, system;
  const char* meta_instruction = nullptr;
  std::string_view eosys, user, eoh, assistant, eoa, separator;
  std::array<std::string_view, 3> stop_words;
  bool drops_final_space = false;
  bool numbers_rounds = false;
  std::string_view answer_start, no_thinking_start;
  ToolFormat tools = ToolFormat::kNone;
};

// nullptr when there is none of that name.
const BuiltinTemplate* find_builtin_template(std::string_view name);

// Every name, sorted.
std::vector<std::string> list_builtin_templates();

}  // namespace lmdeploy
