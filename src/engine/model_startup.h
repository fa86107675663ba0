// What stands between a checkpoint and the first step: the model is loaded on its device, memory is
// shared out, and the runner is made.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "engine/engine_options.h"
#include "engine/memory_plan.h"
#include "engine/model_runner.h"

namespace lmdeploy {

// Seconds by phase of a start-up, one a line.
class StartupClock {
 public:
  StartupClock();
  void phase_done(const char* name);
  const std::string& table() const { return table_; }

 private:
  double last_;
  std::string table_;
};

struct StartedModel {
  std::unique_ptr<ModelRunner> runner;  // with its cache
  RunnerOptions options;
  MemoryPlan memory;
  std::string device;  // "cpu (amx, 2 threads)"
};

// The parts of start_model that look at one number each. kResourceExhausted: the device does not give
// so many bytes for the KV cache.
Status check_allocation(Device device, size_t bytes);
// kInvalidArgument: the device's sampler takes no vocabulary of that size.
Status check_vocabulary(int64_t vocab_size, Device device);

// Everything wrong with the model, the device or the memory is one Status. The sum of memory is
// checked before any weight is read.
Result<StartedModel> start_model(const Checkpoint& checkpoint, const EngineOptions& options,
                                 Device device, const LoadProgress& progress, Logger& logger,
                                 StartupClock& clock);

}  // namespace lmdeploy
