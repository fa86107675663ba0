// Attention on AMX bf16 tiles, for bf16 caches. A block takes a whole split (kSplitTokens tokens)
// at once, 32 query rows at a time:
//   scores [token][row] = K q    K as left tiles in the order of its memory
//   softmax                      16 rows a vector, so no sums across lanes; one maximum a split
//   values [row][dim] = p V      accumulated in the tile registers over the split
// q * scale and p are rounded to bf16; sums, softmax and values are fp32.
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

// The parts of AttentionWorkspace::kernel.
struct TileScratch {
  Bf16Tile* q;    // right: [row tiles][dim steps]
  Bf16Tile* k;    // left: [kTokenTiles][dim steps]
  Bf16Tile* v;    // right: [dim tiles][kTokenSteps]
  Bf16Tile* p;    // left: [2][kTokenSteps]
  float* scores;  // [kSplitTokens][kPairRows]

  static int64_t q_tiles(const AttentionArgs& args, int rows) {
    return int64_t{tiles_of(rows, kTileRows)} * tiles_of(args.head_dim, kTileSteps);
  }
  static int64_t k_tiles(const AttentionArgs& args) {
    return int64_t{kTokenTiles} * tiles_of(args.head_dim, kTileSteps);
  }
  static int64_t v_tiles(const AttentionArgs& args) {
    return int64_t{kTokenSteps} * tiles_of(args.head_dim, kTileRows);
  }
  static constexpr int kPTiles = 2 * kTokenSteps;

  TileScratch(const AttentionArgs& args, int rows, std::byte* memory)
      : q(reinterpret_cast<Bf16Tile*>(memory)) {
    k = q + q_tiles(args, rows);
    v = k + k_tiles(args);
    p = v + v_tiles(args);
    scores = reinterpret_cast<float*>(p + kPTiles);
  }
  static size_t bytes(const AttentionArgs& args, int rows) {
    const int64_t tiles = q_tiles(args, rows) + k_tiles(args) + v_tiles(args) + kPTiles;
    return static_cast<size_t>(tiles) * sizeof(Bf16Tile) + sizeof(float) * kSplitTokens * kPairRows;
  }
};

// 32 elements of row `row` of the block, times scale, as bf16; an absent row is 0.
__m512i load_query(const AttentionArgs& args, const AttentionBlock& block, int row, int i) {
  const int group = args.heads / args.kv_heads;
  if (row >= block.tokens * group) return _mm512_setzero_si512();
  const float* q = args.q + (block.first_token + row / group) * args.q_stride +
                   (block.kv_head * group + row % group) * args.head_dim + i;
  const int count = args.head_dim - i;
  const F32Vec scale = F32Vec::all(args.scale);
  const F32Vec high = count > 16 ? F32Vec::load(q + 16, count - 16) : F32Vec::zero();
  return round_pair((F32Vec::load(q, count) * scale).v, (high * scale).v);
}

// The block's q times scale as right tiles, whose columns are its rows.
void load_query_tiles(const AttentionArgs& args, const AttentionBlock& block,
                      const TileScratch& work) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  Bf16Tile* tile = work.q;
  for (int first = 0; first < rows; first += kTileRows) {
    for (int i = 0; i < args.head_dim; i += kTileSteps, ++tile) {
      __m512i words[16];
      for (int r = 0; r < kTileRows; ++r) words[r] = load_query(args, block, first + r, i);
      transpose_words(words);
      for (int r = 0; r < kTileRows; ++r) _mm512_store_si512(tile->value[r], words[r]);
    }
  }
}

// Tokens of one split, in whole steps of kTileSteps: [begin, end) are read, relative to `start`.
struct SplitTokens {
  int start, begin, end;
  int first_step() const { return begin / kTileSteps; }
  int last_step() const { return (end - 1) / kTileSteps; }
};

const uint16_t* bf16_row(const AttentionArgs& args, const AttentionBlock& block, int head,
                         int token) {
  return reinterpret_cast<const uint16_t*>(
      token_row<KvType::kBF16>(args, block.sequence, head, token));
}

