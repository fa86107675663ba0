// Attention on AMX bf16 tiles, for bf16 caches. A block takes a whole split (kSplitTokens tokens)
// at once:
//   scores [token][row] = K q    K as left tiles, straight from the cache where head_dim allows it
//   softmax                      attention_amx_softmax.h; one maximum a split
//   values [row][dim] = p V      accumulated in the tile registers over the split
// Many rows are taken 32 at a time, 16 to a vector, so no sums cross lanes. Few rows (decoding) would
// leave most lanes empty: their scores are turned round, 16 tokens to a vector, and the arithmetic is
// the same to the bit. q * scale and p are rounded to bf16; sums, softmax and values are fp32.
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/attention_amx_softmax.h"
#include "kernels/cpu/attention_amx_tiles.h"
#include "kernels/cpu/attention_body.h"

namespace lmdeploy::cpu {

namespace {

using avx512::F32Vec;

constexpr int kRowsPerBlock = 128;
constexpr int kTokenTiles = kSplitTokens / kTileRows;
constexpr int kTokenSteps = kSplitTokens / kTileSteps;
constexpr int kFewDimTiles = 4;  // of few rows: dim tiles whose values are summed together

int tiles_of(int count, int size) { return (count + size - 1) / size; }

// The parts of AttentionWorkspace::kernel.
struct TileScratch {
  Bf16Tile* q;    // right: [row tiles][dim steps]
  Bf16Tile* k;    // left: [kTokenTiles][dim steps], where the cache itself does not serve
  Bf16Tile* v;    // right: [dim tiles][kTokenSteps]; of few rows [kFewDimTiles], a step at a time
  Bf16Tile* p;    // left: [2][kTokenSteps]
  float* scores;  // [kSplitTokens][kPairRows]; of few rows [kSplitTokens][kTileRows]
  float* turned;  // [kFewRows][kSplitTokens]

  static int64_t q_tiles(const AttentionArgs& args, int rows) {
    return int64_t{tiles_of(rows, kTileRows)} * tiles_of(args.head_dim, kTileSteps);
  }
  static int64_t k_tiles(const AttentionArgs& args) {
    return int64_t{kTokenTiles} * tiles_of(args.head_dim, kTileSteps);
  }
  static int64_t v_tiles(const AttentionArgs& args) {
    return int64_t{kTokenSteps} * tiles_of(args.head_dim, kTileRows);  // kFewDimTiles or more
  }
  static constexpr int kPTiles = 2 * kTokenSteps;

