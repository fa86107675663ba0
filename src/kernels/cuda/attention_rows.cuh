// What the tensor-core attention kernels share: how the rows of a sequence are numbered, what a
// score becomes, and 16 rows of a warp with their running softmax.
//
// The query heads that share a KV head are computed together. Row r of (sequence, KV head) is query
// token r / group, query head kv_head * group + r % group. Scores are kept in units of log2(e).
#pragma once

#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/numeric.cuh"

namespace lmdeploy::cuda {

constexpr float kLog2E = 1.4426950408889634f;

struct SequencePlace {
  int sequence;
  int first_query;  // row of q
  int queries;
  int kv_len;

  __device__ int position(int query) const { return kv_len - queries + query; }
};

__device__ __forceinline__ SequencePlace place_of(const AttentionLaunch& args, int sequence) {
  const int begin = args.query_start[sequence];
  return {sequence, begin, args.query_start[sequence + 1] - begin, args.kv_len[sequence]};
}

// Whether a kernel that was launched with `args` computes the sequence.
__device__ __forceinline__ bool is_ours(const AttentionLaunch& args, const SequencePlace& place) {
  const bool expanded = place.queries == place.kv_len && place.queries >= args.expanded_from;
  return place.queries >= args.min_queries && place.queries <= args.max_queries &&
         expanded == args.expanded;
}

// First token that a query at `position` sees.
__device__ __forceinline__ int first_visible(const AttentionLaunch& args, int position) {
  return args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
}

// K of `token` in the pages; its V is args.kv_heads * args.head_bytes further.
template <class T>
__device__ __forceinline__ const T* key_row(const AttentionLaunch& args, int sequence, int kv_head,
                                            int token) {
  const int32_t page =
      args.block_table[sequence * args.block_table_stride + (token >> args.block_shift)];
  const char* block = args.pages + page * args.page_bytes + kv_head * args.head_bytes;
  return reinterpret_cast<const T*>(block) +
         (token & ((1 << args.block_shift) - 1)) * args.head_dim;
}

// From q.k to a score. softcap * tanh(s / softcap) is softcap - 2 softcap / (exp(2 s / softcap) +
// 1).
struct ScoreRule {
  float scale;  // of q.k: to log2(e) s, or to log2(e) 2 s / softcap
  float cap;    // log2(e) softcap, or 0

  __device__ explicit ScoreRule(const AttentionLaunch& args)
      : scale(args.softcap > 0 ? 2 * kLog2E * args.scale / args.softcap : kLog2E * args.scale),
        cap(kLog2E * args.softcap) {}
  __device__ float operator()(float dot) const {
    const float s = dot * scale;
    return cap == 0 ? s : cap - __fdividef(2 * cap, fast_exp2(s) + 1);
  }
};

// A row as one lane knows it.
struct RowPlace {
  int token = 0;  // of q and out
  int head = 0;
  int position = -1;  // sees no token
  int first = 0;      // token that it sees
  float slope = 0;    // ALiBi, in log2(e) per token
  bool valid = false;

  RowPlace() = default;
  __device__ RowPlace(const AttentionLaunch& args, const SequencePlace& place, int kv_head,
                      int row) {
    const int query = row / args.group;
    valid = query < place.queries;
    if (!valid) return;
    token = place.first_query + query;
    head = kv_head * args.group + row % args.group;
    position = place.position(query);
    first = first_visible(args, position);
    if (args.alibi_slopes != nullptr) slope = args.alibi_slopes[head] * kLog2E;
  }
};

// Tokens that a run of rows sees: first .. end - 1; all of them see common_first .. common_end - 1.
struct TokenRange {
  int first, end;
  int common_first, common_end;
};
__device__ __forceinline__ TokenRange range_of(const AttentionLaunch& args,
                                               const SequencePlace& place, int first_row,
                                               int rows) {
  const int last_query = place.queries - 1;
  const int first = place.position(min(first_row / args.group, last_query));
  const int last = place.position(min((first_row + rows - 1) / args.group, last_query));
  return {max(0, first_visible(args, first)), last + 1, first_visible(args, last), first + 1};
}

// Tile number `number` of kRows rows of the sequences' tiles; number 0 is the last sequence's last
// tile: the later tiles of a prompt take longer and should start early. A warp looks at 32
// sequences at a time. Where there is no such tile place.queries is 0, and `beyond` is how far
// behind the last one `number` is.
struct RowTile {
  SequencePlace place;
  int first_row;
  int beyond;
};
template <int kRows>
__device__ inline RowTile find_tile(const AttentionLaunch& args, int number) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int end = args.sequences; end > 0; end -= 32) {
    const int sequence = end - 1 - lane;
    int tiles = 0;
    if (sequence >= 0) {
      const SequencePlace place = place_of(args, sequence);
      if (is_ours(args, place)) tiles = (place.queries * args.group + kRows - 1) / kRows;
    }
    int through = tiles;  // of this lane's sequence and those of lower lanes
    for (int offset = 1; offset < 32; offset *= 2) {
      const int below = __shfl_up_sync(0xFFFFFFFFu, through, offset);
      if (lane >= offset) through += below;
    }
    const unsigned beyond = __ballot_sync(0xFFFFFFFFu, number < through);
    if (beyond != 0) {
      const int owner = __ffs(static_cast<int>(beyond)) - 1;
      const int last = __shfl_sync(0xFFFFFFFFu, through, owner) - 1;
      return {place_of(args, end - 1 - owner), (last - number) * kRows};
    }
    number -= __shfl_sync(0xFFFFFFFFu, through, 31);
  }
  return {.beyond = number};
}

