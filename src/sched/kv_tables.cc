#include "sched/kv_tables.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace lmdeploy {

KvTables::KvTables(const KvLayout& layout) : layout_(&layout), tables_(layout.groups.size()) {}

int KvTables::num_recurrent() const {
  int count = 0;
  for (int g = 0; g < layout_->num_groups(); ++g) count += per_token(g) ? 0 : 1;
  return count;
}

int KvTables::blocks_to_hold(int tokens) const {
  const int more = std::max(0, blocks_for(tokens, layout_->block_tokens) - end_);
  int blocks = 0;
  for (int g = 0; g < layout_->num_groups(); ++g) {
    blocks += per_token(g) ? more : tables_[g].blocks.empty();
  }
  return blocks;
}

int KvTables::tokens_within(int blocks) const {
  const int state = blocks_to_hold(0);
  const int per_token_groups = layout_->num_groups() - num_recurrent();
  if (blocks < state) return 0;
  if (per_token_groups == 0) return std::numeric_limits<int>::max();
  return (end_ + (blocks - state) / per_token_groups) * layout_->block_tokens;
}

void KvTables::grow(int tokens, BlockPool& pool) {
  const int end = std::max(end_, blocks_for(tokens, layout_->block_tokens));
  for (int g = 0; g < layout_->num_groups(); ++g) {
    std::vector<BlockRef>& blocks = tables_[g].blocks;
    const size_t wanted = per_token(g) ? end : 1;
    while (blocks.size() < wanted) blocks.push_back(pool.allocate());
  }
  end_ = end;
}

void KvTables::drop_behind(int position) {
  for (int g = 0; g < layout_->num_groups(); ++g) {
    Table& table = tables_[g];
    const int first = std::min(
        end_, first_block_read(layout_->groups[g], position, layout_->block_tokens));
    for (; table.first_live < first; ++table.first_live) table.blocks[table.first_live].reset();
  }
}

void KvTables::adopt(const PrefixCache& cache, const PrefixKeys& keys,
                     std::span<const int32_t> tokens, int num_blocks, BlockPool& pool) {
  CHECK(end_ == 0, "adopt() into tables of {} blocks", end_);
  const int position = num_blocks * layout_->block_tokens;
  for (int g = 0; g < layout_->num_groups(); ++g) {
    Table& table = tables_[g];
    table.first_live = first_block_read(layout_->groups[g], position, layout_->block_tokens);
    table.blocks.resize(num_blocks);
    for (int i = table.first_live; i < num_blocks; ++i) {
      table.blocks[i] = pool.share(cache.block(keys, tokens, i, g));
    }
  }
  end_ = num_blocks;
}

bool KvTables::holds_for(int position) const {
  for (int g = 0; g < layout_->num_groups(); ++g) {
    const Table& table = tables_[g];
    if (!per_token(g)) {
      if (table.blocks.empty()) return false;
    } else if (blocks_for(position, layout_->block_tokens) > end_ ||
               table.first_live >
                   first_block_read(layout_->groups[g], position, layout_->block_tokens)) {
      return false;
    }
  }
  return true;
}

void KvTables::fork(const KvTables& source, int position, BlockPool& pool,
                    std::vector<BlockCopy>& copies) {
  CHECK(end_ == 0, "fork() into tables of {} blocks", end_);
  const int whole = position / layout_->block_tokens;
  const bool partial = position % layout_->block_tokens != 0;
  for (int g = 0; g < layout_->num_groups(); ++g) {
    Table& table = tables_[g];
    const std::vector<BlockRef>& from = source.tables_[g].blocks;
    const int shared = per_token(g) ? whole : 0;
    table.first_live = std::min(
        shared, first_block_read(layout_->groups[g], position, layout_->block_tokens));
    table.blocks.resize(shared);
    for (int i = table.first_live; i < shared; ++i) table.blocks[i] = from[i];
    if (partial || !per_token(g)) {
      table.blocks.push_back(pool.allocate());
      copies.push_back({g, from[shared].id(), table.blocks.back().id()});
    }
  }
  end_ = whole + (partial ? 1 : 0);
}

void KvTables::publish(PrefixCache& cache, const PrefixKeys& keys,
                       std::span<const int32_t> tokens, int first, int last) const {
  for (int i = first; i < last; ++i) {
    for (int g = 0; g < layout_->num_groups(); ++g) {
      if (i < tables_[g].first_live) continue;
      cache.insert(keys, tokens, i, g, tables_[g].blocks[i].id());
    }
  }
}

void KvTables::append_to(StepPlan& plan) const {
  for (const Table& table : tables_) {
    const int count = static_cast<int>(table.blocks.size()) - table.first_live;
    plan.row_blocks.push_back(
        {static_cast<int32_t>(plan.block_ids.size()), count, table.first_live});
    for (size_t i = table.first_live; i < table.blocks.size(); ++i) {
      plan.block_ids.push_back(table.blocks[i].id());
    }
  }
}

void KvTables::clear() {
  for (int i = end_; i-- > 0;) {
    for (Table& table : tables_) {
      if (i < static_cast<int>(table.blocks.size())) table.blocks[i].reset();
    }
  }
  for (Table& table : tables_) {
    table.blocks.clear();
    table.first_live = 0;
  }
  end_ = 0;
}

}  // namespace lmdeploy
