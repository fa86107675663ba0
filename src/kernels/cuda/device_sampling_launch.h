// The kernels of sampling as their host code sees them.
//
//   scan    over all logits, many blocks a row: the largest value of each block of tokens and,
//   where
//           a row needs them, sums of exponentials
//   report  a block of threads a row: log-softmax and most likely tokens of the raw logits
//   weigh   for top-p of the whole vocabulary: how much probability lies how far below the largest
//   logit edit    penalties, bias and banned tokens, in place (masks are applied where logits are
//   read) choose  a block of threads a row: filters and draw. Block maxima tell which few blocks of
//   tokens
//           it must read again.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/device_sampling_row.h"
#include "kernels/sampled_token.h"

namespace lmdeploy::cuda {

constexpr int kMaxTokenBlocks = 1024;  // of a row
constexpr int kTokenGroup = 128;       // a block of tokens is 1, 2 or 4 groups

struct LogitRows {
  float* logits;  // [rows, vocab], rows `stride` apart
  int64_t stride;
  int rows;  // at least 1
  int vocab;
  int block;   // tokens of a block
  int blocks;  // of a row, at most kMaxTokenBlocks
};

// log softmax of a row: max and the logarithm of the sum; where +inf occurs, the tokens that have
// it share all the probability.
struct LogSoftmax {
  double log_sum;
  float max;
};

struct SamplingScanLaunch {
  LogitRows logits;
  const DeviceSamplingRow* rows;  // or nullptr: every row is scored
  const uint32_t* words;
  float* block_max;  // [rows, kMaxTokenBlocks]; NaN loses
  float* raw_sum;    // the same: sum of exp(x - block's max) of rows with logprobs, or nullptr
  float* sum;        // the same of exp((x - block's max) / temperature) where choose needs it, or
                     // nullptr: a scan for report alone, which no mask concerns
  uint64_t* masses;  // of weigh, to be zeroed, or nullptr
};
cudaError_t launch_sampling_scan(const SamplingScanLaunch& scan, cudaStream_t stream);

constexpr int kMassBins = 256;
constexpr float kBinsPerNat = 8;

struct SamplingWeighLaunch {
  LogitRows logits;
  const DeviceSamplingRow* rows;
  const uint32_t* words;
  const float* block_max;
  uint64_t* masses;  // [rows, kMassBins], zeros: by bin of the distance below the row's largest
                     // logit, the sum of exp((the bin's edge - logit) / temperature) * kMassUnit
};
cudaError_t launch_sampling_weigh(const SamplingWeighLaunch& weigh, cudaStream_t stream);

struct SamplingReportLaunch {
  LogitRows logits;
  const DeviceSamplingRow* rows;  // or nullptr: score `targets`
  const int32_t* targets;
  int32_t logprobs;  // of every row when scoring
  const float* block_max;
  const float* raw_sum;
  LogSoftmax* log_softmax;  // [rows]; nullptr when scoring
  SampledToken* out;
};
cudaError_t launch_sampling_report(const SamplingReportLaunch& report, cudaStream_t stream);

struct SamplingEditLaunch {
  LogitRows logits;
  const DeviceSamplingRow* rows;
  const uint32_t* words;
  const int32_t* last_token;
  uint16_t* counts;  // [slots], rows counts_stride apart, multiples of 8
  int64_t counts_stride;
  float* raw;  // [rows, vocab]: copies of rows that want logprobs, or nullptr
};
cudaError_t launch_sampling_edit(const SamplingEditLaunch& edit, cudaStream_t stream);

struct SamplingChooseLaunch {
  LogitRows logits;
  const DeviceSamplingRow* rows;
  const uint32_t* words;
  const float* block_max;
  const float* sum;
  const uint64_t* masses;         // nullptr: no row needs them
  const float* raw;               // as the edits left it; nullptr: the logits are the raw ones
  const LogSoftmax* log_softmax;  // nullptr: no row wants logprobs
  int32_t* last_token;
  uint16_t* counts;
  int64_t counts_stride;
  SampledToken* out;
};
cudaError_t launch_sampling_choose(const SamplingChooseLaunch& choose, cudaStream_t stream);

}  // namespace lmdeploy::cuda
