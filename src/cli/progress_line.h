// A progress bar as one line on stderr, drawn over itself.
#pragma once

#include <string_view>

namespace lmdeploy::cli {

// "WHAT [####    ] FIGURES"; `done` in [0, 1].
void draw_progress_line(std::string_view what, double done, std::string_view figures);
void erase_progress_line();

}  // namespace lmdeploy::cli
