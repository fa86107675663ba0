// Attention on AMX bf16 tiles, for 16-bit caches. A block takes a whole split (kSplitTokens tokens) at
// once, 32 query rows at a time:
//   scores [token][row] = K q    K as left tiles in the order of its memory
//   softmax                      16 rows a vector, so no sums across lanes; one maximum a split
//   values [row][dim] = p V      accumulated in the tile registers over the split
// f16 numbers are sums of two bf16 and p and q get 16 bits too (attention_amx_tiles.h): high * high +
// high * low + low * high. A bf16 cache has one product, of p and q rounded to bf16.
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/attention_amx_tiles.h"
#include "kernels/cpu/attention_body.h"

namespace lmdeploy::cpu {

namespace {

using avx512::F32Vec;

constexpr int kRowsPerBlock = 128;
constexpr int kPairRows = 2 * kTileRows;  // query rows that are multiplied together
constexpr int kTokenTiles = kSplitTokens / kTileRows;
constexpr int kTokenSteps = kSplitTokens / kTileSteps;

int tiles_of(int count, int size) { return (count + size - 1) / size; }

// The parts of AttentionWorkspace::kernel; [Parts] first in each.
struct TileScratch {
  Bf16Tile* q;    // right: [row tiles][dim steps]
  Bf16Tile* k;    // left: [kTokenTiles][dim steps]
  Bf16Tile* v;    // right: [dim tiles][kTokenSteps]
  Bf16Tile* p;    // left: [2][kTokenSteps]
  float* scores;  // [kSplitTokens][kPairRows]
  int64_t q_part, k_part, v_part, p_part;  // tiles of one part

