// PagedKv: one layer of one KV group inside the paged cache, as attention kernels address it.
//
// A page holds the layers of its group for `block_tokens` tokens. Inside a page, layer l of the group
// starts at l * layer_bytes and holds K then V (one of them where V is K), each [kv_heads, block_tokens, head_dim] in `dtype`: K of
// head h is head_bytes() * h behind the layer's first byte, V of head h is K of head kv_heads + h.
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
  // Above 0: a page holds K alone, whose first latent_dim columns are V (kernels/latent_input.h).
  int latent_dim = 0;
  DType dtype = DType::kF32;   // f32, f16, bf16

  size_t head_bytes() const {
    return static_cast<size_t>(dtype_bytes(dtype, int64_t{block_tokens} * head_dim));
  }
};

}  // namespace lmdeploy
