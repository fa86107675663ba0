#include "nn/kv_cache.h"

#include <algorithm>

namespace lmdeploy {
namespace {

size_t layer_bytes(const KvGroup& group, int block_tokens, DType dtype) {
  const int64_t heads = group.latent_dim > 0 ? group.kv_heads : 2 * group.kv_heads;
  const int64_t elements = heads * block_tokens * group.head_dim;
  return static_cast<size_t>(dtype_bytes(dtype, elements));
}

}  // namespace

size_t KvCache::page_bytes(const std::vector<KvGroup>& groups, int block_tokens, DType dtype) {
  size_t largest = 0;
  for (const KvGroup& group : groups) {
    largest = std::max(largest, group.layers.size() * layer_bytes(group, block_tokens, dtype));
  }
  return largest;
}

KvCache::KvCache(std::vector<KvGroup> groups, int block_tokens, int num_blocks, DType dtype,
                 Device device)
    : groups_(std::move(groups)),
      block_tokens_(block_tokens),
      num_blocks_(num_blocks),
      page_bytes_(page_bytes(groups_, block_tokens, dtype)),
      pages_(Shape{num_blocks, static_cast<int64_t>(page_bytes_)}, DType::kU8, device) {
  CHECK(block_tokens == 32 || block_tokens == 64 || block_tokens == 128, "block of {} tokens",
        block_tokens);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const KvGroup& group = groups_[g];
    for (size_t i = 0; i < group.layers.size(); ++i) {
      const size_t layer = static_cast<size_t>(group.layers[i]);
      if (layer >= layers_.size()) {
        layers_.resize(layer + 1);
        group_of_layer_.resize(layer + 1, -1);
      }
      CHECK(group_of_layer_[layer] == -1, "layer {} is in two KV groups", layer);
      group_of_layer_[layer] = static_cast<int>(g);
      layers_[layer] = {.pages = pages_.data<std::byte>(),
                        .page_bytes = page_bytes_,
                        .layer_offset = i * layer_bytes(group, block_tokens, dtype),
                        .block_tokens = block_tokens,
                        .kv_heads = group.kv_heads,
                        .head_dim = group.head_dim,
                        .latent_dim = group.latent_dim,
                        .dtype = dtype};
    }
  }
}

void KvCache::copy_page(int32_t source, int32_t destination) {
  CHECK(source >= 0 && source < num_blocks_ && destination >= 0 && destination < num_blocks_,
        "page {} to {} of {}", source, destination, num_blocks_);
  const Device device = pages_.view().device();
  std::byte* base = pages_.data<std::byte>();
  device_copy(device, base + static_cast<size_t>(destination) * page_bytes_, device,
              base + static_cast<size_t>(source) * page_bytes_, page_bytes_);
}

void KvCache::poison_page(int32_t page) {
  CHECK(page >= 0 && page < num_blocks_, "page {} of {}", page, num_blocks_);
  device_fill(pages_.view().device(),
              pages_.data<std::byte>() + static_cast<size_t>(page) * page_bytes_, 0xFF, page_bytes_);
}

}  // namespace lmdeploy