// Where the 16-byte chunk `chunk` of a row lies in a tile of rows of kWidth 16-bit elements: the
// chunks are permuted so that eight rows' same chunk lies in eight different banks.
template <int kWidth>
__device__ __forceinline__ uint32_t tile_offset(int row, int chunk) {
  return static_cast<uint32_t>(row * kWidth * 2 + ((chunk ^ (row & 7)) << 4));
}

// exp2(x - max); 0 where nothing has been seen.
__device__ __forceinline__ float weight_of(float x, float max) {
  return x == -INFINITY ? 0.0f : fast_exp2(x - max);
}

// Where columns of queries lie: those of a head `step` elements behind those of the one before.
template <class T>
struct QueryColumns {
  const T* q;
  int64_t stride;
  int step;

  // The lane's fragments of its two rows, as the first operand of a product: `columns` of them,
  // and zeros up to kCount, are columns kFirst, ... of the operand.
  template <int kFirst, int kCount, int kSteps>
  __device__ __forceinline__ void load(const RowPlace (&row)[2], int columns,
                                       uint32_t (&fragments)[kSteps][4]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const T* from = q + row[i].token * stride + row[i].head * step + threadIdx.x % 4 * 2;
#pragma unroll
      for (int n = 0; n < kCount / 8; ++n) {
        const bool there = row[i].valid && n * 8 < columns;
        fragments[kFirst / 16 + n / 2][n % 2 * 2 + i] =
            there ? *reinterpret_cast<const uint32_t*>(from + n * 8) : 0;
      }
    }
  }
};

// Scores of two rows to weights relative to their new maximum; what was summed and added up so far
// is brought to it. A lane has some of the columns of the scores, and of the values in `out`.
template <int kScores, int kColumns>
__device__ __forceinline__ void weigh_scores(float (&s)[kScores][4], float (&max)[2],
                                             float (&sum)[2], float (&out)[kColumns][4]) {
  const float former[2] = {max[0], max[1]};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int n = 0; n < kScores; ++n) max[i] = fmaxf(max[i], fmaxf(s[n][2 * i], s[n][2 * i + 1]));
    max[i] = fmaxf(max[i], __shfl_xor_sync(0xFFFFFFFFu, max[i], 1));
    max[i] = fmaxf(max[i], __shfl_xor_sync(0xFFFFFFFFu, max[i], 2));
    const float base = max[i] == -INFINITY ? 0.0f : max[i];
    sum[i] *= fast_exp2(former[i] - base);
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
      s[n][2 * i] = fast_exp2(s[n][2 * i] - base);
      s[n][2 * i + 1] = fast_exp2(s[n][2 * i + 1] - base);
      sum[i] += s[n][2 * i] + s[n][2 * i + 1];
    }
  }
  if (!__any_sync(0xFFFFFFFFu, former[0] != max[0] || former[1] != max[1])) return;
  const float scale[2] = {weight_of(former[0], max[0]), weight_of(former[1], max[1])};
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
    for (int c = 0; c < 4; ++c) out[n][c] *= scale[c / 2];
  }
}

