#include "cli/bench/progress_bar.h"

#include <unistd.h>

#include <cstdio>

#include "base/clock.h"

namespace lmdeploy::cli {

namespace {
constexpr double kRefreshSeconds = 0.1;
constexpr int64_t kWidth = 40;
}  // namespace

ProgressBar::ProgressBar(std::string what, int64_t total)
    : what_(std::move(what)), total_(total), terminal_(isatty(STDERR_FILENO) != 0), started_(monotonic_seconds()) {}

ProgressBar::~ProgressBar() {
  if (shown_ > 0) std::fprintf(stderr, "\r\x1b[K");
}

void ProgressBar::advance() {
  std::lock_guard lock(mutex_);
  ++done_;
  const double now = monotonic_seconds();
  if (!terminal_ || now - shown_ < kRefreshSeconds) return;
  shown_ = now;
  const auto filled = static_cast<size_t>(done_ * kWidth / total_);
  const std::string bar = std::string(filled, '#') + std::string(static_cast<size_t>(kWidth) - filled, ' ');
  std::fprintf(stderr, "\r%s [%s] %lld/%lld %.1f/s", what_.c_str(), bar.c_str(), static_cast<long long>(done_),
               static_cast<long long>(total_), static_cast<double>(done_) / (now - started_));
  std::fflush(stderr);
}

}  // namespace lmdeploy::cli
