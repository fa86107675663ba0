// lmdeploy debug: the tools that people debug a deployment with, one file each.
#pragma once

#include "cli/arguments.h"

namespace lmdeploy::cli {

void add_debug_tokens(Command& debug);
void add_debug_prompt(Command& debug);
void add_debug_logits(Command& debug);

}  // namespace lmdeploy::cli