// K as left tiles. Steps never cross a page; what lies outside the range is masked later.
void load_key_tiles(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                    const TileScratch& work) {
  const int dim_steps = tiles_of(args.head_dim, kTileSteps);
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    const int t = step * kTileSteps;
    const uint16_t* head = bf16_row(args, block, block.kv_head, tokens.start + t);
    for (int r = 0; r < kTileSteps; ++r, head += args.head_dim) {
      Bf16Tile* tile = work.k + (t + r) / kTileRows * dim_steps;
      for (int i = 0; i < args.head_dim; i += kTileSteps, ++tile) {
        _mm512_store_si512(tile->value[r % kTileRows], load_bf16(head + i, args.head_dim - i));
      }
    }
  }
}

// Two tokens' V as row `pair` of the right tiles; a token that is nullptr has 0.
void load_value_pair(const AttentionArgs& args, const uint16_t* even, const uint16_t* odd, int pair,
                     Bf16Tile* tile) {
  const auto words = [&](const uint16_t* row, int i) {
    if (row == nullptr) return _mm512_setzero_si512();
    const int count = args.head_dim - i < 16 ? args.head_dim - i : 16;
    return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(load_bf16(row + i, count)));
  };
  for (int i = 0; i < args.head_dim; i += kTileRows, tile += kTokenSteps) {
    _mm512_store_si512(tile->value[pair], pair_columns(words(even, i), words(odd, i)));
  }
}

// V as right tiles, 0 outside the range (p is 0 there, but memory may hold NaN).
void load_value_tiles(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                      const TileScratch& work) {
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    const int t = step * kTileSteps;
    const uint16_t* head = bf16_row(args, block, args.first_value_head + block.kv_head, tokens.start + t);
    const auto row_of = [&](int r) {
      const bool seen = t + r >= tokens.begin && t + r < tokens.end;
      return seen ? head + int64_t{r} * args.head_dim : nullptr;
    };
    for (int r = 0; r < kTileSteps; r += 2) {
      load_value_pair(args, row_of(r), row_of(r + 1), r / 2, work.v + step);
    }
  }
}

// Operand of a product: one or two tiles a step, `other` tiles apart.
struct TileRun {
  const Bf16Tile* first;
  int64_t other;
};

// out [16 Lefts][16 Rights] = sum of left * right over steps [begin, end).
template <int Lefts, int Rights>
void multiply_tiles(const TileRun& left, const TileRun& right, int begin, int end, float* out,
                    int64_t stride) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int step = begin; step < end; ++step) {
    tile_load<4>(left.first + step, 64);
    if constexpr (Lefts == 2) tile_load<5>(left.first + left.other + step, 64);
    tile_load<6>(right.first + step, 64);
    if constexpr (Rights == 2) tile_load<7>(right.first + right.other + step, 64);
    tile_products_bf16<Lefts, Rights>();
  }
  const int64_t bytes = stride * static_cast<int64_t>(sizeof(float));
  tile_store<0>(out, bytes);
  if constexpr (Rights == 2) tile_store<1>(out + kTileRows, bytes);
  if constexpr (Lefts == 2) tile_store<2>(out + kTileRows * stride, bytes);
  if constexpr (Lefts == 2 && Rights == 2)
    tile_store<3>(out + kTileRows * stride + kTileRows, bytes);
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

// Applies softcap, ALiBi and the mask to the scores of 16 rows (stride kPairRows); returns their
// maxima.
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
      const __mmask16 seen =
          _mm512_cmple_epi32_mask(at, lanes.position) & _mm512_cmple_epi32_mask(lanes.first, at);
      s = _mm512_mask_blend_ps(seen, lowest, s);
    }
    _mm512_store_ps(scores + t * kPairRows, s);
    top = _mm512_max_ps(top, s);
  }
  return top;
}

