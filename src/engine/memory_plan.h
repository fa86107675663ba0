// MemoryPlan: how many KV blocks there are, and the start-up table that says where the memory went.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine_options.h"
#include "engine/host_memory.h"
#include "nn/kv_cache.h"

namespace lmdeploy {

struct MemoryPlanInput {
  const std::vector<KvGroup>& groups;
  DType kv_dtype;
  int block_tokens;
  HostMemory memory;         // before the weights are loaded
  size_t weight_bytes;
  size_t workspace_bytes;    // of the largest step
  int max_batch_size;
  int64_t session_len;       // wanted; the model's limit when the user named none
  int max_step_tokens;
  double cache_max_entry_count;  // share of what the weights and the workspace leave; blocks if >= 1
  bool on_cpu;
};

struct MemoryPlan {
  int num_blocks = 0;
  size_t page_bytes = 0;
  int64_t session_len = 0;   // what one sequence can really have
  int64_t kv_tokens = 0;     // that all blocks hold, for sequences of full length
  double full_sequences = 0; // of session_len that fit at once
  std::string table;         // GiB of each part, one a line
};

// kResourceExhausted when the weights and the workspace do not fit, when so many blocks do not, or
// when the blocks do not hold one sequence of 32 tokens: the sum, the limit, and the flag that helps.
Result<MemoryPlan> plan_memory(const MemoryPlanInput& input);

}  // namespace lmdeploy
