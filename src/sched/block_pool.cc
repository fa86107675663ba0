#include "sched/block_pool.h"

#include "base/check.h"

namespace lmdeploy {

BlockRef::BlockRef(const BlockRef& other) : pool_(other.pool_), id_(other.id_) {
  if (pool_ != nullptr) pool_->add_ref(id_);
}

void BlockRef::reset() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->release(id_);
}

BlockId BlockRef::id() const {
  CHECK(pool_ != nullptr, "id() of an empty BlockRef");
  return id_;
}

BlockPool::BlockPool(int num_blocks) : blocks_(num_blocks), num_free_(num_blocks) {
  CHECK(num_blocks > 0, "a pool of {} blocks", num_blocks);
  free_.reserve(num_blocks);
  for (BlockId id = num_blocks - 1; id >= 0; --id) free_.push_back(id);
}

BlockPool::~BlockPool() {
  CHECK(num_in_use() == 0, "{} of {} blocks are still held", num_in_use(), num_blocks());
}

BlockRef BlockPool::allocate() {
  BlockId id;
  if (num_free_ > 0) {
    id = free_.back();
    free_.pop_back();
    --num_free_;
  } else {
    CHECK(num_cached_ > 0, "no block to allocate: {} in use, {} retiring", num_in_use(),
          num_retiring_);
    id = lru_oldest_;
    if (on_evict_) on_evict_(id);
    lru_remove(id);
    blocks_[id].cached = false;
  }
  blocks_[id].state = State::kInUse;
  blocks_[id].refs = 1;
  return BlockRef(this, id);
}

BlockRef BlockPool::share(BlockId id) {
  Block& block = blocks_[id];
  CHECK(block.state != State::kFree, "share() of block {}, which is free", id);
  if (block.state == State::kCached) lru_remove(id);
  if (block.state == State::kRetiring) --num_retiring_;
  block.state = State::kInUse;
  ++block.refs;
  return BlockRef(this, id);
}

void BlockPool::set_cached(BlockId id, bool cached) {
  Block& block = blocks_[id];
  CHECK(block.state != State::kFree, "set_cached() of block {}, which is free", id);
  block.cached = cached;
  if (block.state == State::kCached && !cached) {
    lru_remove(id);
    block.state = State::kFree;
    free_.push_back(id);
    ++num_free_;
  }
}

void BlockPool::launched(StepId step) {
  CHECK(step > launched_, "step {} launched after step {}", step, launched_);
  launched_ = step;
}

void BlockPool::retire(StepId step) {
  CHECK(step <= launched_ && step > retired_, "step {} retired; {} were launched, {} retired", step,
        launched_, retired_);
  retired_ = step;
  while (releases_head_ < releases_.size() && releases_[releases_head_].step <= step) {
    const Release release = releases_[releases_head_++];
    const Block& block = blocks_[release.id];
    // A block that was hit meanwhile is in use, or was released again and has a later entry.
    if (block.state == State::kRetiring && block.released_at == release.step) {
      --num_retiring_;
      settle(release.id);
    }
  }
  if (releases_head_ * 2 >= releases_.size()) {
    releases_.erase(releases_.begin(), releases_.begin() + static_cast<ptrdiff_t>(releases_head_));
    releases_head_ = 0;
  }
}

void BlockPool::release(BlockId id) {
  Block& block = blocks_[id];
  CHECK(block.refs > 0, "block {} released more often than held", id);
  if (--block.refs > 0) return;
  block.released_at = launched_;
  if (launched_ <= retired_) {
    settle(id);
    return;
  }
  block.state = State::kRetiring;
  ++num_retiring_;
  releases_.push_back({id, launched_});
}

void BlockPool::settle(BlockId id) {
  Block& block = blocks_[id];
  if (block.cached) {
    block.state = State::kCached;
    lru_push(id);
  } else {
    block.state = State::kFree;
    free_.push_back(id);
    ++num_free_;
  }
}

void BlockPool::lru_push(BlockId id) {
  blocks_[id].prev = lru_newest_;
  blocks_[id].next = -1;
  (lru_newest_ < 0 ? lru_oldest_ : blocks_[lru_newest_].next) = id;
  lru_newest_ = id;
  ++num_cached_;
}

void BlockPool::lru_remove(BlockId id) {
  const Block& block = blocks_[id];
  (block.prev < 0 ? lru_oldest_ : blocks_[block.prev].next) = block.next;
  (block.next < 0 ? lru_newest_ : blocks_[block.next].prev) = block.prev;
  --num_cached_;
}

}  // namespace lmdeploy
