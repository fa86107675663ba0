// The attention kernels of kernels/cpu/attention.h in fp32, written once over V = F32Vec of AVX2 or
// AVX-512. Rows of q, K, V and the values are padded to args.width columns.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/tile_gemm.h"
#include "kernels/cpu/vec_math.h"

namespace lmdeploy::cpu {
namespace {

// The parts of AttentionWorkspace::kernel.
struct VectorScratch {
  float* q;        // [rows, width], times scale
  float* k_tile;   // [width, kTileTokens]
  float* v_tile;   // [kTileTokens, width]
  float* scores;   // [rows, kTileTokens]
  float* rescale;  // [rows]

  static size_t bytes(const AttentionArgs& args, int rows) {
    const int64_t floats = int64_t{2} * args.width * kTileTokens +
                           int64_t{rows} * (args.width + kTileTokens + 1);
    return static_cast<size_t>(floats) * sizeof(float);
  }
  VectorScratch(const AttentionArgs& args, int rows, std::byte* memory)
      : q(reinterpret_cast<float*>(memory)) {
    k_tile = q + int64_t{rows} * args.width;
    v_tile = k_tile + int64_t{args.width} * kTileTokens;
    scores = v_tile + int64_t{args.width} * kTileTokens;
    rescale = scores + int64_t{rows} * kTileTokens;
  }
};

// Tokens [begin, end) of the tile that starts at `start`, all within one split.
struct TileRange {
  int start, begin, end;
};

// Elements i, i + 1, ... of the head at `p`; 0 from head_dim on.
template <class V, KvType kType>
inline V load_kv(const AttentionArgs& args, const std::byte* p, int i) {
  const int count = args.head_dim - i;
  const bool whole = count >= V::kLanes;
  if constexpr (kType == KvType::kF32) {
    const float* from = reinterpret_cast<const float*>(p) + i;
    return whole ? V::load(from) : V::load(from, count);
  } else {
    const uint16_t* from = reinterpret_cast<const uint16_t*>(p) + i;
    if constexpr (kType == KvType::kF16) {
      return whole ? V::load_f16(from) : V::load_f16(from, count);
    } else {
      return whole ? V::load_bf16(from) : V::load_bf16(from, count);
    }
  }
}

template <KvType kType>
inline int64_t token_bytes(const AttentionArgs& args) {
  return int64_t{args.head_dim} * (kType == KvType::kF32 ? 4 : 2);
}

// Memory of one token's K (head = kv_head) or V (head = first_value_head + kv_head).
template <KvType kType>
inline const std::byte* token_row(const AttentionArgs& args, int sequence, int head, int token) {
  const int32_t* table = args.block_table + sequence * args.block_table_stride;
  const std::byte* page =
      args.pages + static_cast<size_t>(table[token / args.block_tokens]) * args.page_bytes;
  return page + static_cast<size_t>(head) * args.head_bytes +
         token % args.block_tokens * token_bytes<kType>(args);
}

// K of the tile, transposed: k_tile[i][token]. Whole groups of V::kLanes tokens, which never cross
// a page; what lies outside the range is masked later.
template <class V, KvType kType>
inline void load_keys(const AttentionArgs& args, const AttentionBlock& block, TileRange tile,
                      float* k_tile) {
  const int first = tile.begin / V::kLanes * V::kLanes;
  for (int token = first; token < tile.end; token += V::kLanes) {
    const std::byte* rows = token_row<kType>(args, block.sequence, block.kv_head, token);
    for (int i = 0; i < args.width; i += V::kLanes) {
      V square[V::kLanes];
      for (int t = 0; t < V::kLanes; ++t) {
        square[t] = load_kv<V, kType>(args, rows + t * token_bytes<kType>(args), i);
      }
      transpose(square);
      float* to = k_tile + i * kTileTokens + (token - tile.start);
      for (int t = 0; t < V::kLanes; ++t) square[t].store(to + t * kTileTokens);
    }
  }
}

template <class V, KvType kType>
inline void load_values(const AttentionArgs& args, const AttentionBlock& block, TileRange tile,
                        float* v_tile) {
  for (int token = tile.begin; token < tile.end; ++token) {
    const std::byte* row =
        token_row<kType>(args, block.sequence, args.first_value_head + block.kv_head, token);
    float* to = v_tile + (token - tile.start) * args.width;
    for (int i = 0; i < args.width; i += V::kLanes) load_kv<V, kType>(args, row, i).store(to + i);
  }
}

template <class V>
inline void load_tile(const AttentionArgs& args, const AttentionBlock& block, TileRange tile,
                      const VectorScratch& work) {
  switch (args.type) {
    case KvType::kF32:
      load_keys<V, KvType::kF32>(args, block, tile, work.k_tile);
      return load_values<V, KvType::kF32>(args, block, tile, work.v_tile);
    case KvType::kF16:
      load_keys<V, KvType::kF16>(args, block, tile, work.k_tile);
      return load_values<V, KvType::kF16>(args, block, tile, work.v_tile);
    case KvType::kBF16:
      load_keys<V, KvType::kBF16>(args, block, tile, work.k_tile);
      return load_values<V, KvType::kBF16>(args, block, tile, work.v_tile);
  }
}

// What is added to and done with a row's scores besides the mask.
struct ScoreShape {
  float softcap;
  float slope;        // of ALiBi
  float tile_offset;  // position of the tile's first token minus the query's
};

template <class V>
inline V shape_scores(V s, int column, const ScoreShape& shape) {
  if (shape.softcap > 0) s = V::all(shape.softcap) * tanh(s / V::all(shape.softcap));
  if (shape.slope != 0) {
    const V distance = V::lane_numbers() + V::all(shape.tile_offset + static_cast<float>(column));
    s = fma(V::all(shape.slope), distance, s);
  }
  return s;
}

// Turns one row's scores into exponentials over columns [begin, end) (0 elsewhere) and updates its
// running maximum and sum. Returns what the row's earlier values must be multiplied by.
template <class V>
inline float softmax_row(float* scores, int begin, int end, const ScoreShape& shape, float& max,
                         float& sum) {
  constexpr int kVectors = kTileTokens / V::kLanes;
  if (begin >= end) {
    for (int v = 0; v < kVectors; ++v) V::zero().store(scores + v * V::kLanes);
    return 1.0f;
  }
  const V lowest = V::all(-__builtin_inff());
  V s[kVectors], top = lowest;
  for (int v = 0; v < kVectors; ++v) {
    const int column = v * V::kLanes;
    s[v] = shape_scores(V::load(scores + column), column, shape);
    s[v] = s[v].keep_lanes(begin - column, end - column, lowest);
    top = V::max(top, s[v]);
  }
  const float tile_max = top.max();
  const float new_max = tile_max > max ? tile_max : max;
  const V reference = V::all(new_max);
  V total = V::zero();
  for (int v = 0; v < kVectors; ++v) {
    const int column = v * V::kLanes;
    const V p = exp(s[v] - reference).keep_lanes(begin - column, end - column, V::zero());
    p.store(scores + column);
    total = total + p;
  }
  const float rescale = exp(V::all(max - new_max)).first_lane();
  sum = sum * rescale + total.sum();
  max = new_max;
  return rescale;
}

template <class V>
inline void softmax_rows(const AttentionArgs& args, const AttentionBlock& block, TileRange tile,
                         const VectorScratch& work, const SoftmaxState& state) {
  const int group = args.heads / args.kv_heads;
  const int position0 = first_position(args, block);
  for (int t = 0; t < block.tokens; ++t) {
    const int position = position0 + t;
    const int visible = first_visible(args, position);
    const int begin = (visible > tile.begin ? visible : tile.begin) - tile.start;
    const int end = (position + 1 < tile.end ? position + 1 : tile.end) - tile.start;
    for (int g = 0; g < group; ++g) {
      const int row = t * group + g;
      const float slope =
          args.alibi_slopes == nullptr ? 0.0f : args.alibi_slopes[block.kv_head * group + g];
      const ScoreShape shape{args.softcap, slope, static_cast<float>(tile.start - position)};
      work.rescale[row] = softmax_row<V>(work.scores + row * kTileTokens, begin, end, shape,
                                         state.max[row], state.sum[row]);
    }
  }
}

template <class V>
inline void load_queries(const AttentionArgs& args, const AttentionBlock& block, float* q) {
  const int group = args.heads / args.kv_heads, stride = args.width;
  const V scale = V::all(args.scale);
  for (int row = 0; row < block.tokens * group; ++row) {
    const float* from = args.q + (block.first_token + row / group) * args.q_stride +
                        (block.kv_head * group + row % group) * args.head_dim;
    for (int i = 0; i < args.head_dim; i += V::kLanes) {
      (V::load(from + i, args.head_dim - i) * scale).store(q + row * stride + i);
    }
  }
}

template <class V>
inline void clear(const SoftmaxState& state, int rows, int width) {
  for (int row = 0; row < rows; ++row) {
    state.max[row] = -__builtin_inff();
    state.sum[row] = 0;
  }
  for (int i = 0; i < rows * width; i += V::kLanes) V::zero().store(state.values + i);
}

template <class V>
inline void attend_tile(const AttentionArgs& args, const AttentionBlock& block, TileRange tile,
                        const VectorScratch& work, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  load_tile<V>(args, block, tile, work);
  const int first_column = (tile.begin - tile.start) / V::kLanes * V::kLanes;
  const int columns =
      (tile.end - tile.start - first_column + V::kLanes - 1) / V::kLanes * V::kLanes;
  tile_gemm<V>({.a = work.q,
                .b = work.k_tile + first_column,
                .c = work.scores + first_column,
                .alpha = nullptr,
                .lda = args.width,
                .ldb = kTileTokens,
                .ldc = kTileTokens,
                .rows = rows,
                .columns = columns,
                .k_begin = 0,
                .k_end = args.head_dim});
  softmax_rows<V>(args, block, tile, work, state);
  tile_gemm<V>({.a = work.scores,
                .b = work.v_tile,
                .c = state.values,
                .alpha = work.rescale,
                .lda = kTileTokens,
                .ldb = args.width,
                .ldc = args.width,
                .rows = rows,
                .columns = args.width,
                .k_begin = tile.begin - tile.start,
                .k_end = tile.end - tile.start});
}

template <class V>
inline void attend_split(const AttentionArgs& args, const AttentionBlock& block, int split,
                         std::byte* scratch, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  const VectorScratch work(args, rows, scratch);
  clear<V>(state, rows, args.width);
  load_queries<V>(args, block, work.q);
  const int visible = first_visible(args, first_position(args, block));
  const int context = last_position(args, block) + 1;
  const int split_begin = split * kSplitTokens;
  for (int start = split_begin; start < split_begin + kSplitTokens; start += kTileTokens) {
    const int begin = visible > start ? visible : start;
    const int end = context < start + kTileTokens ? context : start + kTileTokens;
    if (begin < end) attend_tile<V>(args, block, {start, begin, end}, work, state);
  }
}

template <class V>
inline void merge_states(const AttentionArgs& args, int rows, const SoftmaxState& from,
                         const SoftmaxState& into) {
  const float nothing = -__builtin_inff();
  for (int row = 0; row < rows; ++row) {
    if (from.max[row] == nothing) continue;
    const float max = from.max[row] > into.max[row] ? from.max[row] : into.max[row];
    const V a = exp(V::all(into.max[row] - max));
    const V b = exp(V::all(from.max[row] - max));
    const float* source = from.values + row * args.width;
    float* target = into.values + row * args.width;
    for (int i = 0; i < args.width; i += V::kLanes) {
      fma(V::load(target + i), a, V::load(source + i) * b).store(target + i);
    }
    into.sum[row] = into.sum[row] * a.first_lane() + from.sum[row] * b.first_lane();
    into.max[row] = max;
  }
}

template <class V>
inline void finish_block(const AttentionArgs& args, const AttentionBlock& block,
                         const SoftmaxState& state) {
  const int group = args.heads / args.kv_heads;
  for (int row = 0; row < block.tokens * group; ++row) {
    const int head = block.kv_head * group + row % group;
    float factor = 1.0f / state.sum[row];
    if (args.sinks != nullptr) {
      const float sink = args.sinks[head];
      const float max = sink > state.max[row] ? sink : state.max[row];
      const float rescale = exp(V::all(state.max[row] - max)).first_lane();
      factor = rescale / (state.sum[row] * rescale + exp(V::all(sink - max)).first_lane());
    }
    float* out =
        args.out + (block.first_token + row / group) * args.out_stride + head * args.head_dim;
    for (int i = 0; i < args.head_dim; i += V::kLanes) {
      (V::load(state.values + row * args.width + i) * V::all(factor)).store(out + i, args.head_dim - i);
    }
  }
}

template <class V>
inline AttentionKernels attention_kernels() {
  constexpr int kRowsPerBlock = 64;
  return {V::kLanes,       kRowsPerBlock,   VectorScratch::bytes,
          attend_split<V>, merge_states<V>, finish_block<V>};
}

}  // namespace
}  // namespace lmdeploy::cpu
