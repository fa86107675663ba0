// KvTables: one sequence's block tables, one per KV group. All per-token groups end at the same
// block; a window group has dropped what lies behind its window, a recurrent group has one block.
// Not thread-safe. Nothing here decides anything: the scheduler does.
#pragma once

#include <span>
#include <vector>

#include "sched/block_pool.h"
#include "sched/kv_group.h"
#include "sched/prefix_cache.h"
#include "sched/step_plan.h"

namespace lmdeploy {

class KvTables {
 public:
  explicit KvTables(const KvLayout& layout);  // `layout` outlives the tables

  // Blocks per per-token group, dropped ones included.
  int end() const { return end_; }

  // Blocks that grow(tokens) would take from the pool, all groups together.
  int blocks_to_hold(int tokens) const;
  // The most tokens that can be held after taking at most `blocks` blocks; 0: not even the
  // recurrent groups' state.
  int tokens_within(int blocks) const;
  // Takes blocks so that positions [0, tokens) have a place.
  void grow(int tokens, BlockPool& pool);

  // Drops the window blocks that no query at or behind `position` reads.
  void drop_behind(int position);

  // Empty tables become the first `num_blocks` blocks of a prefix that cache.match() accepted.
  void adopt(const PrefixCache& cache, const PrefixKeys& keys, std::span<const int32_t> tokens,
             int num_blocks, BlockPool& pool);

  // Empty tables become those of `source` up to `position`: whole blocks are shared, the partly
  // filled one and recurrent states are copied by the plan.
  void fork(const KvTables& source, int position, BlockPool& pool,
            std::vector<BlockCopy>& copies);
  // Every block that a query at `position` reads is still there.
  bool holds_for(int position) const;

  // Tells the cache about blocks [first, last) that are still held; they must be complete.
  void publish(PrefixCache& cache, const PrefixKeys& keys, std::span<const int32_t> tokens,
               int first, int last) const;

  // Appends this row's tables to plan.row_blocks and plan.block_ids.
  void append_to(StepPlan& plan) const;

  // Gives everything back, last blocks first, so that a prefix's head outlives its tail in the LRU.
  void clear();

 private:
  struct Table {
    std::vector<BlockRef> blocks;  // by block index; empty below first_live
    int first_live = 0;
  };
  bool per_token(int group) const {
    return layout_->groups[group].kind != KvGroupKind::kRecurrent;
  }
  int num_recurrent() const;  // groups

  const KvLayout* layout_;
  std::vector<Table> tables_;  // [groups]
  int end_ = 0;
};

}  // namespace lmdeploy
