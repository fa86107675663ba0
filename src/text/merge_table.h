// MergeTable: the merges of a BPE model, (left id, right id) -> (rank, merged id).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace lmdeploy {

inline constexpr uint32_t kNoMerge = std::numeric_limits<uint32_t>::max();

struct Merge {
  uint32_t rank = kNoMerge;  // lower merges first; several merges may share a rank
  int32_t id = -1;           // of the merged piece
};

class MergeTable {
 public:
  explicit MergeTable(size_t expected = 0) {
    size_t size = 16;
    while (size < 2 * expected) size *= 2;
    slots_.resize(size);
  }

  // A pair that is there already takes the new merge, as in `tokenizers`.
  void insert(int32_t left, int32_t right, Merge merge) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    Slot& slot = slot_of(key_of(left, right));
    if (slot.key == kEmpty) ++count_;
    slot = {key_of(left, right), merge};
    if (merge.rank >= rank_limit_) rank_limit_ = merge.rank + 1;
  }

  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t i = index_of(key);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {};
    }
  }

  // Every rank is below it.
  uint32_t rank_limit() const { return rank_limit_; }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };

  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t index_of(uint64_t key) const {
    const uint64_t h = (key ^ key >> 29) * 0x9E3779B97F4A7C15ull;
    return (h ^ h >> 32) & (slots_.size() - 1);
  }
  Slot& slot_of(uint64_t key) {
    size_t i = index_of(key);
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
    return slots_[i];
  }
  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key != kEmpty) slot_of(slot.key) = slot;
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t count_ = 0;
  uint32_t rank_limit_ = 0;
};

}  // namespace lmdeploy