  TileScratch(const AttentionArgs& args, int rows, std::byte* memory)
      : q(reinterpret_cast<Bf16Tile*>(memory)) {
    k = q + q_tiles(args, rows);
    v = k + k_tiles(args);
    p = v + v_tiles(args);
    scores = reinterpret_cast<float*>(p + kPTiles);
    turned = scores + kSplitTokens * kPairRows;
  }
  static size_t bytes(const AttentionArgs& args, int rows) {
    const int64_t tiles = q_tiles(args, rows) + k_tiles(args) + v_tiles(args) + kPTiles;
    return static_cast<size_t>(tiles) * sizeof(Bf16Tile) + sizeof(float) * kSplitTokens * (kPairRows + kFewRows);
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

const uint16_t* bf16_row(const AttentionArgs& args, const AttentionBlock& block, int head,
                         int token) {
  return reinterpret_cast<const uint16_t*>(
      token_row<KvType::kBF16>(args, block.sequence, head, token));
}

// K of a split as left tiles of 16 tokens.
struct KeyTiles {
  const uint16_t* tile[kTokenTiles];
  int64_t row_bytes;  // from one token to the next
  int64_t step;       // elements from one dim step to the next
};

// Steps never cross a page; what lies outside the range is masked later.
KeyTiles load_key_tiles(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                        const TileScratch& work) {
  const int dim_steps = tiles_of(args.head_dim, kTileSteps);
  const bool whole = args.head_dim % kTileSteps == 0;
  KeyTiles keys{.row_bytes = whole ? 2 * args.head_dim : 64,
                .step = whole ? kTileSteps : kTileRows * kTileSteps};
  for (int tile = 2 * tokens.first_step(); tile < 2 * (tokens.last_step() + 1); ++tile) {
    const uint16_t* rows = bf16_row(args, block, block.kv_head, tokens.start + tile * kTileRows);
    keys.tile[tile] = rows;
    if (whole) continue;
    Bf16Tile* copy = work.k + tile * dim_steps;
    keys.tile[tile] = copy->value[0];
    for (int r = 0; r < kTileRows; ++r, rows += args.head_dim) {
      for (int i = 0; i < dim_steps; ++i) {
        _mm512_store_si512(copy[i].value[r],
                           load_bf16(rows + i * kTileSteps, args.head_dim - i * kTileSteps));
      }
    }
  }
  return keys;
}

// Right tiles of V's dims [begin, end), `stride` tiles apart; `begin` is a multiple of 32.
struct ValueTiles {
  Bf16Tile* first;
  int stride;
  int begin, end;
};

// Two tokens' V as row `pair` of the tiles; a token that is nullptr has 0. Of 32 dims, the even tile
// takes the first 4 of every 8 (in_value_order), the odd one the others; the last 16 or fewer dims are
// a tile by themselves, in order.
void load_value_pair(const ValueTiles& to, const uint16_t* even, const uint16_t* odd, int pair) {
  const auto words = [&](const uint16_t* row, int i) {
    return row == nullptr ? _mm512_setzero_si512() : load_bf16(row + i, to.end - i);
  };
  Bf16Tile* tile = to.first;
  int i = to.begin;
  for (; i + kTileRows < to.end; i += kTileSteps, tile += 2 * to.stride) {
    const __m512i a = words(even, i), b = words(odd, i);
    _mm512_store_si512(tile[0].value[pair], _mm512_unpacklo_epi16(a, b));
    _mm512_store_si512(tile[to.stride].value[pair], _mm512_unpackhi_epi16(a, b));
  }
  if (i < to.end) {
    const __m512i a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(words(even, i)));
    const __m512i b = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(words(odd, i)));
    _mm512_store_si512(tile[0].value[pair], _mm512_or_epi32(a, _mm512_slli_epi32(b, 16)));
  }
}

// Puts a row's values, dims as the tiles have them, in order.
void in_value_order(const AttentionArgs& args, float* values) {
  const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i high =
      _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  for (int i = 0; i + kTileRows < args.head_dim; i += kTileSteps) {
    const __m512 a = _mm512_loadu_ps(values + i), b = _mm512_loadu_ps(values + i + kTileRows);
    _mm512_storeu_ps(values + i, _mm512_permutex2var_ps(a, low, b));
    _mm512_storeu_ps(values + i + kTileRows, _mm512_permutex2var_ps(a, high, b));
  }
}

// V of a step, 0 outside the range (p is 0 there, but memory may hold NaN).
void load_value_step(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                     int step, const ValueTiles& to) {
  const int t = step * kTileSteps;
  const uint16_t* head = bf16_row(args, block, args.first_value_head + block.kv_head, tokens.start + t);
  const auto row_of = [&](int r) {
    const bool seen = t + r >= tokens.begin && t + r < tokens.end;
    return seen ? head + int64_t{r} * args.head_dim : nullptr;
  };
  for (int r = 0; r < kTileSteps; r += 2) {
    load_value_pair(to, row_of(r), row_of(r + 1), r / 2);
  }
}

void load_value_tiles(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                      const TileScratch& work) {
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    load_value_step(args, block, tokens, step, {work.v + step, kTokenSteps, 0, args.head_dim});
  }
}

// Asks for a step's K or V ahead of its use.
void prefetch_step(const AttentionArgs& args, const AttentionBlock& block, int head, int token) {
  const auto* from = reinterpret_cast<const char*>(bf16_row(args, block, head, token));
  for (int64_t i = 0; i < int64_t{2} * kTileSteps * args.head_dim; i += 64) {
    _mm_prefetch(from + i, _MM_HINT_T0);
  }
}

// Tiles 0 to 3 = K q: 32 tokens of a step, 16 Tiles rows.
template <int Tiles>
[[gnu::always_inline]] inline void multiply_scores(const KeyTiles& keys, int step, const Bf16Tile* q,
                                                   int dim_steps) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int i = 0; i < dim_steps; ++i) {
    tile_load<4>(keys.tile[2 * step] + i * keys.step, keys.row_bytes);
    tile_load<5>(keys.tile[2 * step + 1] + i * keys.step, keys.row_bytes);
    tile_load<6>(q + i, 64);
    if constexpr (Tiles == 2) tile_load<7>(q + dim_steps + i, 64);
    tile_products_bf16<2, Tiles>();
  }
}

