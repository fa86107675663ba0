#include "cli/load_progress.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/clock.h"

namespace lmdeploy::cli {

namespace {
constexpr double kQuietSeconds = 0.5;
constexpr int kWidth = 40;
}  // namespace

LoadProgress::LoadProgress()
    : terminal_(isatty(STDERR_FILENO) != 0), started_(monotonic_seconds()) {}

void LoadProgress::show(double done) {
  if (!terminal_ || monotonic_seconds() - started_ < kQuietSeconds) return;
  std::lock_guard lock(mutex_);
  const int percent = static_cast<int>(done * 100);
  if (percent <= shown_percent_) return;
  shown_percent_ = percent;
  const auto filled = static_cast<size_t>(percent * kWidth / 100);
  const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, ' ');
  std::fprintf(stderr, "\rloading [%s] %3d%%", bar.c_str(), percent);
  std::fflush(stderr);
}

void LoadProgress::finish() {
  std::lock_guard lock(mutex_);
  if (shown_percent_ >= 0) std::fprintf(stderr, "\r\x1b[K");
}

}  // namespace lmdeploy::cli