  TileScratch(const AttentionArgs& args, int rows, std::byte* memory) {
    const int64_t dim_steps = tiles_of(args.head_dim, kTileSteps);
    q_part = tiles_of(rows, kTileRows) * dim_steps;
    k_part = kTokenTiles * dim_steps;
    v_part = tiles_of(args.head_dim, kTileRows) * kTokenSteps;
    p_part = 2 * kTokenSteps;
    q = reinterpret_cast<Bf16Tile*>(memory);
    k = q + 2 * q_part;
    v = k + 2 * k_part;
    p = v + 2 * v_part;
    scores = reinterpret_cast<float*>(p + 2 * p_part);
  }
  static size_t bytes(const AttentionArgs& args, int rows) {
    const TileScratch all(args, rows, nullptr);
    return 2 * static_cast<size_t>(all.q_part + all.k_part + all.v_part + all.p_part) *
               sizeof(Bf16Tile) +
           sizeof(float) * kSplitTokens * kPairRows;
  }
};

// Elements [i, i + 16) of a head, 0 from `size` on.
template <KvType kType>
__m512 load_elements(const AttentionArgs& args, const std::byte* head, int i) {
  return load_kv<F32Vec, kType>(args, head, i).v;
}

// The block's q times scale as right tiles: columns are rows of the block, absent ones 0.
template <int Parts>
void load_query_tiles(const AttentionArgs& args, const AttentionBlock& block, TileScratch& work) {
  const int group = args.heads / args.kv_heads, rows = block.tokens * group;
  const int dim_steps = tiles_of(args.head_dim, kTileSteps);
  const __m512 scale = _mm512_set1_ps(args.scale);
  const auto load = [&](const float* q, int i) {
    return i < args.head_dim ? _mm512_mul_ps(F32Vec::load(q + i, args.head_dim - i).v, scale)
                             : _mm512_setzero_ps();
  };
  for (int step = 0; step < dim_steps; ++step) {
    for (int first = 0; first < rows; first += kTileRows) {
      __m512i words[Parts][16];
      for (int r = 0; r < kTileRows; ++r) {
        __m512 low = _mm512_setzero_ps(), high = low;
        if (first + r < rows) {
          const int row = first + r;
          const float* q = args.q + (block.first_token + row / group) * args.q_stride +
                           (block.kv_head * group + row % group) * args.head_dim;
          low = load(q, step * kTileSteps);
          high = load(q, step * kTileSteps + 16);
        }
        __m512i part[Parts];
        split_row<Parts>(low, high, part);
        for (int i = 0; i < Parts; ++i) words[i][r] = part[i];
      }
      for (int i = 0; i < Parts; ++i) {
        transpose_words(words[i]);
        Bf16Tile& tile = work.q[i * work.q_part + first / kTileRows * dim_steps + step];
        for (int r = 0; r < kTileRows; ++r) _mm512_store_si512(tile.value[r], words[i][r]);
      }
    }
  }
}

// Tokens of one split, in whole steps of kTileSteps: [begin, end) are read, relative to `start`.
struct SplitTokens {
  int start, begin, end;
  int first_step() const { return begin / kTileSteps; }
  int last_step() const { return (end - 1) / kTileSteps; }
};

// K as left tiles. Steps never cross a page; what lies outside the range is masked later.
template <KvType kType>
void load_key_tiles(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                    TileScratch& work) {
  const int dim_steps = tiles_of(args.head_dim, kTileSteps);
  for (int t = tokens.first_step() * kTileSteps; t < (tokens.last_step() + 1) * kTileSteps; ++t) {
    const std::byte* head =
        token_row<kType>(args, block.sequence, block.kv_head, tokens.start + t);
    for (int step = 0; step < dim_steps; ++step) {
      const int i = step * kTileSteps;
      const __m512 low = load_elements<kType>(args, head, i);
      const __m512 high = i + 16 < args.head_dim ? load_elements<kType>(args, head, i + 16)
                                                 : _mm512_setzero_ps();
      __m512i part[kParts<kType>];
      split_row<kParts<kType>>(low, high, part);
      Bf16Tile* tile = work.k + t / kTileRows * dim_steps + step;
      for (int p = 0; p < kParts<kType>; ++p) {
        _mm512_store_si512(tile[p * work.k_part].value[t % kTileRows], part[p]);
      }
    }
  }
}

// V as right tiles, 0 outside the range (p is 0 there, but memory may hold NaN).
template <KvType kType>
void load_value_tiles(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                      TileScratch& work) {
  const auto row_of = [&](int t) -> const std::byte* {
    if (t < tokens.begin || t >= tokens.end) return nullptr;
    return token_row<kType>(args, block.sequence, args.kv_heads + block.kv_head, tokens.start + t);
  };
  for (int t = tokens.first_step() * kTileSteps; t < (tokens.last_step() + 1) * kTileSteps; t += 2) {
    const std::byte* even_row = row_of(t);
    const std::byte* odd_row = row_of(t + 1);
    for (int i = 0; i < args.head_dim; i += kTileRows) {
      const __m512 zero = _mm512_setzero_ps();
      const __m512 even = even_row ? load_elements<kType>(args, even_row, i) : zero;
      const __m512 odd = odd_row ? load_elements<kType>(args, odd_row, i) : zero;
      Bf16Tile* tile = work.v + i / kTileRows * kTokenSteps + t / kTileSteps;
      const int pair = t % kTileSteps / 2;
      _mm512_store_si512(tile->value[pair], pair_columns(even, odd));
      if constexpr (kParts<kType> == 2) {
        _mm512_store_si512(tile[work.v_part].value[pair],
                           pair_columns(_mm512_sub_ps(even, upper_half(even)),
                                        _mm512_sub_ps(odd, upper_half(odd))));
      }
    }
  }
}

// Operand of a product: up to two tiles a step, `other` tiles apart; parts `part` tiles apart.
struct TileRun {
  const Bf16Tile* first;
  int64_t other, part;
};

template <int Count>
[[gnu::always_inline]] inline void load_left(const TileRun& run, const Bf16Tile* at) {
  tile_load<4>(at, 64);
  if constexpr (Count == 2) tile_load<5>(at + run.other, 64);
}
template <int Count>
[[gnu::always_inline]] inline void load_right(const TileRun& run, const Bf16Tile* at) {
  tile_load<6>(at, 64);
  if constexpr (Count == 2) tile_load<7>(at + run.other, 64);
}

// out [16 Lefts][16 Rights] = sum of left * right over steps [begin, end).
template <int Parts, int Lefts, int Rights>
void multiply_tiles(const TileRun& left, const TileRun& right, int begin, int end, float* out,
                    int64_t stride) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int step = begin; step < end; ++step) {
    load_left<Lefts>(left, left.first + step);
    load_right<Rights>(right, right.first + step);
    tile_products_bf16<Lefts, Rights>();
    if constexpr (Parts == 2) {
      load_right<Rights>(right, right.first + right.part + step);
      tile_products_bf16<Lefts, Rights>();
      load_left<Lefts>(left, left.first + left.part + step);
      load_right<Rights>(right, right.first + step);
      tile_products_bf16<Lefts, Rights>();
    }
  }
  const int64_t bytes = stride * static_cast<int64_t>(sizeof(float));
  tile_store<0>(out, bytes);
  if constexpr (Rights == 2) tile_store<1>(out + kTileRows, bytes);
  if constexpr (Lefts == 2) tile_store<2>(out + kTileRows * stride, bytes);
  if constexpr (Lefts == 2 && Rights == 2) tile_store<3>(out + kTileRows * stride + kTileRows, bytes);
}

