#include "engine/step_upload.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "kernels/device_sampling_row.h"

namespace lmdeploy {

namespace {

int logit_rows_of(const PlanRow& row) {
  if ((row.flags & kRowAllLogits) != 0) return row.num_tokens;
  return row.samples() ? 1 : 0;
}

void write_rows(const StepPlan& plan, const StepLayout& layout,
                std::span<const int32_t> rope_lengths, int32_t* words) {
  int32_t token = 0;
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const PlanRow& row = plan.rows[r];
    words[layout.query_start + static_cast<int>(r)] = token;
    words[layout.kv_len + static_cast<int>(r)] = row.kv_length;
    words[layout.first_position + static_cast<int>(r)] = row.first_position;
    words[layout.rope_len + static_cast<int>(r)] = rope_lengths[r];
    words[layout.slots + static_cast<int>(r)] = row.slot;
    int32_t* ids = words + layout.token_ids + token;
    if (row.token_offset == kTokenOnSlot) {
      CHECK(row.num_tokens == 1, "a decode row of {} tokens", row.num_tokens);
      *ids = kTokenOnSlot;
    } else {
      std::copy_n(plan.tokens.begin() + row.token_offset, row.num_tokens, ids);
    }
    std::fill_n(words + layout.token_rows + token, row.num_tokens, static_cast<int32_t>(r));
    token += row.num_tokens;
  }
  const int rows = static_cast<int>(plan.rows.size());
  CHECK(
      rows <= layout.rows && token <= layout.tokens && layout.rows - rows == layout.tokens - token,
      "{} rows of {} tokens in a layout of {} and {}", rows, token, layout.rows, layout.tokens);
  for (int r = rows; r < layout.rows; ++r, ++token) {
    words[layout.query_start + r] = token;
    words[layout.kv_len + r] = 0;
    words[layout.first_position + r] = 0;
    words[layout.rope_len + r] = 1;
    words[layout.slots + r] = -1;
    words[layout.token_ids + token] = 0;
    words[layout.token_rows + token] = r;
  }
  words[layout.query_start + layout.rows] = token;
}

void write_logit_rows(const StepPlan& plan, const StepLayout& layout, std::span<LogitRange> ranges,
                      int32_t* words) {
  int32_t logits = 0, samples = 0;
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    ranges[r] = {logits, logit_rows_of(plan.rows[r])};
    const int32_t end = words[layout.query_start + static_cast<int>(r) + 1];
    for (int32_t i = ranges[r].count; i > 0; --i) words[layout.logits + logits++] = end - i;
    if (plan.rows[r].samples()) words[layout.samples + samples++] = logits - 1;
  }
  // Padding rows sample too, from whatever their hidden state is.
  for (int r = static_cast<int>(plan.rows.size()); r < layout.rows; ++r) {
    if (logits >= layout.logit_rows) break;
    words[layout.logits + logits] = words[layout.query_start + r];
    words[layout.samples + samples++] = logits++;
  }
  CHECK(logits == layout.logit_rows, "{} logit rows in a layout of {}", logits, layout.logit_rows);
}

int64_t write_tables(const StepPlan& plan, const StepLayout& layout, std::span<int32_t> words) {
  int64_t at = layout.tables;
  for (int group = 0; group < layout.groups; ++group) {
    int32_t width = 1;
    for (size_t r = 0; r < plan.rows.size(); ++r) {
      const RowBlocks& blocks = plan.blocks_of(r, group);
      width = std::max(width, blocks.first_block + blocks.count);
    }
    words[static_cast<size_t>(group)] = width;
    CHECK(at + static_cast<int64_t>(plan.rows.size()) * width <= static_cast<int64_t>(words.size()),
          "tables of {} rows and {} blocks are larger than the upload", plan.rows.size(), width);
    for (size_t r = 0; r < plan.rows.size(); ++r, at += width) {
      const RowBlocks& blocks = plan.blocks_of(r, group);
      int32_t* table = words.data() + at;
      std::fill_n(table, width, -1);
      std::copy_n(plan.block_ids.begin() + blocks.offset, blocks.count, table + blocks.first_block);
    }
  }
  return at;
}

}  // namespace

StepLayout::StepLayout(int token_count, int row_count, int logit_row_count, int group_count)
    : tokens(token_count), rows(row_count), logit_rows(logit_row_count), groups(group_count) {
  int at = kUploadHeader;
  const auto take = [&](int words) { return std::exchange(at, at + (words + 3) / 4 * 4); };
  token_ids = take(tokens);
  token_rows = take(tokens);
  query_start = take(rows + 1);
  kv_len = take(rows);
  first_position = take(rows);
  rope_len = take(rows);
  slots = take(rows);
  logits = take(logit_rows);
  samples = take(rows);
  sampling = take(rows * static_cast<int>(sizeof(DeviceSamplingRow) / sizeof(int32_t)));
  tables = at;
}

int64_t most_upload_words(int tokens, int rows, int groups, int table_width) {
  return StepLayout(tokens, rows, tokens, groups).tables + int64_t{rows} * groups * table_width;
}

int count_logit_rows(const StepPlan& plan) {
  int count = 0;
  for (const PlanRow& row : plan.rows) count += logit_rows_of(row);
  return count;
}

int64_t write_upload(const StepPlan& plan, const StepLayout& layout,
                     std::span<const int32_t> rope_lengths, std::span<LogitRange> ranges,
                     std::span<int32_t> words) {
  CHECK(plan.num_groups == layout.groups && layout.groups <= kMaxKvGroups &&
            layout.tables <= static_cast<int64_t>(words.size()),
        "{} KV groups and {} words in an upload of {}", plan.num_groups, layout.tables,
        words.size());
  words[kUploadRows] = static_cast<int32_t>(plan.rows.size());
  write_rows(plan, layout, rope_lengths, words.data());
  write_logit_rows(plan, layout, ranges, words.data());
  return write_tables(plan, layout, words);
}

}  // namespace lmdeploy
