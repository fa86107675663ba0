#include "text/bpe_merge.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <queue>

#include "base/check.h"

namespace lmdeploy {

namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr size_t kKeptSymbols = 1 << 16;

// The symbols of a word, in place: a symbol of n characters sits at its first character's position,
// and the span n at its first and its last, so that either neighbour is one step away.
class SymbolList {
 public:
  SymbolList(const MergeTable& merges, std::vector<int32_t>& ids, std::vector<uint32_t>& spans)
      : merges_(merges), ids_(ids), spans_(spans) {
    spans_.assign(ids.size(), 1);
  }

  // The merge of the symbol at `position` with the one after it; none if no symbol starts there.
  Merge merge_at(uint32_t position) const {
    if (ids_[position] == kInside) return {};
    const size_t next = size_t{position} + spans_[position];
    return next < ids_.size() ? merges_.find(ids_[position], ids_[next]) : Merge{};
  }

  void apply(uint32_t position, int32_t id) {
    const uint32_t next = position + spans_[position];
    const uint32_t span = spans_[position] + spans_[next];
    ids_[position] = id;
    ids_[next] = kInside;
    spans_[position] = spans_[position + span - 1] = span;
  }

  // Position of the symbol before the one at `position`, or kNone.
  uint32_t prev(uint32_t position) const {
    return position == 0 ? kNone : position - spans_[position - 1];
  }

  void compact() { std::erase(ids_, kInside); }

 private:
  static constexpr int32_t kInside = -1;

  const MergeTable& merges_;
  std::vector<int32_t>& ids_;
  std::vector<uint32_t>& spans_;
};

// Runs the loop with `queue`, which offers push(rank, position) and pop(&rank, &position) in order.
template <class Queue>
void merge_with(SymbolList& list, size_t count, Queue& queue) {
  const auto offer = [&](uint32_t position) {
    const Merge merge = list.merge_at(position);
    if (merge.rank != kNoMerge) queue.push(merge.rank, position);
  };
  for (size_t i = 0; i + 1 < count; ++i) offer(static_cast<uint32_t>(i));
  uint32_t rank, position;
  while (queue.pop(rank, position)) {
    const Merge merge = list.merge_at(position);
    if (merge.rank != rank) continue;  // a neighbour has changed since
    list.apply(position, merge.id);
    if (list.prev(position) != kNone) offer(list.prev(position));
    offer(position);
  }
}

class HeapQueue {
 public:
  explicit HeapQueue(std::vector<uint64_t>& heap) : heap_(heap) { heap_.clear(); }

  void push(uint32_t rank, uint32_t position) {
    heap_.push_back(uint64_t{rank} << 32 | position);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  bool pop(uint32_t& rank, uint32_t& position) {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    rank = static_cast<uint32_t>(heap_.back() >> 32);
    position = static_cast<uint32_t>(heap_.back());
    heap_.pop_back();
    return true;
  }

 private:
  std::vector<uint64_t>& heap_;
};

using MinHeap32 = std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>>;

// A list of positions per rank. In huge words few ranks are active at a time and positions of one
// rank mostly arrive in order, so both operations take constant time where a heap of millions of
// pairs misses the cache at every level.
class BucketQueue {
 public:
  explicit BucketQueue(uint32_t rank_limit) : bucket_of_(rank_limit, kNone) {}

  void push(uint32_t rank, uint32_t position) {
    uint32_t& index = bucket_of_[rank];
    if (index == kNone) {
      index = static_cast<uint32_t>(buckets_.size());
      buckets_.emplace_back();
    }
    Bucket& bucket = buckets_[index];
    if (bucket.empty()) ranks_.push(rank);
    if (bucket.ordered.empty() || position >= bucket.ordered.back()) {
      bucket.ordered.push_back(position);
    } else {
      bucket.late.push(position);
    }
  }

  bool pop(uint32_t& rank, uint32_t& position) {
    if (ranks_.empty()) return false;
    rank = ranks_.top();
    Bucket& bucket = buckets_[bucket_of_[rank]];
    position = bucket.pop();
    if (bucket.empty()) ranks_.pop();
    return true;
  }

 private:
  struct Bucket {
    std::deque<uint32_t> ordered;  // gives memory back from its front
    MinHeap32 late;                // positions that came after a larger one

    bool empty() const { return ordered.empty() && late.empty(); }
    uint32_t pop() {
      const bool is_late = ordered.empty() || (!late.empty() && late.top() < ordered.front());
      const uint32_t position = is_late ? late.top() : ordered.front();
      is_late ? late.pop() : ordered.pop_front();
      return position;
    }
  };

  std::vector<uint32_t> bucket_of_;  // by rank
  std::vector<Bucket> buckets_;
  MinHeap32 ranks_;  // of the buckets that are not empty
};

}  // namespace

void MergeScratch::shrink() {
  if (spans.capacity() > kKeptSymbols) spans = {};
  if (heap.capacity() > kKeptSymbols) heap = {};
}

size_t merge_short(const MergeTable& merges, int32_t* ids, size_t count) {
  CHECK(count <= kShortSymbols, "{} symbols; merge_short takes {}", count, kShortSymbols);
  Merge at[kShortSymbols];  // of symbols i and i + 1
  for (size_t i = 0; i + 1 < count; ++i) at[i] = merges.find(ids[i], ids[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (at[i].rank < at[best].rank) best = i;
    }
    if (at[best].rank == kNoMerge) break;
    ids[best] = at[best].id;
    --count;
    std::memmove(ids + best + 1, ids + best + 2, (count - best - 1) * sizeof(*ids));
    std::copy(at + best + 1, at + count, at + best);
    if (best + 1 < count) at[best] = merges.find(ids[best], ids[best + 1]);
    if (best > 0) at[best - 1] = merges.find(ids[best - 1], ids[best]);
  }
  return count;
}

void merge_symbols(const MergeTable& merges, std::vector<int32_t>& ids, MergeScratch& scratch) {
  if (ids.size() <= kShortSymbols) {
    ids.resize(merge_short(merges, ids.data(), ids.size()));
    return;
  }
  CHECK(ids.size() < kNone, "a word of {} symbols", ids.size());
  SymbolList list(merges, ids, scratch.spans);
  if (ids.size() < kBucketSymbols) {
    HeapQueue queue(scratch.heap);
    merge_with(list, ids.size(), queue);
  } else {
    BucketQueue queue(merges.rank_limit());
    merge_with(list, ids.size(), queue);
  }
  list.compact();
  scratch.shrink();
}

}  // namespace lmdeploy
