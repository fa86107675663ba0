// BlockPool: the ids of the KV blocks and who holds them. Memory and layout are nn::KvCache's.
//
// A block is in one state:
//   in use    somebody holds a BlockRef
//   retiring  nobody does, but a launched step that has not retired may still name it
//   cached    nobody does; its content is known to the prefix cache and it waits in LRU order
//   free      nobody does and its content is worthless
// Releasing the last BlockRef makes a block retiring until the newest step launched by then has
// retired (at once if it has), and then cached or free. Only cached and free blocks are handed
// out again. A retiring or cached block comes back into use when its content is hit.
//
// Not thread-safe: the engine thread owns it. BlockRefs must not outlive the pool.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "sched/step_plan.h"

namespace lmdeploy {

class BlockPool;

// Shares one block; copying it is one more reference.
class BlockRef {
 public:
  BlockRef() = default;
  BlockRef(const BlockRef& other);
  BlockRef(BlockRef&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), id_(other.id_) {}
  BlockRef& operator=(BlockRef other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~BlockRef() { reset(); }

  void reset();
  explicit operator bool() const { return pool_ != nullptr; }
  BlockId id() const;

 private:
  friend class BlockPool;
  BlockRef(BlockPool* pool, BlockId id) : pool_(pool), id_(id) {}

  BlockPool* pool_ = nullptr;
  BlockId id_ = -1;
};

class BlockPool {
 public:
  explicit BlockPool(int num_blocks);
  ~BlockPool();  // CHECKs that no BlockRef is left
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // Called when a cached block is about to be handed out for new content.
  void on_evict(std::function<void(BlockId)> callback) { on_evict_ = std::move(callback); }

  // A block with worthless content: a free one, else the cached one unused for longest.
  // CHECKs available() > 0.
  BlockRef allocate();

  // One more reference to a block that is in use, retiring or cached.
  BlockRef share(BlockId id);

  // Tells whether the content is known to the prefix cache: where it goes when nobody holds it.
  void set_cached(BlockId id, bool cached);

  // `step` has been launched: what is released from now on may be named by it.
  void launched(StepId step);
  // `step` and all before it have retired.
  void retire(StepId step);

  int num_blocks() const { return static_cast<int>(blocks_.size()); }
  int available() const { return num_free_ + num_cached_; }  // allocate() succeeds this often
  int num_free() const { return num_free_; }
  int num_cached() const { return num_cached_; }
  int num_retiring() const { return num_retiring_; }
  int num_in_use() const { return num_blocks() - available() - num_retiring_; }
  int ref_count(BlockId id) const { return blocks_[id].refs; }
  // Sharing it would make available() smaller.
  bool is_cached_idle(BlockId id) const { return blocks_[id].state == State::kCached; }

 private:
  friend class BlockRef;
  enum class State : uint8_t { kFree, kCached, kRetiring, kInUse };
  struct Block {
    int32_t refs = 0;
    State state = State::kFree;
    bool cached = false;       // content known to the prefix cache
    StepId released_at = 0;    // newest launched step when the last reference went
    BlockId prev = -1, next = -1;  // in the LRU list
  };
  struct Release {
    BlockId id;
    StepId step;
  };

  void add_ref(BlockId id) { ++blocks_[id].refs; }
  void release(BlockId id);
  void settle(BlockId id);  // retiring -> cached or free
  void lru_push(BlockId id);
  void lru_remove(BlockId id);

  std::vector<Block> blocks_;
  std::vector<BlockId> free_;
  std::vector<Release> releases_;  // a queue from releases_head_ on, in order of step
  size_t releases_head_ = 0;
  std::function<void(BlockId)> on_evict_;
  BlockId lru_oldest_ = -1, lru_newest_ = -1;
  int num_free_ = 0, num_cached_ = 0, num_retiring_ = 0;
  StepId launched_ = 0, retired_ = 0;
};

}  // namespace lmdeploy
