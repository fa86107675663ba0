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
//   start system meta_instruction eosys (user TEXT eoh assistant TEXT eoa separator)... answer
struct ChatPieces {
  enum class Capability { kCompletion, kInfilling, kChat, kPython };

  std::string name;
  std::string start;  // before everything, when the sequence starts
  std::string system;
  std::optional<std::string> meta_instruction;  // absent: no system block unless a message gives one
  std::string eosys, user, eoh, assistant, eoa, separator, tool, eotool;
  std::string answer;            // begins the answer that is asked for; empty: `assistant` does
  std::string answer_unthought;  // the same when enable_thinking is false; empty: `answer` does
  Capability capability = Capability::kChat;
  std::vector<std::string> stop_words;
  bool numbers_rounds = false;   // "[Round n]" before each user turn
  bool system_in_user = false;   // no place for a system prompt: it begins the next user's text
  bool asks_for_thoughts = false;  // by meta_instruction; the thoughts after the last question stay
  bool plain_marks = false;      // "<|User|>" and the like are text to this family, no tokens
  ToolFormat tools = ToolFormat::kNone;
};

// A row of the table. A null meta_instruction is an absent one; the rest as in ChatPieces.
struct BuiltinTemplate {
  std::array<std::string_view, 6> names;
  ChatPieces::Capability capability = ChatPieces::Capability::kChat;
  std::string_view start, system;
  const char* meta_instruction = nullptr;
  std::string_view eosys, user, eoh, assistant, eoa, separator, tool, eotool;
  std::string_view answer, answer_unthought;
  std::array<std::string_view, 4> stop_words;
  bool numbers_rounds = false, system_in_user = false, asks_for_thoughts = false, plain_marks = false;
  ToolFormat tools = ToolFormat::kNone;
};

// nullptr when there is none of that name.
const BuiltinTemplate* find_builtin_template(std::string_view name);

// The pieces of a row, under one of its names.
ChatPieces pieces_of(const BuiltinTemplate& row, std::string_view name);

// Every name, sorted.
std::vector<std::string> list_builtin_templates();

}  // namespace lmdeploy