// Those go to scores [32][16 Tiles], rows `stride` apart.
template <int Tiles>
[[gnu::always_inline]] inline void store_scores(float* scores, int64_t stride) {
  const int64_t bytes = stride * static_cast<int64_t>(sizeof(float));
  tile_store<0>(scores, bytes);
  tile_store<2>(scores + kTileRows * stride, bytes);
  if constexpr (Tiles == 2) {
    tile_store<1>(scores + kTileRows, bytes);
    tile_store<3>(scores + kTileRows * stride + kTileRows, bytes);
  }
}

// values [16 Lefts rows, args.width apart][16 Rights dims] = p V over the steps.
template <int Lefts, int Rights>
void multiply_values(const TileScratch& work, const Bf16Tile* v, SplitTokens tokens, float* values,
                     int64_t width) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    tile_load<4>(work.p + step, 64);
    if constexpr (Lefts == 2) tile_load<5>(work.p + kTokenSteps + step, 64);
    tile_load<6>(v + step, 64);
    if constexpr (Rights == 2) tile_load<7>(v + kTokenSteps + step, 64);
    tile_products_bf16<Lefts, Rights>();
  }
  const int64_t bytes = width * static_cast<int64_t>(sizeof(float));
  tile_store<0>(values, bytes);
  if constexpr (Rights == 2) tile_store<1>(values + kTileRows, bytes);
  if constexpr (Lefts == 2) tile_store<2>(values + kTileRows * width, bytes);
  if constexpr (Lefts == 2 && Rights == 2) {
    tile_store<3>(values + kTileRows * width + kTileRows, bytes);
  }
}

// Values of up to 16 Tiles rows, of which `rows` are real.
template <int Tiles>
void attend_values(const AttentionArgs& args, SplitTokens tokens, const TileScratch& work, int rows,
                   float* values) {
  const int dim_tiles = tiles_of(args.head_dim, kTileRows);
  for (int tile = 0; tile < dim_tiles; tile += 2) {
    const auto multiply =
        tile + 1 < dim_tiles ? multiply_values<Tiles, 2> : multiply_values<Tiles, 1>;
    multiply(work, work.v + tile * kTokenSteps, tokens, values + tile * kTileRows, args.width);
  }
  for (int row = 0; row < rows; ++row) in_value_order(args, values + int64_t{row} * args.width);
}

// The same of one row tile, from V as it lies in the cache.
void attend_few_values(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                       const TileScratch& work, int rows, float* values) {
  const int64_t bytes = args.width * static_cast<int64_t>(sizeof(float));
  for (int dim = 0; dim < args.head_dim; dim += kFewDimTiles * kTileRows) {
    const int left = args.head_dim - dim;
    const int count = left < kFewDimTiles * kTileRows ? tiles_of(left, kTileRows) : kFewDimTiles;
    const ValueTiles v{work.v, 1, dim, dim + (left < count * kTileRows ? left : count * kTileRows)};
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
    for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
      load_value_step(args, block, tokens, step, v);
      tile_load<4>(work.p + step, 64);
      tile_load<6>(v.first, 64);
      tile_dot_bf16<0, 4, 6>();
      if (count > 1) tile_load<7>(v.first + 1, 64), tile_dot_bf16<1, 4, 7>();
      if (count > 2) tile_load<6>(v.first + 2, 64), tile_dot_bf16<2, 4, 6>();
      if (count > 3) tile_load<7>(v.first + 3, 64), tile_dot_bf16<3, 4, 7>();
    }
    float* out = values + dim;
    tile_store<0>(out, bytes);
    if (count > 1) tile_store<1>(out + kTileRows, bytes);
    if (count > 2) tile_store<2>(out + 2 * kTileRows, bytes);
    if (count > 3) tile_store<3>(out + 3 * kTileRows, bytes);
  }
  for (int row = 0; row < rows; ++row) in_value_order(args, values + int64_t{row} * args.width);
}

