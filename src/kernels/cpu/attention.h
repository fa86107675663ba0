// paged_attention on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kv_type.h"
#include "tensor/arena.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

struct AttentionArgs {
  const float* q = nullptr;             // [T, heads * head_dim]
  float* out = nullptr;                 // [T, heads * head_dim]
  const std::byte* pages = nullptr;     // of this layer: page 0's K
  const int32_t* query_start = nullptr; // [sequences + 1]
  const int32_t* kv_len = nullptr;      // [sequences]
  const int32_t* block_table = nullptr; // [sequences, max_blocks]
  const float* alibi_slopes = nullptr;  // [heads] or nullptr
  const float* sinks = nullptr;         // [heads] or nullptr
  int64_t q_stride = 0;
  int64_t out_stride = 0;
  int64_t block_table_stride = 0;
  size_t page_bytes = 0;
  size_t head_bytes = 0;                // of one head's block of K (or V)
  int sequences = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int block_tokens = 0;
  int max_query_len = 0;
  int max_kv_len = 0;
  int window = 0;
  KvType type = KvType::kF32;
  float scale = 1;
  float softcap = 0;
};

// First token that a query at `position` sees.
inline int first_visible(const AttentionArgs& args, int position) {
  return args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
}

void attention(CpuStream& stream, Arena& scratch, const AttentionArgs& args);

// The truth: one query row at a time, all scores at once, sums in fp64.
void attention_plain(CpuStream& stream, Arena& scratch, const AttentionArgs& args);

}  // namespace lmdeploy::cpu
