#include "serve/admin/throughput_log.h"

#include <fmt/format.h>

#include "base/clock.h"

namespace lmdeploy {

namespace {

double percent(int64_t part, int64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

std::string throughput_line(const EngineStats& before, const EngineStats& now, double seconds) {
  const auto rate = [&](int64_t from, int64_t to) {
    return static_cast<double>(to - from) / seconds;
  };
  return fmt::format(
      "Avg thr (in/out): {:.1f} / {:.1f} tokens/s, Server (succeeded/failed/running/waiting): {} / "
      "{} / "
      "{} / {}, KV cache: {:.1f}%, Prefix cache hit rate: {:.1f}%",
      rate(before.prompt_tokens, now.prompt_tokens),
      rate(before.generated_tokens, now.generated_tokens), now.finished, now.failed + now.aborted,
      now.running, now.waiting, percent(now.blocks_used, now.blocks_total),
      percent(now.cached_tokens, now.prompt_tokens));
}

ThroughputLog::ThroughputLog(std::function<EngineStats()> stats, Logger logger,
                             double period_seconds)
    : stats_(std::move(stats)), logger_(std::move(logger)), period_(period_seconds) {
  if (logger_.enabled(LogLevel::kInfo)) thread_ = std::thread([this] { run(); });
}

ThroughputLog::~ThroughputLog() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ThroughputLog::run() {
  EngineStats before = stats_();
  double begin = monotonic_seconds();
  std::unique_lock lock(mutex_);
  while (
      !stopping_.wait_for(lock, std::chrono::duration<double>(period_), [this] { return stop_; })) {
    const EngineStats now = stats_();
    const double time = monotonic_seconds();
    if (now.steps != before.steps) logger_.info("{}", throughput_line(before, now, time - begin));
    before = now;
    begin = time;
  }
}

}  // namespace lmdeploy
