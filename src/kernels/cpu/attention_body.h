// The attention kernels of kernels/cpu/attention.h in fp32, written once over V = F32Vec of AVX2 or
// AVX-512. A block takes a whole split (kSplitTokens tokens) at once: the scores [row][token] of
// all its rows, tile by tile of K transposed; the softmax of attention_softmax.h with one maximum a
// split; and the sum of the values, tile by tile of V in fp32. Tiles stay in the nearest cache
// while the rows use them. Rows of q, K, V and the values are padded to args.width columns.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_softmax.h"
#include "kernels/cpu/tile_gemm.h"
#include "kernels/cpu/vec_math.h"

namespace lmdeploy::cpu {
namespace {

// The parts of AttentionWorkspace::kernel.
struct VectorScratch {
  float* q;       // [rows, width], times scale
  float* tile;    // of K [width, kTileTokens] or of V [kTileTokens, width]
  float* scores;  // [rows, kSplitTokens]

  static size_t bytes(const AttentionArgs& args, int rows) {
    const int64_t floats =
        int64_t{args.width} * kTileTokens + int64_t{rows} * (args.width + kSplitTokens);
    return static_cast<size_t>(floats) * sizeof(float);
  }
  VectorScratch(const AttentionArgs& args, int rows, std::byte* memory)
      : q(reinterpret_cast<float*>(memory)) {
    tile = q + int64_t{rows} * args.width;
    scores = tile + int64_t{args.width} * kTileTokens;
  }
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

// Asks for K or V of the tile that begins at `token`, as far as some row of the block sees it.
template <KvType kType>
inline void prefetch_tile(const AttentionArgs& args, const AttentionBlock& block, int head,
                          int token) {
  const int last = last_position(args, block);
  const int64_t step_bytes = kStepTokens * token_bytes<kType>(args);
  for (const int end = token + kTileTokens; token < end && token <= last; token += kStepTokens) {
    const std::byte* from = token_row<kType>(args, block.sequence, head, token);
    for (int64_t i = 0; i < step_bytes; i += 64) __builtin_prefetch(from + i);
  }
}

// K of tokens [begin, end), whole groups of V::kLanes within kTileTokens, transposed:
// to[i][token - tile].
template <class V, KvType kType>
inline void transpose_keys(const AttentionArgs& args, const AttentionBlock& block, int tile,
                           int begin, int end, float* to) {
  constexpr bool kPairs = kType == KvType::kBF16;  // transposed as pairs of elements
  for (int token = begin; token < end; token += V::kLanes) {
    const std::byte* rows = token_row<kType>(args, block.sequence, block.kv_head, token);
    for (int i = 0; i < args.head_dim; i += kPairs ? 2 * V::kLanes : V::kLanes) {
      V square[V::kLanes];
      for (int t = 0; t < V::kLanes; ++t) {
        const std::byte* row = rows + t * token_bytes<kType>(args);
        if constexpr (kPairs) {
          square[t] = V::load_pairs(reinterpret_cast<const uint16_t*>(row) + i, args.head_dim - i);
        } else {
          square[t] = load_kv<V, kType>(args, row, i);
        }
      }
      transpose(square);
      float* column = to + int64_t{i} * kTileTokens + (token - tile);
      for (int t = 0; t < V::kLanes; ++t) {
        if constexpr (kPairs) {
          if (i + 2 * t >= args.width) break;
          square[t].first_bf16().store(column + 2 * t * kTileTokens);
          square[t].second_bf16().store(column + (2 * t + 1) * kTileTokens);
        } else {
          square[t].store(column + t * kTileTokens);
        }
      }
    }
  }
}

// V of tokens [begin, end) as fp32: to[token - tile][width].
template <class V, KvType kType>
inline void load_values(const AttentionArgs& args, const AttentionBlock& block, int tile, int begin,
                        int end, float* to) {
  const int width = args.width, value_head = args.first_value_head + block.kv_head;
  const AttentionArgs local = args;
  for (int token = begin, step_end; token < end; token = step_end) {
    step_end = (token / kStepTokens + 1) * kStepTokens;
    if (step_end > end) step_end = end;
    const std::byte* row = token_row<kType>(args, block.sequence, value_head, token);
    for (int t = token; t < step_end; ++t, row += token_bytes<kType>(local)) {
      float* out = to + int64_t{t - tile} * width;
      for (int i = 0; i < width; i += V::kLanes) load_kv<V, kType>(local, row, i).store(out + i);
    }
  }
}

template <class V>
inline void load_queries(const AttentionArgs& args, const AttentionBlock& block, int rows,
                         float* q) {
  const int group = args.heads / args.kv_heads;
  const V scale = V::all(args.scale);
  for (int row = 0; row < rows; ++row) {
    const float* from = args.q + (block.first_token + row / group) * args.q_stride +
                        (block.kv_head * group + row % group) * args.head_dim;
    for (int i = 0; i < args.head_dim; i += V::kLanes) {
      (V::load(from + i, args.head_dim - i) * scale).store(q + row * args.width + i);
    }
  }
}

// The first row of the block that sees `token`.
inline int first_row_seeing(const AttentionArgs& args, const AttentionBlock& block, int token) {
  const int tokens = token - first_position(args, block);
  return tokens <= 0 ? 0 : tokens * (args.heads / args.kv_heads);
}

template <class V, KvType kType>
inline void score_split(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                        const VectorScratch& work, int rows) {
  const int value_head = args.first_value_head + block.kv_head;
  for (int tile = tokens.begin / kTileTokens * kTileTokens, end; tile < tokens.end; tile = end) {
    end = tile + kTileTokens;
    const int token = tokens.start + tile;
    const int begin = tile > tokens.first_token() ? tile : tokens.first_token();
    const int stop = end < tokens.end_token() ? end : tokens.end_token();
    if (end < tokens.end) {
      prefetch_tile<kType>(args, block, block.kv_head, token + kTileTokens);
    } else {
      prefetch_tile<kType>(args, block, value_head, tokens.start + tokens.first_token());
    }
    transpose_keys<V, kType>(args, block, token, tokens.start + begin, tokens.start + stop,
                             work.tile);
    const int row = first_row_seeing(args, block, token);
    tile_gemm<V>({.a = work.q + int64_t{row} * args.width,
                  .b = work.tile + (begin - tile),
                  .c = work.scores + int64_t{row} * kSplitTokens + begin,
                  .lda = args.width,
                  .ldb = kTileTokens,
                  .ldc = kSplitTokens,
                  .rows = rows - row,
                  .columns = stop - begin,
                  .k_begin = 0,
                  .k_end = args.head_dim});
  }
}

// Turns scores into p, up to the end of the last tile that the row sees.
template <class V>
inline void softmax_row(const AttentionArgs& args, const RowView& row, SplitTokens tokens,
                        float* scores, float& max, float& sum) {
  const int seen = ((row.position - tokens.start) / kTileTokens + 1) * kTileTokens;
  if (seen < tokens.end) tokens.end = seen;
  max = shape_row<V>(args, row, tokens, scores);
  // Scores are taken relative to the maximum before they are multiplied: an error that grew with it
  // would not cancel against other splits and sinks.
  const V top = V::all(max == -__builtin_inff() ? 0.0f : max);
  V total = V::zero();
  for (int t = tokens.first_token(); t < tokens.end_token(); t += V::kLanes) {
    const V p = exp2_below<V, Weights::kF32>((V::load(scores + t) - top) * V::all(kLog2E));
    p.store(scores + t);
    total = total + p;
  }
  sum = total.sum();
}

template <class V, KvType kType>
inline void add_values(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                       const VectorScratch& work, int rows, float* values) {
  for (int i = 0; i < rows * args.width; i += V::kLanes) V::zero().store(values + i);
  const int value_head = args.first_value_head + block.kv_head;
  for (int tile = tokens.begin / kTileTokens * kTileTokens, end; tile < tokens.end; tile = end) {
    end = tile + kTileTokens;
    const int token = tokens.start + tile;
    const int begin = tile > tokens.begin ? tile : tokens.begin;
    const int stop = end < tokens.end ? end : tokens.end;
    // Behind the last tile comes the next split.
    prefetch_tile<kType>(args, block, end < kSplitTokens ? value_head : block.kv_head,
                         token + kTileTokens);
    load_values<V, kType>(args, block, token, tokens.start + begin, tokens.start + stop, work.tile);
    const int row = first_row_seeing(args, block, token);
    tile_gemm<V>({.a = work.scores + int64_t{row} * kSplitTokens + tile,
                  .b = work.tile,
                  .c = values + int64_t{row} * args.width,
                  .lda = kSplitTokens,
                  .ldb = args.width,
                  .ldc = args.width,
                  .rows = rows - row,
                  .columns = args.width,
                  .k_begin = begin - tile,
                  .k_end = stop - tile,
                  .add = true});
  }
}

template <class V, KvType kType>
inline void attend_tokens(const AttentionArgs& args, const AttentionBlock& block,
                          SplitTokens tokens, std::byte* scratch, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  const VectorScratch work(args, rows, scratch);
  load_queries<V>(args, block, rows, work.q);
  score_split<V, kType>(args, block, tokens, work, rows);
  for (int row = 0; row < rows; ++row) {
    const RowView view = row_view(args, block, row);
    if (view.position < tokens.start) {
      state.max[row] = -__builtin_inff();
      state.sum[row] = 0;
    } else {
      softmax_row<V>(args, view, tokens, work.scores + row * kSplitTokens, state.max[row],
                     state.sum[row]);
    }
  }
  add_values<V, kType>(args, block, tokens, work, rows, state.values);
}

template <class V>
inline void attend_split(const AttentionArgs& args, const AttentionBlock& block, int split,
                         std::byte* scratch, const SoftmaxState& state) {
  const SplitTokens tokens = split_tokens(args, block, split);
  switch (args.type) {
    case KvType::kF32: return attend_tokens<V, KvType::kF32>(args, block, tokens, scratch, state);
    case KvType::kF16: return attend_tokens<V, KvType::kF16>(args, block, tokens, scratch, state);
    case KvType::kBF16: return attend_tokens<V, KvType::kBF16>(args, block, tokens, scratch, state);
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
      (V::load(state.values + row * args.width + i) * V::all(factor))
          .store(out + i, args.head_dim - i);
    }
  }
}

template <class V>
inline AttentionKernels attention_kernels() {
  constexpr int kRowsPerBlock = 128;
  return {V::kLanes,       kRowsPerBlock,   VectorScratch::bytes,
          attend_split<V>, merge_states<V>, finish_block<V>};
}

}  // namespace
}  // namespace lmdeploy::cpu
