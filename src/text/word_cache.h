// WordCache: the ids of words seen lately, a direct-mapped table of fixed size.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "text/piece_table.h"

namespace lmdeploy {

// One word and its ids in one cache line; longer words are not kept. Not thread-safe.
class WordCache {
 public:
  static constexpr size_t kMaxBytes = 26;
  static constexpr size_t kMaxIds = 9;

  struct Slot {
    uint8_t bytes = 0;  // 0: free
    uint8_t count = 0;
    char word[kMaxBytes];
    int32_t ids[kMaxIds];

    bool holds(std::string_view other) const {
      return bytes == other.size() && std::memcmp(word, other.data(), bytes) == 0;
    }
    void set(std::string_view other, std::span<const int32_t> other_ids) {
      bytes = static_cast<uint8_t>(other.size());
      count = static_cast<uint8_t>(other_ids.size());
      std::memcpy(word, other.data(), other.size());
      std::memcpy(ids, other_ids.data(), other_ids.size_bytes());
    }
  };
  static_assert(sizeof(Slot) == 64);

  WordCache() : slots_(kSlots) {}

  // The only slot that may hold `word`, which must be 1..kMaxBytes long.
  Slot& slot_of(std::string_view word) { return slots_[hash_bytes(word) % kSlots]; }

 private:
  static constexpr size_t kSlots = 1 << 14;  // 1 MiB
  std::vector<Slot> slots_;
};

}  // namespace lmdeploy