// The 16 rows of one vector: what each sees.
struct RowLanes {
  __m512i position;  // -1: no row
  __m512i first;
  __m512 slope;
  int least_position, most_first;  // tokens between are seen by all
};

RowLanes row_lanes(const AttentionArgs& args, const AttentionBlock& block, int row) {
  const int group = args.heads / args.kv_heads, rows = block.tokens * group;
  alignas(64) int32_t position[16], first[16];
  alignas(64) float slope[16];
  RowLanes lanes{.least_position = 1 << 30, .most_first = 0};
  for (int lane = 0; lane < 16; ++lane) {
    const int at = row + lane;
    position[lane] = at < rows ? first_position(args, block) + at / group : -1;
    first[lane] = at < rows ? first_visible(args, position[lane]) : 0;
    slope[lane] = args.alibi_slopes != nullptr && at < rows
                      ? args.alibi_slopes[block.kv_head * group + at % group]
                      : 0.0f;
    if (position[lane] < lanes.least_position) lanes.least_position = position[lane];
    if (first[lane] > lanes.most_first) lanes.most_first = first[lane];
  }
  lanes.position = _mm512_load_si512(position);
  lanes.first = _mm512_load_si512(first);
  lanes.slope = _mm512_load_ps(slope);
  return lanes;
}

// Applies softcap, ALiBi and the mask to the scores of 16 rows (stride kPairRows); returns their maxima.
__m512 shape_scores(const AttentionArgs& args, const RowLanes& lanes, SplitTokens tokens,
                    float* scores) {
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 top = lowest;
  for (int t = tokens.first_step() * kTileSteps; t < (tokens.last_step() + 1) * kTileSteps; ++t) {
    const int token = tokens.start + t;
    __m512 s = _mm512_load_ps(scores + t * kPairRows);
    if (args.softcap > 0) {
      const F32Vec cap = F32Vec::all(args.softcap);
      s = (cap * tanh(F32Vec{s} / cap)).v;
    }
    const __m512i at = _mm512_set1_epi32(token);
    if (args.alibi_slopes != nullptr) {
      const __m512 distance = _mm512_cvtepi32_ps(_mm512_sub_epi32(at, lanes.position));
      s = _mm512_fmadd_ps(lanes.slope, distance, s);
    }
    if (token > lanes.least_position || token < lanes.most_first) {
      const __mmask16 seen = _mm512_cmple_epi32_mask(at, lanes.position) &
                             _mm512_cmple_epi32_mask(lanes.first, at);
      s = _mm512_mask_blend_ps(seen, lowest, s);
    }
    _mm512_store_ps(scores + t * kPairRows, s);
    top = _mm512_max_ps(top, s);
  }
  return top;
}

