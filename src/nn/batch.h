// Batch: everything that one forward pass reads besides weights and KV pages. The engine builds it
// from a StepPlan (sched/step_plan.h). Views are on the forward's device; T = tokens, B = sequences
// (rows of the plan), R = rows that want logits. Absent features are empty views.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace lmdeploy {

// Block table and slot map of one KV group (nn/kv_cache.h).
struct BatchKvGroup {
  TensorView block_table;  // i32 [B, max_blocks]: page of logical block i; -1 where freed or unused
  TensorView slot_map;     // i64 [T]: page * block_tokens + offset where the token's K and V go
};

struct Batch {
  int num_tokens = 0;     // T
  int num_sequences = 0;  // B
  int max_query_len = 0;
  int max_kv_len = 0;

  TensorView token_ids;       // i32 [T]
  TensorView embeddings;      // f32 [T, hidden] that replaces rows of the embedding, or empty
  TensorView embedding_rows;  // u8 [T]: 1 where `embeddings` is used (image rows), or empty
  TensorView positions;       // i32 [T]; [3, T] for multimodal rope
  TensorView token_rows;      // i32 [T]: the token's sequence
  TensorView
      query_start;      // i32 [B + 1]: tokens of sequence b are [query_start[b], query_start[b+1])
  TensorView kv_len;    // i32 [B]: context length of each sequence after this step
  TensorView rope_len;  // i32 [B]: length that fixes dynamic NTK, from the sequence's first prompt
  std::vector<BatchKvGroup> groups;  // by KV group index
  TensorView adapter_slots;          // i32 [B]: 0 = none, or empty
  TensorView bidirectional_spans;    // i32 [S, 2]: token ranges that attend both ways, or empty
  TensorView tree_mask;              // u8 [T, max_query_len] for tree speculation, or empty
  TensorView logit_rows;  // i32 [R]: tokens whose logits (or hidden states) are wanted, ascending
};

}  // namespace lmdeploy
