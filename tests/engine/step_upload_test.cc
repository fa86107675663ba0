#include "engine/step_upload.h"

#include <gtest/gtest.h>

#include <vector>

namespace lmdeploy {
namespace {

// A decode row, a prompt's chunk that samples, and one that does not; two groups, the second with a
// window that has dropped its first blocks.
StepPlan mixed_plan() {
  StepPlan plan;
  plan.num_groups = 2;
  plan.num_decode_rows = 1;
  plan.total_tokens = 6;
  plan.tokens = {11, 12, 13, 21, 22};
  plan.rows = {{.slot = 4,
                .first_position = 70,
                .num_tokens = 1,
                .kv_length = 71,
                .token_offset = kTokenOnSlot,
                .flags = kRowSample},
               {.slot = 2,
                .first_position = 0,
                .num_tokens = 3,
                .kv_length = 3,
                .token_offset = 0,
                .flags = kRowPrefill | kRowSample},
               {.slot = 3,
                .first_position = 5,
                .num_tokens = 2,
                .kv_length = 7,
                .token_offset = 3,
                .flags = kRowPrefill | kRowAllLogits}};
  plan.block_ids = {5, 6, 7, 8, 9, 1, 2, 3};
  plan.row_blocks = {{0, 3, 0}, {3, 1, 2}, {4, 1, 0}, {5, 1, 0}, {6, 1, 0}, {7, 1, 0}};
  return plan;
}

std::vector<int32_t> part(const std::vector<int32_t>& words, int at, int count) {
  return {words.begin() + at, words.begin() + at + count};
}

TEST(StepUpload, HoldsRowsTokensLogitRowsAndTables) {
  const StepPlan plan = mixed_plan();
  ASSERT_EQ(count_logit_rows(plan), 4);
  const StepLayout layout(6, 3, 4, 2);
  std::vector<int32_t> words(static_cast<size_t>(most_upload_words(6, 3, 2, 4)), -7);
  std::vector<LogitRange> ranges(3);
  const int64_t count = write_upload(plan, layout, std::vector<int32_t>{40, 3, 9}, ranges, words);
  EXPECT_EQ(part(words, layout.token_ids, 6),
            (std::vector<int32_t>{kTokenOnSlot, 11, 12, 13, 21, 22}));
  EXPECT_EQ(part(words, layout.token_rows, 6), (std::vector<int32_t>{0, 1, 1, 1, 2, 2}));
  EXPECT_EQ(part(words, layout.query_start, 4), (std::vector<int32_t>{0, 1, 4, 6}));
  EXPECT_EQ(part(words, layout.kv_len, 3), (std::vector<int32_t>{71, 3, 7}));
  EXPECT_EQ(part(words, layout.first_position, 3), (std::vector<int32_t>{70, 0, 5}));
  EXPECT_EQ(part(words, layout.rope_len, 3), (std::vector<int32_t>{40, 3, 9}));
  EXPECT_EQ(part(words, layout.slots, 3), (std::vector<int32_t>{4, 2, 3}));
  EXPECT_EQ(part(words, layout.logits, 4), (std::vector<int32_t>{0, 3, 4, 5}));
  EXPECT_EQ(part(words, layout.samples, 2), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(ranges[2].first, 2);
  EXPECT_EQ(ranges[2].count, 2);
  EXPECT_EQ(words[kUploadRows], 3);
  EXPECT_EQ(part(words, 0, 2), (std::vector<int32_t>{3, 3}));  // widths
  EXPECT_EQ(part(words, layout.tables, 9), (std::vector<int32_t>{5, 6, 7, 9, -1, -1, 2, -1, -1}));
  EXPECT_EQ(part(words, layout.tables + 9, 9),
            (std::vector<int32_t>{-1, -1, 8, 1, -1, -1, 3, -1, -1}));
  EXPECT_EQ(count, layout.tables + 18);
}

TEST(StepUpload, PaddingRowsHaveNoContextAndNoSlot) {
  StepPlan plan = mixed_plan();
  plan.rows.resize(1);
  plan.row_blocks.resize(2);
  plan.total_tokens = 1;
  const StepLayout layout(4, 4, 4, 2);
  std::vector<int32_t> words(static_cast<size_t>(most_upload_words(4, 4, 2, 4)), -7);
  std::vector<LogitRange> ranges(1);
  write_upload(plan, layout, std::vector<int32_t>{40}, ranges, words);
  EXPECT_EQ(part(words, layout.token_ids, 4), (std::vector<int32_t>{kTokenOnSlot, 0, 0, 0}));
  EXPECT_EQ(part(words, layout.query_start, 5), (std::vector<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(part(words, layout.kv_len, 4), (std::vector<int32_t>{71, 0, 0, 0}));
  EXPECT_EQ(part(words, layout.slots, 4), (std::vector<int32_t>{4, -1, -1, -1}));
  EXPECT_EQ(part(words, layout.logits, 4), (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(part(words, layout.samples, 4), (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(words[kUploadRows], 1);
}

}  // namespace
}  // namespace lmdeploy
