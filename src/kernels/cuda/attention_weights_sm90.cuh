// The weights of a warpgroup's 64 rows: scores, in wgmma's fragments, through a running softmax to the
// operand that multiplies values. A lane has two rows of its warp's 16.
#pragma once

#include "kernels/cuda/attention_rows.cuh"

namespace lmdeploy::cuda::sm90 {

template <class T, int kTokens>
class RowWeights {
 public:
  using Scores = float[kTokens / 2];

  __device__ explicit RowWeights(const AttentionLaunch& args)
      : rule_(args),
        shapes_(args.softcap > 0 || args.alibi_slopes != nullptr || args.scale <= 0),
        to_log2_(shapes_ ? 1.0f : kLog2E * args.scale) {}

  // Rows first_row .. of the sequence, nothing seen yet.
  __device__ __forceinline__ void start(const AttentionLaunch& args, const SequencePlace& place,
                                        int first_row, int rows) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      max_[i] = -INFINITY;
      sum_[i] = 0;
      rescale[i] = 1;
    }
    const TokenRange range = range_of(args, place, first_row, rows);
    common_first_ = range.common_first;
    common_end_ = range.common_end;
  }

  // Scores of tokens from `token` on to weights relative to a maximum. That stays behind the true
  // one by up to 2^kSlack, which fp32 and the 16-bit weights bear, so that sums rarely need
  // rescaling.
  __device__ __forceinline__ void make(int token, const RowPlace (&row)[2], Scores& s) {
    if (shapes_) shape(token, row, s);
    if (token + kTokens > common_end_ || token < common_first_) mask(token, row, s);
    constexpr float kSlack = 8;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float most = max_[i];
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n)
        most = fmaxf(most, fmaxf(s[4 * n + 2 * i], s[4 * n + 2 * i + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
      rescale[i] = 1;
      if ((most - max_[i]) * to_log2_ > kSlack) {
        rescale[i] = fast_exp2((max_[i] - most) * to_log2_);
        sum_[i] *= rescale[i];
        max_[i] = most;
      }
      const float base = max_[i] == -INFINITY ? 0.0f : max_[i] * to_log2_;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& x = s[4 * n + 2 * i + c];
          x = fast_exp2(fmaf(x, to_log2_, -base));
          sum += x;
        }
      }
      sum_[i] += sum;
    }
  }
  __device__ __forceinline__ void pack(const Scores& s) {
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k) {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        packed[k][e] = pack_pair<T>(s[8 * k + 2 * e], s[8 * k + 2 * e + 1]);
    }
  }

  // What was added up before has to be multiplied by rescale[].
  __device__ __forceinline__ bool rescales() const {
    return __any_sync(0xFFFFFFFFu, rescale[0] != 1 || rescale[1] != 1);
  }
  __device__ __forceinline__ void rescaled() { rescale[0] = rescale[1] = 1; }

  // What row i's sum of values is multiplied by at the end.
  __device__ __forceinline__ float scale_of_row(int i, const float* sink) const {
    float whole = sum_[i];
    whole += __shfl_xor_sync(0xFFFFFFFFu, whole, 1);
    whole += __shfl_xor_sync(0xFFFFFFFFu, whole, 2);
    return normalization(max_[i] * to_log2_, whole, sink);
  }

  // The weights are in their registers here, as pin_sums does.
  __device__ __forceinline__ void pin() {
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k) {
#pragma unroll
      for (int e = 0; e < 4; ++e) asm volatile("" : "+r"(packed[k][e])::"memory");
    }
  }

  uint32_t packed[kTokens / 16][4];
  float rescale[2];

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ __forceinline__ void shape(int token, const RowPlace (&rows)[2], Scores& s) const {
#pragma unroll
    for (int j = 0; j < kTokens / 2; ++j) {
      const RowPlace& row = rows[j / 2 % 2];
      const int at = token + j / 4 * 8 + lane() % 4 * 2 + j % 2;
      s[j] = rule_(s[j]) + row.slope * static_cast<float>(at - row.position);
    }
  }
  __device__ __forceinline__ void mask(int token, const RowPlace (&rows)[2], Scores& s) const {
#pragma unroll
    for (int j = 0; j < kTokens / 2; ++j) {
      const RowPlace& row = rows[j / 2 % 2];
      const int at = token + j / 4 * 8 + lane() % 4 * 2 + j % 2;
      if (at > row.position || at < row.first) s[j] = -INFINITY;
    }
  }
  ScoreRule rule_;
  bool shapes_;    // scores need more than a factor
  float to_log2_;  // that factor
  int common_first_, common_end_;  // tokens that all rows of the warpgroup see
  float max_[2], sum_[2];
};

}  // namespace lmdeploy::cuda::sm90