// Rows [row, row + 16 Tiles) of a block on their way through a split; the last of them may be absent.
template <int Tiles>
class SplitRows {
 public:
  SplitRows(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
            const TileScratch& work, int row)
      : args_(&args), work_(&work), tokens_(tokens), row_(row) {
    const int group = args.heads / args.kv_heads;
    rows_ = block.tokens * group - row;
    if (rows_ > Tiles * kTileRows) rows_ = Tiles * kTileRows;
    const int seen = first_position(args, block) + (row + rows_ - 1) / group + 1 - tokens.start;
    if (seen < tokens_.end) tokens_.end = seen > tokens_.begin ? seen : tokens_.begin + 1;
    for (int i = 0; i < Tiles; ++i) {
      lanes_[i] = row_lanes(args, block, row + i * kTileRows);
      top_[i] = lowest_scores();
      sum_[i] = _mm512_setzero_ps();
    }
  }

  int first_step() const { return tokens_.first_step(); }
  int last_step() const { return tokens_.last_step(); }

  // The scores of a step, in tiles 0 to 3.
  [[gnu::always_inline]] void multiply(const KeyTiles& keys, int step) const {
    const int dim_steps = tiles_of(args_->head_dim, kTileSteps);
    multiply_scores<Tiles>(keys, step, work_->q + row_ / kTileRows * dim_steps, dim_steps);
  }
  // Puts them in their place; those of the step before are shaped.
  [[gnu::always_inline]] void store(int step) {
    store_scores<Tiles>(scores(step), kPairRows);
    if (step > first_step()) shape(step - 1);
    if (step < last_step()) return;
    shape(step);
    for (int i = 0; i < Tiles; ++i) exponent_[i] = exponent_of(top_[i]);
  }
  // Turns the scores of a step into p; their place is free then.
  [[gnu::always_inline]] void exponentiate(int step) {
    for (int i = 0; i < Tiles; ++i) {
      sum_[i] = exponential_step(scores(step) + i * kTileRows, exponent_[i], sum_[i],
                                 work_->p[i * kTokenSteps + step]);
    }
  }
  void finish(const SoftmaxState& state) const {
    for (int i = 0; i < Tiles; ++i) {
      _mm512_storeu_ps(state.max + row_ + i * kTileRows, top_[i]);
      _mm512_storeu_ps(state.sum + row_ + i * kTileRows, sum_[i]);
    }
    attend_values<Tiles>(*args_, tokens_, *work_, rows_, state.values + int64_t{row_} * args_->width);
  }

 private:
  float* scores(int step) const { return work_->scores + step * kTileSteps * kPairRows; }
  void shape(int step) {
    for (int i = 0; i < Tiles; ++i) {
      top_[i] = shape_scores(*args_, lanes_[i], tokens_.start + step * kTileSteps,
                             scores(step) + i * kTileRows, top_[i]);
    }
  }

  const AttentionArgs* args_;
  const TileScratch* work_;
  SplitTokens tokens_;  // up to the last that one of the rows sees
  int row_, rows_;
  RowLanes lanes_[Tiles];
  __m512 top_[Tiles], exponent_[Tiles], sum_[Tiles];
};

