// PieceTable: byte strings -> ids, an immutable hash table once filled.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace lmdeploy {

// `seed`: a secret where many colliding strings would cost time; a fixed-size cache loses a hit.
inline uint64_t hash_bytes(std::string_view bytes, uint64_t seed = 0) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15ull;
  const auto mix = [](uint64_t h) {
    const auto product = static_cast<unsigned __int128>(h) * kMultiplier;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  const auto load = [](const char* p, auto value) {
    std::memcpy(&value, p, sizeof(value));
    return static_cast<uint64_t>(value);
  };
  const char* p = bytes.data();
  size_t n = bytes.size();
  uint64_t h = (n * 0xD6E8FEB86659FD93ull + 1) ^ seed;
  for (; n > 8; p += 8, n -= 8) h = mix(h ^ load(p, uint64_t{}));
  uint64_t tail = 0;
  if (n == 8) {
    tail = load(p, uint64_t{});
  } else if (n >= 4) {
    tail = load(p, uint32_t{}) | load(p + n - 4, uint32_t{}) << 32;
  } else if (n > 0) {
    tail = load(p, uint8_t{}) | load(p + n / 2, uint8_t{}) << 8 | load(p + n - 1, uint8_t{}) << 16;
  }
  return mix(mix(h ^ tail));
}

class PieceTable {
 public:
  PieceTable() : seed_(uint64_t{std::random_device()()} << 32 | std::random_device()()) { rehash(16); }

  // False, changing nothing, when `bytes` is there already.
  bool insert(std::string_view bytes, int32_t id) {
    if (find(bytes) >= 0) return false;
    if (2 * (count_ + 1) > slots_.size()) rehash(2 * slots_.size());
    const uint64_t hash = hash_bytes(bytes, seed_);
    const Slot slot{static_cast<uint32_t>(hash >> 32), id, static_cast<uint32_t>(bytes.size()),
                    blob_.size()};
    blob_ += bytes;
    place(slot, hash);
    ++count_;
    return true;
  }

  // -1 if absent.
  int32_t find(std::string_view bytes) const {
    const uint64_t hash = hash_bytes(bytes, seed_);
    const auto tag = static_cast<uint32_t>(hash >> 32);
    for (size_t i = hash & mask();; i = (i + 1) & mask()) {
      const Slot& slot = slots_[i];
      if (slot.id < 0) return -1;
      if (slot.tag == tag && bytes_of(slot) == bytes) return slot.id;
    }
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
    uint32_t length = 0;
    size_t offset = 0;
  };

  size_t mask() const { return slots_.size() - 1; }
  std::string_view bytes_of(const Slot& slot) const {
    return std::string_view(blob_.data() + slot.offset, slot.length);
  }
  void place(const Slot& slot, uint64_t hash) {
    size_t i = hash & mask();
    while (slots_[i].id >= 0) i = (i + 1) & mask();
    slots_[i] = slot;
  }
  void rehash(size_t size) {
    std::vector<Slot> old(size);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.id >= 0) place(slot, hash_bytes(bytes_of(slot), seed_));
    }
  }

  uint64_t seed_;            // so that no file can choose colliding pieces
  std::vector<Slot> slots_;  // a power of two, at most half full
  std::string blob_;
  size_t count_ = 0;
};

}  // namespace lmdeploy