// Turns 16 rows' scores into exponentials, as left tiles p [steps]; returns their sums.
__m512 exponentials(const float* scores, __m512 top, SplitTokens tokens, Bf16Tile* p) {
  const __mmask16 any = _mm512_cmp_ps_mask(top, _mm512_set1_ps(-__builtin_inff()), _CMP_NEQ_UQ);
  const __m512 reference = _mm512_maskz_mov_ps(any, top);
  __m512 sum = _mm512_setzero_ps();
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    __m512i words[16];
    for (int pair = 0; pair < 16; ++pair) {
      __m512 e[2];
      for (int i = 0; i < 2; ++i) {
        const float* at = scores + (step * kTileSteps + 2 * pair + i) * kPairRows;
        e[i] = exp(F32Vec{_mm512_sub_ps(_mm512_load_ps(at), reference)}).v;
        sum = _mm512_add_ps(sum, e[i]);
      }
      words[pair] = pair_columns(round_words(e[0]), round_words(e[1]));
    }
    transpose_words(words);
    for (int r = 0; r < kTileRows; ++r) _mm512_store_si512(p[step].value[r], words[r]);
  }
  return sum;
}

// Rows [row, row + 16 Tiles) of the block.
template <int Tiles>
void attend_rows(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                 int row, const TileScratch& work, const SoftmaxState& state) {
  const int dim_steps = tiles_of(args.head_dim, kTileSteps);
  const int dim_tiles = tiles_of(args.head_dim, kTileRows);
  const TileRun q{work.q + row / kTileRows * dim_steps, dim_steps};
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    multiply_tiles<2, Tiles>({work.k + 2 * step * dim_steps, dim_steps}, q, 0, dim_steps,
                             work.scores + step * kTileSteps * kPairRows, kPairRows);
  }
  for (int i = 0; i < Tiles; ++i) {
    const int first = row + i * kTileRows;
    float* scores = work.scores + i * kTileRows;
    const __m512 top = shape_scores(args, row_lanes(args, block, first), tokens, scores);
    const __m512 sum = exponentials(scores, top, tokens, work.p + i * kTokenSteps);
    _mm512_storeu_ps(state.max + first, top);
    _mm512_storeu_ps(state.sum + first, sum);
  }
  float* values = state.values + int64_t{row} * args.width;
  for (int tile = 0; tile < dim_tiles; tile += 2) {
    const auto multiply =
        tile + 1 < dim_tiles ? multiply_tiles<Tiles, 2> : multiply_tiles<Tiles, 1>;
    multiply({work.p, kTokenSteps}, {work.v + tile * kTokenSteps, kTokenSteps}, tokens.first_step(),
             tokens.last_step() + 1, values + tile * kTileRows, args.width);
  }
}

void attend_split_amx(const AttentionArgs& args, const AttentionBlock& block, int split,
                      std::byte* scratch, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  const int start = split * kSplitTokens;
  const int visible = first_visible(args, first_position(args, block)) - start;
  const int context = last_position(args, block) + 1 - start;
  const SplitTokens tokens{start, visible > 0 ? visible : 0,
                           context < kSplitTokens ? context : kSplitTokens};
  const TileScratch work(args, rows, scratch);
  load_query_tiles(args, block, work);
  load_key_tiles(args, block, tokens, work);
  load_value_tiles(args, block, tokens, work);
  const TileScope tiles({kTileRows, 64}, {kTileRows, 64});
  for (int row = 0; row < rows; row += kPairRows) {
    if (row + kTileRows < rows) {
      attend_rows<2>(args, block, tokens, row, work, state);
    } else {
      attend_rows<1>(args, block, tokens, row, work, state);
    }
  }
}

}  // namespace

AttentionKernels attention_kernels_amx() {
  AttentionKernels kernels = attention_kernels_avx512();  // whose states are laid out the same
  kernels.rows_per_block = kRowsPerBlock;
  kernels.scratch_bytes = TileScratch::bytes;
  kernels.attend_split = attend_split_amx;
  return kernels;
}

}  // namespace lmdeploy::cpu
