// Numbers about an engine and about a finished request.
#pragma once

#include <cstdint>

#include "engine/request.h"

namespace lmdeploy {

// Steps of one kind, since start.
struct StepTotals {
  int64_t steps = 0, sequences = 0, tokens = 0;
  double seconds = 0;  // each from the end of the step before, or its own launch if that is later
};

// A moment's numbers, for /metrics and the log line.
struct EngineStats {
  int64_t running = 0, waiting = 0;
  int64_t blocks_total = 0, blocks_used = 0, blocks_cached = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;  // since start
  int64_t finished = 0, aborted = 0, failed = 0, steps = 0;
  int64_t preempted = 0;            // sequences that gave their blocks away and start again
  int64_t preempted_in_prompt = 0;  // of those, with the prompt half computed
  StepTotals decode_steps, prompt_steps;  // prompt: with at least one token of a prompt
  double device_wait_seconds = 0;  // of the engine thread; a busy engine that never waits holds the
                                   // device up
};

// Durations of a finished request, for histograms. Seconds.
struct RequestTiming {
  double queue = 0, first_token = 0, total = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  FinishReason finish = FinishReason::kStop;
};

}  // namespace lmdeploy
