// BatchBuilder: turns the scheduler's plan into the forward's Batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/batch.h"
#include "nn/kv_cache.h"
#include "sched/step_plan.h"
#include "tensor/arena.h"

namespace lmdeploy {

// Where a plan row's logits are among the batch's logit rows: [first, first + count).
struct LogitRange {
  int32_t first = 0;
  int32_t count = 0;
};

// Host facts about a plan row that the plan leaves to the engine.
struct RowFacts {
  int32_t last_token = 0;   // the slot's last token, for a decode row
  int32_t rope_length = 0;  // length of the sequence's prompt: fixes dynamic NTK
};

// Builds the batch in `arena` (host memory); it is valid as long as the arena's scope.
// `facts` and `ranges` have one entry per plan row; `ranges` is filled. A row with kRowAllLogits has
// a logit row for every query token, a sampling row for its last one.
// `batch` is overwritten; its vectors keep their capacity.
void build_batch(const StepPlan& plan, std::span<const RowFacts> facts, const KvCache& kv,
                 Arena& arena, Batch& batch, std::span<LogitRange> ranges);

}  // namespace lmdeploy
