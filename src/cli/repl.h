// The conversation at a terminal.
#pragma once

#include <cstdint>

#include "cli/conversation.h"

namespace lmdeploy::cli {

struct ReplOptions {
  bool double_enter = false;  // an empty line sends, and Enter goes to the next line
  bool verbose = false;       // tokens and speed after each answer
  int64_t session_len = 0;    // the engine's window, for what is said when it is full
};

// Reads messages and prints answers until `exit` or Ctrl-D. `end` starts over, Ctrl-C stops an
// answer or drops the message that is being typed. A message that fails does not end it.
void run_repl(Conversation& conversation, const ReplOptions& options);

// "[12 prompt tokens (8 cached), ...]" on stderr.
void print_speed(const Conversation::Reply& reply);

}  // namespace lmdeploy::cli
