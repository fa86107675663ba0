#include <cmath>

#include "kernels/cuda/device_sampling_launch.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"
#include "kernels/cuda/sampling_filters.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kChunk = 8192;  // tokens of a block of threads
constexpr int kCounts = 8;    // read at once
constexpr uint32_t kInPrompt = 0x8000u;

// The tokens [begin, end) of one row.
class EditChunk {
 public:
  __device__ EditChunk(const SamplingEditLaunch& edit, const DeviceSamplingRow& row)
      : edit_(edit),
        row_(row),
        logits_(edit.logits.logits + blockIdx.y * edit.logits.stride),
        counts_(edit.counts + row.slot * edit.counts_stride),
        begin_(static_cast<int>(blockIdx.x) * kChunk),
        end_(min(begin_ + kChunk, edit.logits.vocab)) {}

  __device__ void copy_raw(float* raw) const {
    for (int i = begin_ + thread(); i < end_; i += kThreads) raw[i] = logits_[i];
  }

  // The counts that the slot begins with.
  __device__ void start_counts() const {
    const int padded_end = (end_ + kCounts - 1) / kCounts * kCounts;
    for (int i = begin_ + thread() * kCounts; i < padded_end; i += kThreads * kCounts) {
      store_vector(counts_ + i, RowVector<uint16_t, kCounts>{});
    }
    __syncthreads();
    each_entry(row_.seen,
               [&](int token, uint32_t count) { counts_[token] = static_cast<uint16_t>(count); });
    __syncthreads();
  }

  __device__ void apply_penalties() const {
    for (int i = begin_ + thread() * kCounts; i < end_; i += kThreads * kCounts) {
      const RowVector<uint16_t, kCounts> counts = load_vector<kCounts>(counts_ + i);
      float x[kCounts];  // all on their way before the first is used
#pragma unroll
      for (int j = 0; j < kCounts; ++j) {
        x[j] = counts.elements[j] != 0 && i + j < end_ ? logits_[i + j] : 0.0f;
      }
#pragma unroll
      for (int j = 0; j < kCounts; ++j) {
        if (counts.elements[j] != 0 && i + j < end_) {
          logits_[i + j] = penalized(x[j], counts.elements[j]);
        }
      }
    }
    __syncthreads();
  }

  __device__ void apply_lists() const {
    each_entry(row_.bias,
               [&](int token, uint32_t bits) { logits_[token] += __uint_as_float(bits); });
    __syncthreads();
    const int last = row_.slot >= 0 ? edit_.last_token[row_.slot] : -1;
    each_entry(row_.banned, [&](int token, uint32_t after) {
      if (static_cast<int>(after) < 0 || static_cast<int>(after) == last) {
        logits_[token] = -INFINITY;
      }
    });
  }

 private:
  __device__ static int thread() { return static_cast<int>(threadIdx.x); }

  // fn(token, second word) for the list's entries in this chunk.
  template <class Fn>
  __device__ void each_entry(const SamplingList& list, Fn&& fn) const {
    const uint32_t* words = edit_.words + list.first;
    for (uint32_t e = threadIdx.x; e < list.count; e += kThreads) {
      const int token = static_cast<int>(words[2 * e]);
      if (token >= begin_ && token < end_) fn(token, words[2 * e + 1]);
    }
  }

  // The roundings of the CPU: no multiplication is fused with an addition.
  __device__ float penalized(float logit, uint32_t count) const {
    if (row_.repetition_penalty != 1.0f) {
      logit = logit < 0 ? logit * row_.repetition_penalty : logit / row_.repetition_penalty;
    }
    const uint32_t generated = count & (kInPrompt - 1);
    if (generated == 0) return logit;
    logit = __fsub_rn(logit, row_.presence_penalty);
    return __fsub_rn(logit, __fmul_rn(row_.frequency_penalty, static_cast<float>(generated)));
  }

  const SamplingEditLaunch& edit_;
  const DeviceSamplingRow row_;
  float* logits_;
  uint16_t* counts_;
  int begin_, end_;
};

__global__ void __launch_bounds__(kThreads)
    sampling_edit_kernel(const __grid_constant__ SamplingEditLaunch edit) {
  wait_for_previous();
  allow_next();
  const DeviceSamplingRow& row = edit.rows[blockIdx.y];
  if ((row.flags & DeviceSamplingRow::kActive) == 0 || !edits_logits(row)) return;
  const EditChunk chunk(edit, row);
  if (edit.raw != nullptr && row.logprobs >= 0) {
    chunk.copy_raw(edit.raw + int64_t{blockIdx.y} * edit.logits.vocab);
    __syncthreads();
  }
  if ((row.flags & DeviceSamplingRow::kPenalties) != 0) {
    if ((row.flags & DeviceSamplingRow::kFirstToken) != 0) chunk.start_counts();
    chunk.apply_penalties();
  }
  chunk.apply_lists();
}

}  // namespace

cudaError_t launch_sampling_edit(const SamplingEditLaunch& edit, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((edit.logits.vocab + kChunk - 1) / kChunk),
                  static_cast<unsigned>(edit.logits.rows));
  return launch(sampling_edit_kernel, grid, dim3(kThreads), 0, stream, true, edit);
}

}  // namespace lmdeploy::cuda
