// DeviceSamplingRow: one row of a step's sampling as it is uploaded. Plain data that the kernels
// read.
#pragma once

#include <cstdint>

namespace lmdeploy {

// Entries `count` of the step's list words, from word `first` on.
struct SamplingList {
  uint32_t first = 0;
  uint32_t count = 0;
};

struct DeviceSamplingRow {
  static constexpr uint32_t kActive = 1;  // without it the row is padding: its token is -1
  static constexpr uint32_t kGreedy = 2;
  static constexpr uint32_t kPenalties = 4;   // the slot's token counts are read and kept up
  static constexpr uint32_t kFirstToken = 8;  // the slot's token counts begin with `seen`
  static constexpr uint32_t kMasked = 16;     // `mask` holds a bit per token

  uint32_t flags = 0;
  int32_t slot = -1;  // of the SamplingTable; -1: none (nothing is remembered)
  uint64_t seed = 0;
  int64_t position = 0;
  float temperature = 1;
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  int32_t logprobs = -1;
  SamplingList seen;    // 2 words each: token, packed count (SamplingTable)
  SamplingList bias;    // 2 words each: token, bits of the float
  SamplingList banned;  // 2 words each: token, the slot's last token that makes it banned (-1: any)
  uint32_t mask = 0;    // first word of the mask
  uint32_t unused = 0;  // the size is a multiple of 8
};

}  // namespace lmdeploy
