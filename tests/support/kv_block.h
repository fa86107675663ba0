// Where a KV block lies, from the description of the cache alone (kernels/paged_kv.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/paged_kv.h"

namespace lmdeploy::test {

// First element of [block_tokens, head_dim]: K of `head`, or V of `head` - kv_heads.
inline std::byte* kv_block(const PagedKv& kv, int32_t page, int head) {
  return kv.pages + static_cast<size_t>(page) * kv.page_bytes + kv.layer_offset +
         static_cast<size_t>(head) * kv.head_bytes();
}

}  // namespace lmdeploy::test
