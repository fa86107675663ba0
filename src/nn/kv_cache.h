// KvCache: the memory and the layout of the paged KV cache. Which block belongs to whom is
// sched::BlockPool's business; block id = page index, one pool for all groups.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "kernels/paged_kv.h"
#include "tensor/tensor.h"

namespace lmdeploy {

// A model's layers that keep KV of one kind. Models declare these (DESIGN 3).
struct KvGroup {
  enum class Kind { kFull, kWindow };
  Kind kind = Kind::kFull;
  int window = 0;           // tokens a query sees including itself, for kWindow
  std::vector<int> layers;  // model layer indices, in order
  int kv_heads = 0;
  int head_dim = 0;
  int latent_dim = 0;  // above 0: V is the first columns of K (kernels/paged_kv.h)
};

// Not thread-safe; owned by one rank.
class KvCache {
 public:
  // Every group's pages have one size: that of the largest group.
  KvCache(std::vector<KvGroup> groups, int block_tokens, int num_blocks, DType dtype,
          Device device);

  static size_t page_bytes(const std::vector<KvGroup>& groups, int block_tokens, DType dtype);

  // The view of a model layer; CHECKs that some group holds it.
  const PagedKv& layer(int model_layer) const {
    group_of(model_layer);
    return layers_[static_cast<size_t>(model_layer)];
  }
  // Index of the group that holds a model layer; CHECKs that there is one.
  int group_of(int model_layer) const {
    const size_t index = static_cast<size_t>(model_layer);
    CHECK(index < group_of_layer_.size() && group_of_layer_[index] >= 0,
          "no KV group holds layer {}", model_layer);
    return group_of_layer_[index];
  }
  const std::vector<KvGroup>& groups() const { return groups_; }
  int block_tokens() const { return block_tokens_; }
  int num_blocks() const { return num_blocks_; }
  size_t page_bytes() const { return page_bytes_; }

  // Copies a page whole (a shared, partly filled block that a fork will write). CHECKs both pages.
  void copy_page(int32_t source, int32_t destination);
  // Fills a page with NaN bits; tests do it to every freed block.
  void poison_page(int32_t page);

 private:
  std::vector<KvGroup> groups_;
  int block_tokens_;
  int num_blocks_;
  size_t page_bytes_;
  Tensor pages_;
  std::vector<PagedKv> layers_;
  std::vector<int> group_of_layer_;
};

}  // namespace lmdeploy
