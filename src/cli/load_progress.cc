#include "cli/load_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/progress_line.h"

namespace lmdeploy::cli {

namespace {
constexpr double kQuietSeconds = 0.5;
}  // namespace

LoadProgress::LoadProgress()
    : terminal_(isatty(STDERR_FILENO) != 0), started_(monotonic_seconds()) {}

void LoadProgress::show(double done) {
  if (!terminal_ || monotonic_seconds() - started_ < kQuietSeconds) return;
  std::lock_guard lock(mutex_);
  const int percent = static_cast<int>(done * 100);
  if (percent <= shown_percent_) return;
  shown_percent_ = percent;
  draw_progress_line("loading", percent / 100.0, fmt::format("{:3}%", percent));
}

void LoadProgress::finish() {
  std::lock_guard lock(mutex_);
  if (shown_percent_ >= 0) erase_progress_line();
}

}  // namespace lmdeploy::cli