// Turns 16 rows' scores into exponentials, as left tiles p [steps]; returns their sums.
template <int Parts>
__m512 exponentials(const float* scores, __m512 top, SplitTokens tokens, Bf16Tile* p,
                    int64_t p_part) {
  const __mmask16 any = _mm512_cmp_ps_mask(top, _mm512_set1_ps(-__builtin_inff()), _CMP_NEQ_UQ);
  const __m512 reference = _mm512_maskz_mov_ps(any, top);
  __m512 sum = _mm512_setzero_ps();
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    __m512i words[Parts][16];
    for (int pair = 0; pair < 16; ++pair) {
      __m512 e[2];
      for (int i = 0; i < 2; ++i) {
        const float* at = scores + (step * kTileSteps + 2 * pair + i) * kPairRows;
        e[i] = exp(F32Vec{_mm512_sub_ps(_mm512_load_ps(at), reference)}).v;
        sum = _mm512_add_ps(sum, e[i]);
      }
      if constexpr (Parts == 1) {
        words[0][pair] = pair_columns(round_up_half(e[0]), round_up_half(e[1]));
      } else {
        words[0][pair] = pair_columns(e[0], e[1]);
        words[1][pair] = pair_columns(round_up_half(_mm512_sub_ps(e[0], upper_half(e[0]))),
                                      round_up_half(_mm512_sub_ps(e[1], upper_half(e[1]))));
      }
    }
    for (int i = 0; i < Parts; ++i) {
      transpose_words(words[i]);
      for (int r = 0; r < kTileRows; ++r) {
        _mm512_store_si512(p[i * p_part + step].value[r], words[i][r]);
      }
    }
  }
  return sum;
}

// Rows [row, row + 16 Tiles) of the block.
template <int Parts, int Tiles>
void attend_rows(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens, int row,
                 const TileScratch& work, const SoftmaxState& state) {
  const int dim_steps = tiles_of(args.head_dim, kTileSteps);
  const int dim_tiles = tiles_of(args.head_dim, kTileRows);
  const TileRun q{work.q + row / kTileRows * dim_steps, dim_steps, work.q_part};
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    const TileRun k{work.k + 2 * step * dim_steps, dim_steps, work.k_part};
    multiply_tiles<Parts, 2, Tiles>(k, q, 0, dim_steps,
                                    work.scores + step * kTileSteps * kPairRows, kPairRows);
  }
  for (int i = 0; i < Tiles; ++i) {
    const RowLanes lanes = row_lanes(args, block, row + i * kTileRows);
    float* scores = work.scores + i * kTileRows;
    const __m512 top = shape_scores(args, lanes, tokens, scores);
    const __m512 sum =
        exponentials<Parts>(scores, top, tokens, work.p + i * kTokenSteps, work.p_part);
    _mm512_storeu_ps(state.max + row + i * kTileRows, top);
    _mm512_storeu_ps(state.sum + row + i * kTileRows, sum);
  }
  const TileRun p{work.p, kTokenSteps, work.p_part};
  float* values = state.values + int64_t{row} * args.width;
  for (int tile = 0; tile < dim_tiles; tile += 2) {
    const TileRun v{work.v + tile * kTokenSteps, kTokenSteps, work.v_part};
    const auto multiply = tile + 1 < dim_tiles ? multiply_tiles<Parts, Tiles, 2>
                                               : multiply_tiles<Parts, Tiles, 1>;
    multiply(p, v, tokens.first_step(), tokens.last_step() + 1, values + tile * kTileRows, args.width);
  }
}

template <KvType kType>
void attend_split_amx(const AttentionArgs& args, const AttentionBlock& block, int split,
                      std::byte* scratch, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  const int start = split * kSplitTokens;
  const int visible = first_visible(args, first_position(args, block)) - start;
  const int context = last_position(args, block) + 1 - start;
  const SplitTokens tokens{start, visible > 0 ? visible : 0,
                           context < kSplitTokens ? context : kSplitTokens};
  TileScratch work(args, rows, scratch);
  load_query_tiles<kParts<kType>>(args, block, work);
  load_key_tiles<kType>(args, block, tokens, work);
  load_value_tiles<kType>(args, block, tokens, work);
  const TileScope tiles({kTileRows, 64}, {kTileRows, 64});
  for (int row = 0; row < rows; row += kPairRows) {
    if (row + kTileRows < rows) {
      attend_rows<kParts<kType>, 2>(args, block, tokens, row, work, state);
    } else {
      attend_rows<kParts<kType>, 1>(args, block, tokens, row, work, state);
    }
  }
}

}  // namespace

AttentionKernels attention_kernels_amx(KvType type) {
  AttentionKernels kernels = attention_kernels_avx512();  // whose states are laid out the same
  kernels.rows_per_block = kRowsPerBlock;
  kernels.scratch_bytes = TileScratch::bytes;
  kernels.attend_split =
      type == KvType::kF16 ? attend_split_amx<KvType::kF16> : attend_split_amx<KvType::kBF16>;
  return kernels;
}

}  // namespace lmdeploy::cpu
