#include "cli/debug.h"

#include "cli/program.h"

namespace lmdeploy::cli {

void add_debug(Command& root) {
  Command debug =
      root.subcommand("debug", "Look at tokens, prompts and logits as the engine sees them.");
  add_debug_tokens(debug);
  add_debug_prompt(debug);
  add_debug_logits(debug);
}

}  // namespace lmdeploy::cli
