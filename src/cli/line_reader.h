// LineReader: a person's input at a terminal, with line editing and history (libedit).
#pragma once

#include <string>

namespace lmdeploy::cli {

// libedit drops bytes above 127 unless the process's LC_CTYPE is a UTF-8 one: takes the
// environment's, or C.UTF-8 where that is none. Call it before other threads start.
void use_utf8_input();

// One object at a time: libedit's state is the terminal's.
class LineReader {
 public:
  // Reads and appends to the history file when `history_path` is not empty.
  explicit LineReader(std::string history_path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  enum class Event { kLine, kCancelled, kEnd };
  struct Input {
    Event event = Event::kLine;
    std::string text;
  };
  // A line without its newline; kCancelled after Ctrl-C, which drops what was typed; kEnd at end of
  // input (Ctrl-D on an empty line). Lines go to the history.
  Input read(const std::string& prompt);

 private:
  struct State;
  State* state_;
};

// $XDG_STATE_HOME/lmdeploy/NAME or ~/.local/state/lmdeploy/NAME, its folder made; empty when that
// cannot be.
std::string state_file(const std::string& name);

}  // namespace lmdeploy::cli
