// PagedKv: one layer of one KV group inside the paged cache, as attention kernels address it.
//
// A page holds the layers of its group for `block_tokens` tokens. Inside a page, layer l of the group
// starts at l * layer_bytes and holds K then V, each [kv_heads, block_tokens, head_dim] in `dtype`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy {

struct PagedKv {
  std::byte* pages = nullptr;  // page p begins at pages + p * page_bytes
  size_t page_bytes = 0;
  size_t layer_offset = 0;     // of this layer inside a page
  int block_tokens = 0;        // 32, 64 or 128
  int kv_heads = 0;
  int head_dim = 0;
  DType dtype = DType::kF32;   // f32, f16, bf16

  size_t head_bytes() const {
    return static_cast<size_t>(dtype_bytes(dtype, int64_t{block_tokens} * head_dim));
  }
  // First element of the block's K (V) of one head: [block_tokens, head_dim].
  std::byte* k_block(int32_t page, int head) const {
    return pages + static_cast<size_t>(page) * page_bytes + layer_offset +
           static_cast<size_t>(head) * head_bytes();
  }
  std::byte* v_block(int32_t page, int head) const { return k_block(page, kv_heads + head); }
};

}  // namespace lmdeploy
