// LineReader: a person's input at a terminal, with line editing and history (libedit).
#pragma once

#include <optional>
#include <string>

namespace lmdeploy::cli {

// One object at a time: libedit's state is the terminal's.
class LineReader {
 public:
  // Reads and appends to the history file when `history_path` is not empty.
  explicit LineReader(std::string history_path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // A line without its newline; nullopt at end of input (Ctrl-D). Ctrl-C gives an empty line.
  std::optional<std::string> read(const std::string& prompt);
  void remember(const std::string& entry);

 private:
  struct State;
  State* state_;
};

// $XDG_STATE_HOME/lmdeploy/NAME or ~/.local/state/lmdeploy/NAME, its folder made; empty when that
// cannot be.
std::string state_file(const std::string& name);

}  // namespace lmdeploy::cli
