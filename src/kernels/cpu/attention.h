// paged_attention on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kv_type.h"

namespace lmdeploy {
class Arena;
class CpuStream;
}

namespace lmdeploy::cpu {

struct AttentionArgs {
  const float* q = nullptr;              // [T, heads * head_dim]
  float* out = nullptr;                  // [T, heads * head_dim]
  const std::byte* pages = nullptr;      // of this layer: page 0's K
  const int32_t* query_start = nullptr;  // [sequences + 1]
  const int32_t* kv_len = nullptr;       // [sequences]
  const int32_t* block_table = nullptr;  // [sequences, max_blocks]
  const float* alibi_slopes = nullptr;   // [heads] or nullptr
  const float* sinks = nullptr;          // [heads] or nullptr
  int64_t q_stride = 0;
  int64_t out_stride = 0;
  int64_t block_table_stride = 0;
  size_t page_bytes = 0;
  size_t head_bytes = 0;  // of one head's block of K (or V)
  int sequences = 0;
  int heads = 0;
  int kv_heads = 0;
  int first_value_head = 0;  // where V stands in a layer's heads: kv_heads, or 0 where V is K
  int head_dim = 0;    // of the cache, q and out
  int width = 0;       // head_dim in whole vectors: of the fast version's scratch rows
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

// The fast version walks the context in tiles with an online softmax. Tiles and splits lie at fixed
// multiples of their size, each split starts its softmax anew, and splits are merged in order: so a
// row's arithmetic depends on its own position alone, not on the batch, the chunk or the threads.
constexpr int kTileTokens = 64;
constexpr int kSplitTokens = 256;

// Query rows that share the KV head `kv_head` of `sequence`: tokens [first_token, first_token +
// tokens) of q, times the heads / kv_heads query heads of that KV head (token major).
struct AttentionBlock {
  int sequence;
  int kv_head;
  int first_token;
  int tokens;
};

// SoftmaxStates have memory for a multiple of this many rows (an AMX tile).
constexpr int kStateRows = 16;

// The online softmax of a block's rows: running maximum (-inf: nothing seen), sum of exponentials,
// and weighted sum of values, both relative to the maximum.
struct SoftmaxState {
  float* max;     // [rows]
  float* sum;     // [rows]
  float* values;  // [rows, width]
};

// One worker's scratch. `kernel` is what AttentionKernels::scratch_bytes asks for.
struct AttentionWorkspace {
  std::byte* kernel;
  SoftmaxState total;
  SoftmaxState split;
};

// Position of the first (last) query token of a block.
inline int first_position(const AttentionArgs& args, const AttentionBlock& block) {
  return args.kv_len[block.sequence] - args.query_start[block.sequence + 1] + block.first_token;
}
inline int last_position(const AttentionArgs& args, const AttentionBlock& block) {
  return first_position(args, block) + block.tokens - 1;
}

// What each instruction set provides.
struct AttentionKernels {
  int lanes;           // AttentionArgs::width is a multiple of it
  int rows_per_block;  // query rows that share one reading of K and V
  // Of AttentionWorkspace::kernel, for blocks of at most `rows` rows.
  size_t (*scratch_bytes)(const AttentionArgs&, int rows);
  // Attends the block to the tokens of one split; `state` is overwritten.
  void (*attend_split)(const AttentionArgs&, const AttentionBlock&, int split, std::byte* scratch,
                       const SoftmaxState& state);
  // into += from, for `rows` rows.
  void (*merge)(const AttentionArgs&, int rows, const SoftmaxState& from, const SoftmaxState& into);
  // Writes the block's rows of `out`.
  void (*finish)(const AttentionArgs&, const AttentionBlock&, const SoftmaxState&);
};
AttentionKernels attention_kernels_avx2();
AttentionKernels attention_kernels_avx512();
AttentionKernels attention_kernels_amx();  // of bf16 caches

}  // namespace lmdeploy::cpu
