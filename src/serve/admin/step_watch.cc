#include "serve/admin/step_watch.h"

namespace lmdeploy {

double StepWatch::stalled_seconds(const EngineStats& stats, double now) {
  std::lock_guard lock(mutex_);
  if (stats.running == 0 || stats.steps != steps_) {
    steps_ = stats.running == 0 ? -1 : stats.steps;
    since_ = now;
    return 0;
  }
  return now - since_;
}

}  // namespace lmdeploy
