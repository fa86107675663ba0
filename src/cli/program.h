// What every subcommand is given, and the functions that add them to the tree; one file each.
#pragma once

#include <string>

#include "base/log.h"
#include "base/options.h"
#include "base/status.h"
#include "cli/arguments.h"

namespace lmdeploy::cli {

inline constexpr int kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitInterrupted = 130;

extern const char kVersion[];  // "0.1.0"

// Of every command's MODEL.
inline constexpr char kModelHelp[] = "directory, .gguf file, or id in the local Hugging Face cache";

// Of every command that logs.
struct LogOptions {
  std::string log_level = "WARNING";

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "log-level",
           .help = "least level that is logged: CRITICAL, ERROR, WARNING, INFO or DEBUG; "
                   "TM_LOG_LEVEL in the environment wins",
           .value_name = "LEVEL"},
          self.log_level);
  }
};

// The logger that --log-level and TM_LOG_LEVEL ask for.
Result<Logger> make_logger(const LogOptions& options);

// Prints "lmdeploy: <message>" to stderr; the exit status that fits the code.
int report_failure(const Status& status);

void add_chat(Command& root);
void add_serve(Command& root);  // api_server
void add_list(Command& root);
void add_check_env(Command& root);
void add_debug(Command& root);  // tokens, prompt, logits
void add_bench(Command& root);  // generation, throughput, serving

}  // namespace lmdeploy::cli
