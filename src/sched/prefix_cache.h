// PrefixCache: finds the KV blocks of a prefix that some sequence computed before, prompt or
// generated. An entry stands for one full block of tokens at one place behind one exact prefix and
// names the block of every group that still holds it. It holds no references: a block nobody uses
// stays known until the pool hands it out again (LRU).
//
// The key of block i is SipHash-2-4, under a key drawn at random for this cache, of (key of block
// i - 1, tokens, media); the key before block 0 hashes (salt, adapter, KV format). On a hit salt,
// adapter, previous key, tokens and media are compared, so tenants with different salts never
// meet and a collision needs two prefixes with equal 64-bit keyed hashes.
//
// Not thread-safe: the engine thread owns it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "sched/block_pool.h"
#include "sched/kv_group.h"

namespace lmdeploy {

// Positions [first, first + count) of a prompt stand for an image (or sound) with this content.
struct MediaSpan {
  int first = 0;
  int count = 0;
  uint64_t hash = 0;
};

// What two sequences must have in common to share blocks, besides their tokens.
struct CacheScope {
  uint64_t salt = 0;     // per tenant; unique per session or request where sharing is off
  uint64_t adapter = 0;  // 0: the base model
  friend bool operator==(const CacheScope&, const CacheScope&) = default;
};

// The keys of the full blocks of one growing list of tokens; belongs to a sequence.
struct PrefixKeys {
  CacheScope scope;
  std::vector<uint64_t> keys;   // [full blocks so far]
  std::vector<uint64_t> media;  // digest of the media in each block, 0: none
};

class PrefixCache {
 public:
  // Sets the pool's eviction callback. `kv_format` names whatever makes KV bytes incompatible.
  PrefixCache(const KvLayout& layout, uint64_t kv_format, BlockPool& pool);

  // A model with recurrent state keeps no state per block, so it never hits.
  bool enabled() const { return enabled_; }

  // Brings `keys` up to all full blocks of `tokens`.
  void extend_keys(PrefixKeys& keys, std::span<const int32_t> tokens,
                   std::span<const MediaSpan> media) const;

  // The longest usable prefix, in blocks, of at most `max_blocks` blocks: full and latent groups
  // hold every block of it, window groups those that a query right behind it reads.
  int match(const PrefixKeys& keys, std::span<const int32_t> tokens, int max_blocks) const;

  // Block `index` of `group` of a prefix that match() accepted; -1: that group does not hold it.
  BlockId block(const PrefixKeys& keys, std::span<const int32_t> tokens, int index,
                int group) const;

  // Block `index` of this prefix is held in `group` by `block`, complete and never written again.
  // Where the group already knows a block with this content nothing changes.
  void insert(const PrefixKeys& keys, std::span<const int32_t> tokens, int index, int group,
              BlockId block);

  // Forgets blocks `first` and up of this prefix.
  void forget(const PrefixKeys& keys, std::span<const int32_t> tokens, int first);

  int num_entries() const { return static_cast<int>(index_.size()); }

 private:
  struct Entry {
    uint64_t key = 0, parent = 0, media = 0;
    CacheScope scope;
    int num_held = 0;  // groups with a block
  };
  struct Place {
    int32_t entry = -1;
    int32_t group = 0;
  };

  uint64_t root_key(const CacheScope& scope) const;
  uint64_t media_digest(std::span<const MediaSpan> media, int first) const;
  int find(const PrefixKeys& keys, std::span<const int32_t> tokens, int index) const;
  int add_entry(const PrefixKeys& keys, std::span<const int32_t> tokens, int index);
  void drop_block(BlockId block);
  void drop_entry(int entry);
  BlockId& held(int entry, int group) { return held_[entry * num_groups_ + group]; }
  BlockId held(int entry, int group) const { return held_[entry * num_groups_ + group]; }

  KvLayout layout_;
  int num_groups_;
  bool enabled_;
  uint64_t kv_format_;
  std::array<uint64_t, 2> hash_key_;
  BlockPool& pool_;
  std::unordered_map<uint64_t, int32_t> index_;  // key -> entry
  std::vector<Entry> entries_;
  std::vector<int32_t> free_entries_;
  std::vector<int32_t> tokens_;  // [entries][block_tokens]
  std::vector<BlockId> held_;    // [entries][groups], -1: none
  std::vector<Place> places_;    // [blocks] where a block is known
};

}  // namespace lmdeploy
