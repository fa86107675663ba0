// StepWatch: whether an engine with work to do is getting anywhere.
#pragma once

#include <cstdint>
#include <mutex>

#include "engine/engine.h"

namespace lmdeploy {

// Thread-safe. Knows what it is shown: ask at every health check.
class StepWatch {
 public:
  explicit StepWatch(double patience_seconds = 60) : patience_(patience_seconds) {}

  // Seconds (of monotonic time `now`) that requests have run without a step; 0 while all is well.
  double stalled_seconds(const EngineStats& stats, double now);
  bool stalled(const EngineStats& stats, double now) {
    return stalled_seconds(stats, now) > patience_;
  }

 private:
  const double patience_;
  std::mutex mutex_;
  int64_t steps_ = -1;
  double since_ = 0;  // when `steps_` was first seen with requests running
};

}  // namespace lmdeploy
