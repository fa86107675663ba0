#include "cli/progress_line.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>

namespace lmdeploy::cli {

void draw_progress_line(std::string_view what, double done, std::string_view figures) {
  constexpr size_t kWidth = 40;
  const auto filled = static_cast<size_t>(done * kWidth);
  std::fputs(fmt::format("\r{} [{:<{}}] {}", what, std::string(filled, '#'), kWidth, figures).c_str(), stderr);
  std::fflush(stderr);
}

void erase_progress_line() { std::fputs("\r\x1b[K", stderr); }

}  // namespace lmdeploy::cli
