#include "sched/prefix_cache.h"

#include <algorithm>
#include <random>

#include "base/check.h"
#include "sched/siphash.h"

namespace lmdeploy {
namespace {

std::array<uint64_t, 2> random_key() {
  std::random_device device;
  auto word = [&device] { return static_cast<uint64_t>(device()) << 32 | device(); };
  return {word(), word()};
}

}  // namespace

PrefixCache::PrefixCache(const KvLayout& layout, uint64_t kv_format, BlockPool& pool)
    : layout_(layout),
      num_groups_(layout.num_groups()),
      enabled_(!layout.has(KvGroupKind::kRecurrent)),
      kv_format_(kv_format),
      hash_key_(random_key()),
      pool_(pool),
      places_(pool.num_blocks()) {
  pool_.on_evict([this](BlockId block) { drop_block(block); });
}

uint64_t PrefixCache::root_key(const CacheScope& scope) const {
  SipHash hash(hash_key_);
  hash.add(scope.salt);
  hash.add(scope.adapter);
  hash.add(kv_format_);
  return hash.finish();
}

uint64_t PrefixCache::media_digest(std::span<const MediaSpan> media, int first) const {
  SipHash hash(hash_key_);
  bool any = false;
  for (const MediaSpan& span : media) {
    if (span.first >= first + layout_.block_tokens || span.first + span.count <= first) continue;
    any = true;
    hash.add(static_cast<uint64_t>(static_cast<int64_t>(span.first) - first));
    hash.add(static_cast<uint64_t>(span.count));
    hash.add(span.hash);
  }
  return any ? hash.finish() | 1 : 0;
}

void PrefixCache::extend_keys(PrefixKeys& keys, std::span<const int32_t> tokens,
                              std::span<const MediaSpan> media) const {
  if (!enabled_) return;
  const int full = static_cast<int>(tokens.size()) / layout_.block_tokens;
  for (int i = static_cast<int>(keys.keys.size()); i < full; ++i) {
    const int first = i * layout_.block_tokens;
    const uint64_t digest = media_digest(media, first);
    SipHash hash(hash_key_);
    hash.add(i == 0 ? root_key(keys.scope) : keys.keys[i - 1]);
    hash.add(digest);
    for (int t = 0; t < layout_.block_tokens; ++t) {
      hash.add(static_cast<uint32_t>(tokens[first + t]));
    }
    keys.keys.push_back(hash.finish());
    keys.media.push_back(digest);
  }
}

int PrefixCache::find(const PrefixKeys& keys, std::span<const int32_t> tokens, int index) const {
  const auto it = index_.find(keys.keys[index]);
  if (it == index_.end()) return -1;
  const Entry& entry = entries_[it->second];
  const uint64_t parent = index == 0 ? 0 : keys.keys[index - 1];
  if (!(entry.scope == keys.scope) || entry.parent != parent ||
      entry.media != keys.media[index]) {
    return -1;
  }
  const int32_t* known = &tokens_[static_cast<size_t>(it->second) * layout_.block_tokens];
  const int32_t* asked = &tokens[static_cast<size_t>(index) * layout_.block_tokens];
  return std::equal(known, known + layout_.block_tokens, asked) ? it->second : -1;
}

int PrefixCache::match(const PrefixKeys& keys, std::span<const int32_t> tokens,
                       int max_blocks) const {
  if (!enabled_) return 0;
  const int limit = std::min(max_blocks, static_cast<int>(keys.keys.size()));
  std::array<int, 16> missing;  // per group: index behind the last block that it does not hold
  CHECK(num_groups_ <= static_cast<int>(missing.size()), "{} KV groups", num_groups_);
  missing.fill(0);
  int best = 0;
  for (int i = 0; i < limit; ++i) {
    const int entry = find(keys, tokens, i);
    if (entry < 0) break;
    const int position = (i + 1) * layout_.block_tokens;
    bool usable = true;
    for (int g = 0; g < num_groups_; ++g) {
      if (held(entry, g) < 0) missing[g] = i + 1;
      usable &= missing[g] <= first_block_read(layout_.groups[g], position, layout_.block_tokens);
      if (layout_.groups[g].kind != KvGroupKind::kWindow && missing[g] > 0) return best;
    }
    if (usable) best = i + 1;
  }
  return best;
}

BlockId PrefixCache::block(const PrefixKeys& keys, std::span<const int32_t> tokens, int index,
                           int group) const {
  const int entry = find(keys, tokens, index);
  return entry < 0 ? -1 : held(entry, group);
}

void PrefixCache::insert(const PrefixKeys& keys, std::span<const int32_t> tokens, int index,
                         int group, BlockId block) {
  if (!enabled_) return;
  int entry = find(keys, tokens, index);
  if (entry < 0) {
    if (index_.contains(keys.keys[index])) return;  // a colliding prefix keeps its place
    entry = add_entry(keys, tokens, index);
  }
  if (held(entry, group) >= 0 || places_[block].entry >= 0) return;
  held(entry, group) = block;
  ++entries_[entry].num_held;
  places_[block] = {entry, group};
  pool_.set_cached(block, true);
}

int PrefixCache::add_entry(const PrefixKeys& keys, std::span<const int32_t> tokens, int index) {
  int entry;
  if (free_entries_.empty()) {
    entry = static_cast<int>(entries_.size());
    entries_.emplace_back();
    tokens_.resize(tokens_.size() + layout_.block_tokens);
    held_.resize(held_.size() + num_groups_, -1);
  } else {
    entry = free_entries_.back();
    free_entries_.pop_back();
  }
  entries_[entry] = {.key = keys.keys[index],
                     .parent = index == 0 ? 0 : keys.keys[index - 1],
                     .media = keys.media[index],
                     .scope = keys.scope,
                     .num_held = 0};
  const size_t size = layout_.block_tokens;
  std::copy_n(tokens.begin() + static_cast<ptrdiff_t>(index * size), size,
              tokens_.begin() + static_cast<ptrdiff_t>(entry * size));
  index_[keys.keys[index]] = entry;
  return entry;
}

void PrefixCache::drop_block(BlockId block) {
  const Place place = places_[block];
  if (place.entry < 0) return;
  places_[block] = {};
  held(place.entry, place.group) = -1;
  --entries_[place.entry].num_held;
  // Without a full group's block nothing behind this one can be hit: its other blocks go too.
  const bool window = layout_.groups[place.group].kind == KvGroupKind::kWindow;
  if (entries_[place.entry].num_held == 0 || !window) drop_entry(place.entry);
}

void PrefixCache::drop_entry(int entry) {
  for (int g = 0; g < num_groups_; ++g) {
    const BlockId block = std::exchange(held(entry, g), -1);
    if (block < 0) continue;
    places_[block] = {};
    pool_.set_cached(block, false);
  }
  index_.erase(entries_[entry].key);
  free_entries_.push_back(entry);
}

void PrefixCache::forget(const PrefixKeys& keys, std::span<const int32_t> tokens, int first) {
  for (int i = first; i < static_cast<int>(keys.keys.size()); ++i) {
    const int entry = find(keys, tokens, i);
    if (entry >= 0) drop_entry(entry);
  }
}

}  // namespace lmdeploy
