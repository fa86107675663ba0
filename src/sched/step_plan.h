// What the scheduler decides for one step. Flat and pointer-free: a rank may be another process,
// so a plan is written to a wire as its vectors, element by element. Rows name sequences, slots and
// blocks; tensors, models and devices are the engine's business.
//
// Order of work in a step, on the device's stream: adapter loads, block copies, forward, sampling.
// A slot is device state that belongs to one sequence while it runs: {last token, length, penalty
// counts, RNG position}. `length` counts the tokens of the sequence so far, so a decode row reads
// the slot's last token and puts it at position length - 1; every accepted token makes it longer.
#pragma once

#include <cstdint>
#include <vector>

#include "sched/kv_group.h"

namespace lmdeploy {

using SequenceId = uint64_t;  // never used twice in the life of a Scheduler
using BlockId = int32_t;      // 0 .. number of blocks - 1
using StepId = int64_t;       // 1, 2, 3, ...

inline constexpr int32_t kNoAdapter = -1;    // PlanRow::adapter_slot of the base model
inline constexpr int32_t kTokenOnSlot = -1;  // PlanRow::token_offset of a decode row

// Bits of PlanRow::flags.
enum RowFlag : uint32_t {
  kRowPrefill = 1,    // host tokens at exactly the positions given
  kRowSample = 2,     // logits of the last token, then sample
  kRowAllLogits = 4,  // logits of every query token (prompt logprobs). After a preemption a row may
                      // repeat positions that were delivered before: go by first_position
  kRowStartsSlot = 8,  // first row since the sequence got this slot: reset the slot's state
};

struct PlanRow {
  SequenceId sequence = 0;
  int32_t slot = 0;            // 0 .. max_batch_size - 1
  int32_t first_position = 0;  // prefill: exact. Decode: the most it can be; the slot's length - 1
                               // is the real one
  int32_t num_tokens = 0;      // query tokens; a decode row has 1 + the drafts to verify
  int32_t kv_length = 0;       // tokens in the KV cache after the step; decode: the most it can be
  int32_t token_offset = 0;    // tokens are plan.tokens[offset .. offset + num_tokens), or
                               // kTokenOnSlot: the slot's last token, then drafts
  uint32_t flags = 0;          // RowFlag
  int32_t adapter_slot = kNoAdapter;

  bool is_prefill() const { return (flags & kRowPrefill) != 0; }
  bool samples() const { return (flags & kRowSample) != 0; }
};

// One row's table in one group: entry i is block `first_block + i` of the sequence, that is
// positions [(first_block + i) * block_tokens, ...). A recurrent group has one entry.
struct RowBlocks {
  int32_t offset = 0;  // into StepPlan::block_ids
  int32_t count = 0;
  int32_t first_block = 0;  // index of the first live block; 0 but for window groups
};

// Copy the whole block `src` to `dst` before the forward (n > 1: a choice gets its own copy of
// the partly filled last block of the prompt, or of the recurrent state).
struct BlockCopy {
  int32_t group = 0;
  BlockId src = 0;
  BlockId dst = 0;
};

// The adapter must be in this adapter slot before the forward.
struct AdapterLoad {
  uint64_t adapter = 0;
  int32_t slot = 0;
};

struct StepPlan {
  StepId step = 0;
  int32_t num_groups = 0;
  int32_t num_decode_rows = 0;  // rows [0, num_decode_rows) are decodes, the rest are prefills
  int32_t total_tokens = 0;     // sum of num_tokens
  std::vector<PlanRow> rows;
  std::vector<int32_t> tokens;         // of the prefill rows
  std::vector<RowBlocks> row_blocks;   // [rows][num_groups]
  std::vector<BlockId> block_ids;
  std::vector<BlockCopy> copies;       // independent of each other: no dst is another's src
  std::vector<AdapterLoad> adapter_loads;

  bool empty() const { return rows.empty(); }
  const RowBlocks& blocks_of(size_t row, int group) const {
    return row_blocks[row * num_groups + group];
  }
  // Keeps the capacity of the vectors, so a plan that is used again does not allocate.
  void clear();
};

}  // namespace lmdeploy