// 16 rows of a warp. A lane holds rows lane / 4 and lane / 4 + 8 (index i of the arrays below).
template <class T, int kWidth>
struct WarpRows {
  RowPlace row[2];
  uint32_t q[kWidth / 16][4];
  float out[kWidth / 8][4];  // columns 8 n + 2 (lane % 4) + {0, 1} of row 0, then of row 1
  float max[2];
  float sum[2];  // of this lane's columns of scores

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  // Rows first_row .. first_row + 15 of (place, kv_head), nothing attended yet.
  __device__ void start(const AttentionLaunch& args, const SequencePlace& place, int kv_head,
                        int first_row) {
    load(args, place, kv_head, first_row);
    clear();
  }
  // The two parts of that: which rows these are, and what has been attended.
  __device__ void load(const AttentionLaunch& args, const SequencePlace& place, int kv_head,
                       int first_row) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      row[i] = RowPlace(args, place, kv_head, first_row + lane() / 4 + 8 * i);
    }
    const QueryColumns<T> columns{static_cast<const T*>(args.q), args.q_stride, args.head_dim};
    columns.template load<0, kWidth>(row, args.head_dim, q);
  }
  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      max[i] = -INFINITY;
      sum[i] = 0;
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) out[n][2 * i] = out[n][2 * i + 1] = 0;
    }
  }

  // Attends to kTokens tokens from first_token on, whose K and V lie in tiles at these addresses.
  // `masked`: some row does not see some of them.
  template <int kTokens>
  __device__ void attend(const ScoreRule& rule, uint32_t k_tile, uint32_t v_tile, int first_token,
                         bool masked) {
    float s[kTokens / 8][4];
    multiply_keys<kTokens>(k_tile, s);
    shape_scores<kTokens>(rule, first_token, masked, s);
    weigh_scores(s, max, sum, out);
    add_values<kTokens>(v_tile, s);
  }

  // The row's softmax sum, in all lanes that hold it.
  __device__ float whole_sum(int i) const {
    float x = sum[i];
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
  }

 private:
  template <int kTokens>
  __device__ void multiply_keys(uint32_t k_tile, float (&s)[kTokens / 8][4]) const {
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
      for (int c = 0; c < 4; ++c) s[n][c] = 0;
    }
    const int key = lane() % 8 + lane() / 16 * 8, half = lane() / 8 % 2;
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
#pragma unroll
      for (int t = 0; t < kTokens / 16; ++t) {
        uint32_t b[4];
        load_matrices(b, k_tile + tile_offset<kWidth>(16 * t + key, 2 * k + half));
        multiply_add<T>(s[2 * t], q[k], b[0], b[1]);
        multiply_add<T>(s[2 * t + 1], q[k], b[2], b[3]);
      }
    }
  }

  template <int kTokens>
  __device__ void shape_scores(const ScoreRule& rule, int first_token, bool masked,
                               float (&s)[kTokens / 8][4]) const {
    const bool slopes = row[0].slope != 0 || row[1].slope != 0;
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const RowPlace& place = row[c / 2];
        const int token = first_token + 8 * n + lane() % 4 * 2 + c % 2;
        float x = rule(s[n][c]);
        if (slopes) x += place.slope * static_cast<float>(token - place.position);
        if (masked && (token > place.position || token < place.first)) x = -INFINITY;
        s[n][c] = x;
      }
    }
  }

  template <int kTokens>
  __device__ void add_values(uint32_t v_tile, const float (&weights)[kTokens / 8][4]) {
    const int token = lane() % 16, half = lane() / 16;
#pragma unroll
    for (int t = 0; t < kTokens / 16; ++t) {
      const uint32_t a[4] = {pack_pair<T>(weights[2 * t][0], weights[2 * t][1]),
                             pack_pair<T>(weights[2 * t][2], weights[2 * t][3]),
                             pack_pair<T>(weights[2 * t + 1][0], weights[2 * t + 1][1]),
                             pack_pair<T>(weights[2 * t + 1][2], weights[2 * t + 1][3])};
#pragma unroll
      for (int n = 0; n < kWidth / 16; ++n) {
        uint32_t b[4];
        load_matrices_transposed(b, v_tile + tile_offset<kWidth>(16 * t + token, 2 * n + half));
        multiply_add<T>(out[2 * n], a, b[0], b[1]);
        multiply_add<T>(out[2 * n + 1], a, b[2], b[3]);
      }
    }
  }
};

// A row's denominator and what its unnormalized values are multiplied by. `sink`: of the row's
// head, or nullptr. A row that saw nothing gets 0.
__device__ __forceinline__ float normalization(float max, float sum, const float* sink) {
  if (sink != nullptr) {
    const float logit = *sink * kLog2E;
    const float base = fmaxf(max, logit);
    const float own = weight_of(max, base);
    return own / (sum * own + fast_exp2(logit - base));
  }
  return sum > 0 ? 1.0f / sum : 0.0f;
}

}  // namespace lmdeploy::cuda
