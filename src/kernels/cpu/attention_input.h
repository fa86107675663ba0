// attention_input on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kv_type.h"

namespace lmdeploy {
class CpuStream;
}

namespace lmdeploy::cpu {

struct AttentionInputArgs {
  float* qkv = nullptr;               // [rows, (heads + 2 kv_heads) * head_dim]
  const float* q_norm = nullptr;      // [head_dim] or nullptr
  const float* k_norm = nullptr;      // [head_dim] or nullptr
  const float* cos_sin = nullptr;     // [rows, 2 * rotary_half] or nullptr
  const int64_t* slot_map = nullptr;  // [rows]
  std::byte* pages = nullptr;         // of this layer: page 0's K
  int64_t qkv_stride = 0;
  int64_t cos_sin_stride = 0;
  size_t page_bytes = 0;
  size_t head_bytes = 0;  // of one head's block of K (or V)
  int64_t rows = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int rotary_half = 0;
  int block_tokens = 0;
  int element_bytes = 0;  // of the cache's type
  KvType type = KvType::kF32;
  float norm_eps = 0;
};

void attention_input(CpuStream& stream, const AttentionInputArgs& args);

// Rows [begin, end).
void attention_input_rows_plain(const AttentionInputArgs& args, int64_t begin, int64_t end);
void attention_input_rows_avx2(const AttentionInputArgs& args, int64_t begin, int64_t end);
void attention_input_rows_avx512(const AttentionInputArgs& args, int64_t begin, int64_t end);

}  // namespace lmdeploy::cpu