// The rest of `rows`, whose scores are there, beside the scores of the rows that follow and see as many
// steps or more: the tile unit is at these while the exponentials are taken.
template <int Tiles, class Next>
void finish_beside(SplitRows<Tiles>& rows, const KeyTiles& keys, Next& next, const SoftmaxState& state) {
  for (int step = rows.first_step(); step <= next.last_step(); ++step) {
    next.multiply(keys, step);
    if (step <= rows.last_step()) rows.exponentiate(step);
    next.store(step);
  }
  rows.finish(state);
}

template <int Tiles>
void finish_last(SplitRows<Tiles>& rows, const SoftmaxState& state) {
  for (int step = rows.first_step(); step <= rows.last_step(); ++step) rows.exponentiate(step);
  rows.finish(state);
}

// A block's rows, 32 at a time and 16 of a rest that has no more.
void attend_many_rows(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                      const KeyTiles& keys, const TileScratch& work, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  const auto rows_from = [&]<int Tiles>(int row) {
    return SplitRows<Tiles>(args, block, tokens, work, row);
  };
  const auto score = [&](auto& first) {
    for (int step = first.first_step(); step <= first.last_step(); ++step) {
      first.multiply(keys, step);
      first.store(step);
    }
  };
  if (rows <= kTileRows) {
    auto only = rows_from.template operator()<1>(0);
    score(only);
    return finish_last(only, state);
  }
  auto pair = rows_from.template operator()<2>(0);
  score(pair);
  int row = kPairRows;
  for (; row + kTileRows < rows; row += kPairRows) {
    auto next = rows_from.template operator()<2>(row);
    finish_beside(pair, keys, next, state);
    pair = next;
  }
  if (row >= rows) return finish_last(pair, state);
  auto last = rows_from.template operator()<1>(row);
  finish_beside(pair, keys, last, state);
  finish_last(last, state);
}

// A block of at most kFewRows rows.
void attend_few_rows(const AttentionArgs& args, const AttentionBlock& block, SplitTokens tokens,
                     const TileScratch& work, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  const int dim_steps = tiles_of(args.head_dim, kTileSteps);
  const int value_head = args.first_value_head + block.kv_head;
  const auto prefetch = [&](int head, int step) {
    if (step > tokens.last_step()) return;
    prefetch_step(args, block, head, tokens.start + step * kTileSteps);
  };
  prefetch(block.kv_head, tokens.first_step());
  prefetch(value_head, tokens.first_step());
  prefetch(block.kv_head, tokens.first_step() + 1);
  load_query_tiles(args, block, work);
  const KeyTiles keys = load_key_tiles(args, block, tokens, work);
  {
    const TileScope tiles(kTileRows);
    for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
      prefetch(value_head, step + 1);
      prefetch(block.kv_head, step + 2);
      multiply_scores<1>(keys, step, work.q, dim_steps);
      store_scores<1>(work.scores + step * kTileSteps * kTileRows, kTileRows);
    }
  }
  turn_scores(work.scores, rows, tokens, work.turned);
  for (int row = 0; row < rows; ++row) {
    float* scores = work.turned + row * kSplitTokens;
    state.max[row] = shape_row(args, row_view(args, block, row), tokens, scores);
    state.sum[row] = row_exponentials(scores, state.max[row], tokens, work.p, row);
  }
  const TileScope tiles(rows);
  attend_few_values(args, block, tokens, work, rows, state.values);
}

void attend_split_amx(const AttentionArgs& args, const AttentionBlock& block, int split,
                      std::byte* scratch, const SoftmaxState& state) {
  const int rows = block.tokens * (args.heads / args.kv_heads);
  const SplitTokens tokens = split_tokens(args, block, split);
  const TileScratch work(args, rows, scratch);
  if (rows <= kFewRows) return attend_few_rows(args, block, tokens, work, state);
  load_query_tiles(args, block, work);
  const KeyTiles keys = load_key_tiles(args, block, tokens, work);
  load_value_tiles(args, block, tokens, work);
  const TileScope tiles(kTileRows);
  attend_many_rows(args, block, tokens, keys, work, state);
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
