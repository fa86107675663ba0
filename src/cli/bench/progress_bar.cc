#include "cli/bench/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/progress_line.h"

namespace lmdeploy::cli {

namespace {
constexpr double kRefreshSeconds = 0.1;
}  // namespace

ProgressBar::ProgressBar(std::string what, int64_t total)
    : what_(std::move(what)), total_(total), terminal_(isatty(STDERR_FILENO) != 0), started_(monotonic_seconds()) {}

ProgressBar::~ProgressBar() {
  if (shown_ > 0) erase_progress_line();
}

void ProgressBar::advance() {
  std::lock_guard lock(mutex_);
  ++done_;
  const double now = monotonic_seconds();
  if (!terminal_ || now - shown_ < kRefreshSeconds) return;
  shown_ = now;
  draw_progress_line(what_, static_cast<double>(done_) / static_cast<double>(total_),
                     fmt::format("{}/{} {:.1f}/s", done_, total_, static_cast<double>(done_) / (now - started_)));
}

}  // namespace lmdeploy::cli
