// StepUpload: a step plan as one block of 32-bit words, which goes to the device in one copy. A
// small kernel (engine/cuda/step_inputs.cu) makes of it what the host does not know or need not
// send: token ids of decode rows, positions, slot maps and block tables of a fixed width.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "engine/batch_builder.h"
#include "nn/kv_groups.h"
#include "sched/step_plan.h"

namespace lmdeploy {

// Words of the header: the width of each group's table (in blocks), then the rows that have one.
constexpr int kUploadRows = kMaxKvGroups;
constexpr int kUploadHeader = kMaxKvGroups + 8;

// Where the parts lie, in words. All but the tables lie at places that the counts fix, so that the
// kernels of a captured graph find them.
struct StepLayout {
  StepLayout(int tokens, int rows, int logit_rows, int groups);

  int tokens, rows, logit_rows, groups;  // padding included
  int token_ids;                         // [tokens] the token, or kTokenOnSlot
  int token_rows;                        // [tokens] its row
  int query_start;                       // [rows + 1]
  int kv_len;                            // [rows] 0: padding
  int first_position;                    // [rows]
  int rope_len;                          // [rows]
  int slots;                             // [rows] -1: padding
  int logits;                            // [logit_rows] tokens that want logits
  int samples;   // [rows] index among the logit rows of each row that is sampled, densely
  int sampling;  // DeviceSamplingRow [rows] of the rows that are sampled, densely
  int tables;    // of all groups, one after the other: [rows without padding][width], -1: none
};

// Words that any step of at most these counts needs.
int64_t most_upload_words(int tokens, int rows, int groups, int table_width);

// Writes all of the plan but `sampling` by `layout`, whose counts are at least the plan's; rows and
// tokens beyond the plan's are padding (only where layout.tokens == layout.rows: one token a row).
// `rope_lengths` has one entry, and `ranges` (which is filled) one, for each plan row. Returns the
// words written.
int64_t write_upload(const StepPlan& plan, const StepLayout& layout,
                     std::span<const int32_t> rope_lengths, std::span<LogitRange> ranges,
                     std::span<int32_t> words);

// Logit rows of the plan: every query token of a kRowAllLogits row, the last one of a sampling row.
int count_logit_rows(const StepPlan& plan);

}  // namespace lmdeploy
