// Text of a model on a person's terminal.
#pragma once

#include <string>
#include <string_view>

namespace lmdeploy::cli {

// `text` (whole UTF-8 sequences) with control characters other than newline and tab replaced by
// U+FFFD: what a model says must not move the cursor, set the title or answer for the keyboard.
std::string without_controls(std::string_view text);

// Writes and flushes; controls are replaced where stdout is a terminal and kept where it is not.
void print_model_text(std::string_view text);

}  // namespace lmdeploy::cli
