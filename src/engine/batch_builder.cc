#include "engine/batch_builder.h"

#include <algorithm>

namespace lmdeploy {

namespace {

void fill_tokens(const StepPlan& plan, std::span<const RowFacts> facts, Batch& batch) {
  int32_t* ids = batch.token_ids.data<int32_t>();
  int32_t* positions = batch.positions.data<int32_t>();
  int32_t* rows = batch.token_rows.data<int32_t>();
  int32_t* starts = batch.query_start.data<int32_t>();
  int32_t t = 0;
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const PlanRow& row = plan.rows[r];
    starts[r] = t;
    batch.kv_len.data<int32_t>()[r] = row.kv_length;
    batch.rope_len.data<int32_t>()[r] = facts[r].rope_length;
    batch.max_query_len = std::max(batch.max_query_len, row.num_tokens);
    batch.max_kv_len = std::max(batch.max_kv_len, row.kv_length);
    for (int32_t i = 0; i < row.num_tokens; ++i, ++t) {
      rows[t] = static_cast<int32_t>(r);
      ids[t] = row.token_offset == kTokenOnSlot ? facts[r].last_token
                                                : plan.tokens[static_cast<size_t>(row.token_offset + i)];
      positions[t] = row.first_position + i;
    }
  }
  starts[plan.rows.size()] = t;
}

void build_group(const StepPlan& plan, int group, int block_tokens, Arena& arena, BatchKvGroup& out) {
  int64_t width = 1;
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const RowBlocks& blocks = plan.blocks_of(r, group);
    width = std::max<int64_t>(width, blocks.first_block + blocks.count);
  }
  out.block_table = arena.allocate(Shape{static_cast<int64_t>(plan.rows.size()), width}, DType::kI32);
  out.slot_map = arena.allocate(Shape{plan.total_tokens}, DType::kI64);
  int64_t* slot = out.slot_map.data<int64_t>();
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const RowBlocks& blocks = plan.blocks_of(r, group);
    int32_t* table = out.block_table.row<int32_t>(static_cast<int64_t>(r));
    std::fill(table, table + width, -1);
    std::copy_n(plan.block_ids.begin() + blocks.offset, blocks.count, table + blocks.first_block);
    const PlanRow& row = plan.rows[r];
    for (int32_t i = 0; i < row.num_tokens; ++i) {
      const int32_t position = row.first_position + i;
      const int32_t page = table[position / block_tokens];
      // A chunk longer than a window need not keep the tokens that nothing will read.
      *slot++ = page < 0 ? -1 : int64_t{page} * block_tokens + position % block_tokens;
    }
  }
}

}  // namespace

void build_batch(const StepPlan& plan, std::span<const RowFacts> facts, const KvCache& kv,
                 Arena& arena, Batch& batch, std::span<LogitRange> ranges) {
  const auto rows = static_cast<int64_t>(plan.rows.size());
  batch.max_query_len = batch.max_kv_len = 0;
  batch.groups.resize(static_cast<size_t>(plan.num_groups));
  batch.num_tokens = plan.total_tokens;
  batch.num_sequences = static_cast<int>(rows);
  batch.token_ids = arena.allocate(Shape{plan.total_tokens}, DType::kI32);
  batch.positions = arena.allocate(Shape{plan.total_tokens}, DType::kI32);
  batch.token_rows = arena.allocate(Shape{plan.total_tokens}, DType::kI32);
  batch.query_start = arena.allocate(Shape{rows + 1}, DType::kI32);
  batch.kv_len = arena.allocate(Shape{rows}, DType::kI32);
  batch.rope_len = arena.allocate(Shape{rows}, DType::kI32);
  fill_tokens(plan, facts, batch);
  for (int group = 0; group < plan.num_groups; ++group) {
    build_group(plan, group, kv.block_tokens(), arena, batch.groups[static_cast<size_t>(group)]);
  }

  int32_t count = 0;
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const PlanRow& row = plan.rows[r];
    const bool all = (row.flags & kRowAllLogits) != 0;
    ranges[r] = {count, all ? row.num_tokens : row.samples() ? 1 : 0};
    count += ranges[r].count;
  }
  batch.logit_rows = arena.allocate(Shape{count}, DType::kI32);
  int32_t* logit_rows = batch.logit_rows.data<int32_t>();
  const int32_t* starts = batch.query_start.data<int32_t>();
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const int32_t end = starts[r + 1];
    for (int32_t i = 0; i < ranges[r].count; ++i) *logit_rows++ = end - ranges[r].count + i;
  }
}

}  // namespace lmdeploy
