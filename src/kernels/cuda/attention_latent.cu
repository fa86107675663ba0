// Attention over a latent cache (kernels/latent_input.h) of DeepSeek's shape: one head of 576
// columns a token, the first 512 of which are its values too. 16 query heads, or as many rows of
// several queries, share a reading of the context.
//
// The work is dealt out as in attention_decode.cuh, but a unit of 64 tokens is a block's, not cut
// among its warps: each warp scores 16 tokens, all warps exchange the scores, and each adds up its
// 128 columns of the values. The parts of a segment that several blocks share are summed by a second
// kernel: they are 16 rows of 512 columns, which one block would read for longer than a block
// attends, and so contexts can be cut down to single units.
#include "kernels/cuda/attention_decode.cuh"

namespace lmdeploy::cuda {

namespace decode {

namespace {

constexpr int kWarps = 4, kThreads = kWarps * 32;
constexpr int kTileTokens = kUnitTokens<kWarps>;
constexpr int kKeyColumns = kMaxLatentHeadDim, kValueColumns = kLatentColumns;
using TileCursor = Cursor<kWarps>;
constexpr int kColumnsOfWarp = kValueColumns / kWarps;
constexpr int kTileBytes = kTileTokens * kKeyColumns * 2;
constexpr int kQueryBytes = kRows * kKeyColumns * 2;
constexpr int kStages = 2;
constexpr int kChunks = kKeyColumns / 8;  // of 16 bytes, of a token or a query

using LatentPart = Part<kValueColumns>;

struct LatentShared {
  float scores[kRows][kTileTokens + 4];
  ShareOfBlock share;
};

// A segment whose parts begin in a block, for the kernel that sums them; rows is 0 where none does.
struct CutSegment {
  int sequence;
  int first_row, rows;
  int last_block;
};

// What the kernels share, in args.partial: two parts a block, then a cut segment a block.
struct LatentScratch {
  LatentPart* parts;
  CutSegment* cuts;

  __device__ explicit LatentScratch(const AttentionLaunch& args)
      : parts(reinterpret_cast<LatentPart*>(args.partial)),
        cuts(reinterpret_cast<CutSegment*>(parts + 2 * args.multiprocessors)) {}
};

// The block's tiles of consecutive units, two of which are under way.
template <class T>
class TilePipeline {
 public:
  __device__ TilePipeline(const AttentionLaunch& args, const TileCursor& first, int cost,
                          uint32_t memory)
      : args_(args), ahead_(first), left_(cost - first.cost_before()), memory_(memory) {}

  // Starts the first copies, those of this step's tokens after the kernel before has finished; that
  // it has finished is so in any case afterwards.
  __device__ void fill() {
    bool waited = false;
    for (int s = 0; s < kStages; ++s) {
      if (!waited && left_ > 0 && !ahead_.is_settled(kWarps - 1)) {
        wait_for_previous();
        waited = true;
      }
      copy_next();
    }
    if (!waited) wait_for_previous();
  }
  // The oldest tile's address, once it is there for all threads.
  __device__ uint32_t take() const {
    wait_copies<kStages - 1>();
    __syncthreads();
    return memory_ + static_cast<uint32_t>(current_ * kTileBytes);
  }
  // All threads have used the oldest tile: another comes in its place.
  __device__ void give_back() {
    __syncthreads();
    copy_next();
  }

 private:
  __device__ void copy_next() {
    if (left_ > 0) {
      copy_tile(memory_ + static_cast<uint32_t>(current_ * kTileBytes));
      if (--left_ > 0) {
        ahead_.next(args_);
        left_ -= ahead_.cost_before();
      }
    }
    commit_copies();
    current_ = (current_ + 1) % kStages;
  }
  __device__ void copy_tile(uint32_t to) const {
    const int first = ahead_.token(0), kv_len = ahead_.work.place.kv_len;
    const T* keys = key_row<T>(args_, ahead_.work.place.sequence, 0, first);
    // Pages of 32 tokens: the unit's second half is elsewhere.
    const bool halves = args_.block_shift == 5;
    const T* second = halves && first + 32 < kv_len
                          ? key_row<T>(args_, ahead_.work.place.sequence, 0, first + 32)
                          : keys;
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < kTileTokens * kChunks; i += kThreads) {
      const int token = i / kChunks, chunk = i % kChunks;
      const bool read = first + token < kv_len;
      const T* from =
          halves && token >= 32 ? second + (token - 32) * kKeyColumns : keys + token * kKeyColumns;
      copy_async(to + tile_offset<kKeyColumns>(token, chunk), read ? from + chunk * 8 : keys, read);
    }
  }

  const AttentionLaunch& args_;
  TileCursor ahead_;
  int left_;
  uint32_t memory_;
  int current_ = 0;  // stage of the oldest tile, or to fill
};

// 16 rows, of whose values the warp has its columns. A lane holds rows lane / 4 and lane / 4 + 8.
template <class T>
struct LatentRows {
  RowPlace row[2];
  float out[kColumnsOfWarp / 8][4];
  float max[2], sum[2];

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }

  // Nothing attended yet; the queries come to `q_tile`.
  __device__ void start(const AttentionLaunch& args, const TileCursor& at, char* q_tile) {
    for (int i = 0; i < 2; ++i) {
      row[i] = RowPlace(args, at.work.place, 0, at.first_row() + lane() / 4 + 8 * i);
      max[i] = -INFINITY;
      sum[i] = 0;
    }
    for (auto& columns : out) {
      for (float& value : columns) value = 0;
    }
    __syncthreads();  // the former queries have been read
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kChunks; i += kThreads) {
      const int r = i / kChunks, chunk = i % kChunks;
      const RowPlace place(args, at.work.place, 0, at.first_row() + r);
      uint4 values{};
      if (place.valid) {
        values = *reinterpret_cast<const uint4*>(static_cast<const T*>(args.q) +
                                                 place.token * args.q_stride +
                                                 place.head * kKeyColumns + chunk * 8);
      }
      *reinterpret_cast<uint4*>(q_tile + tile_offset<kKeyColumns>(r, chunk)) = values;
    }
  }

  // Scores of the warp's 16 tokens of the tile, the first of which is `token`.
  __device__ void score(const ScoreRule& rule, uint32_t q_tile, uint32_t k_tile, int token,
                        LatentShared& shared) const {
    float s[2][2][4] = {};  // of even and odd steps: half as long chains of sums
    const int key = warp() * kSliceTokens + lane() % 8 + lane() / 16 * 8, half = lane() / 8 % 2;
#pragma unroll 4
    for (int k = 0; k < kKeyColumns / 16; ++k) {
      uint32_t a[4], b[4];
      load_matrices(a, q_tile + tile_offset<kKeyColumns>(lane() % 16, 2 * k + lane() / 16));
      load_matrices(b, k_tile + tile_offset<kKeyColumns>(key, 2 * k + half));
      multiply_add<T>(s[k % 2][0], a, b[0], b[1]);
      multiply_add<T>(s[k % 2][1], a, b[2], b[3]);
    }
    for (int n = 0; n < 2; ++n) {
      for (int c = 0; c < 4; ++c) {
        const int column = 8 * n + lane() % 4 * 2 + c % 2;
        const float x = rule(s[0][n][c] + s[1][n][c]);
        const RowPlace& place = row[c / 2];
        const bool seen = token + column <= place.position && token + column >= place.first;
        shared.scores[lane() / 4 + c / 2 * 8][warp() * kSliceTokens + column] =
            seen ? x : -INFINITY;
      }
    }
  }

  // Adds the tile's values by all warps' scores.
  __device__ void add(const LatentShared& shared, uint32_t tile) {
    float s[kTileTokens / 8][4];
    for (int n = 0; n < kTileTokens / 8; ++n) {
      for (int c = 0; c < 4; ++c) {
        s[n][c] = shared.scores[lane() / 4 + c / 2 * 8][8 * n + lane() % 4 * 2 + c % 2];
      }
    }
    weigh_scores(s, max, sum, out);
    const int token = lane() % 16, chunk = warp() * (kColumnsOfWarp / 8) + lane() / 16;
#pragma unroll
    for (int t = 0; t < kTileTokens / 16; ++t) {
      const uint32_t a[4] = {
          pack_pair<T>(s[2 * t][0], s[2 * t][1]), pack_pair<T>(s[2 * t][2], s[2 * t][3]),
          pack_pair<T>(s[2 * t + 1][0], s[2 * t + 1][1]),
          pack_pair<T>(s[2 * t + 1][2], s[2 * t + 1][3])};
#pragma unroll
      for (int n = 0; n < kColumnsOfWarp / 16; ++n) {
        uint32_t b[4];
        load_matrices_transposed(b, tile + tile_offset<kKeyColumns>(16 * t + token, chunk + 2 * n));
        multiply_add<T>(out[2 * n], a, b[0], b[1]);
        multiply_add<T>(out[2 * n + 1], a, b[2], b[3]);
      }
    }
  }

  // The sum of a row over its lanes.
  __device__ float whole_sum(int i) const {
    float x = sum[i];
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
  }

  // store(row of the tile, column, two values of row i of the lane) for all of the lane's values.
  template <class Store>
  __device__ void each_pair(int row_count, Store&& store) const {
    for (int i = 0; i < 2; ++i) {
      const int r = lane() / 4 + 8 * i;
      if (r >= row_count) continue;
      for (int n = 0; n < kColumnsOfWarp / 8; ++n) {
        store(r, i, warp() * kColumnsOfWarp + 8 * n + lane() % 4 * 2,
              make_float2(out[n][2 * i], out[n][2 * i + 1]));
      }
    }
  }
};

// Stores the segment's rows, or leaves the block's part of them for the summing kernel.
template <class T>
__device__ void finish_latent(const AttentionLaunch& args, const Deal& deal, const TileCursor& at,
                              int begin, int end, bool whole, const LatentRows<T>& rows) {
  const int block = static_cast<int>(blockIdx.x);
  const int row_count = min(kRows, at.work.place.queries * args.group - at.first_row());
  const float sums[2] = {rows.whole_sum(0), rows.whole_sum(1)};
  if (whole) {
    rows.each_pair(row_count, [&](int, int i, int column, float2 values) {
      const float scale = normalization(rows.max[i], sums[i], nullptr);
      T* to = static_cast<T*>(args.out) + rows.row[i].token * args.out_stride +
              rows.row[i].head * args.head_dim + column;
      *reinterpret_cast<uint32_t*>(to) = pack_pair<T>(values.x * scale, values.y * scale);
    });
    return;
  }
  const LatentScratch scratch(args);
  const int first = deal.first_share(begin, end);
  LatentPart& part = scratch.parts[2 * block + (block == first ? 1 : 0)];
  if (LatentRows<T>::warp() == 0 && LatentRows<T>::lane() % 4 == 0) {
    for (int i = 0; i < 2; ++i) {
      part.max[LatentRows<T>::lane() / 4 + 8 * i] = rows.max[i];
      part.sum[LatentRows<T>::lane() / 4 + 8 * i] = sums[i];
    }
  }
  rows.each_pair(row_count, [&](int r, int, int column, float2 values) {
    *reinterpret_cast<float2*>(&part.values[r][column]) = values;
  });
  if (block == first && threadIdx.x == 0) {
    scratch.cuts[block] = {at.work.place.sequence, at.first_row(), row_count,
                           deal.last_share(begin, end)};
  }
}

// After the kernel before has finished; thread 0 may then write another there.
__device__ void clear_cut(const AttentionLaunch& args) {
  if (threadIdx.x == 0) LatentScratch(args).cuts[blockIdx.x].rows = 0;
}

template <class T>
__device__ void attend_latent_share(const AttentionLaunch& args, const Deal& deal, char* memory,
                                    LatentShared& shared) {
  const int first = shared.share.begin, end = shared.share.end;
  char* q_tile = memory + kStages * kTileBytes;
  TileCursor at(args, shared.share.sequence, shared.share.offset);
  TilePipeline<T> tiles(args, at, end - first, shared_address(memory));
  tiles.fill();
  allow_next();
  clear_cut(args);
  const ScoreRule rule(args);
  LatentRows<T> rows;
  bool starts = false;  // the segment, in this block
  bool is_first = true;
  for (int place = first + at.cost_before();; ++place) {
    if (is_first || at.block == 0) {
      rows.start(args, at, q_tile);
      starts = at.block == 0;
    }
    is_first = false;
    const uint32_t tile = tiles.take();
    rows.score(rule, shared_address(q_tile), tile, at.token(LatentRows<T>::warp()), shared);
    __syncthreads();
    rows.add(shared, tile);
    tiles.give_back();
    const bool ends = at.block + 1 == at.work.blocks, is_last = place + 1 >= end;
    if (ends || is_last) {
      const int begin = place - at.block - kSegmentCost;
      finish_latent(args, deal, at, begin, begin + at.work.segment_cost(), starts && ends, rows);
    }
    if (is_last) break;
    at.next(args);
    place += at.cost_before();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    attention_latent_kernel(const __grid_constant__ AttentionLaunch args) {
  extern __shared__ __align__(128) char memory[];
  LatentShared& shared =
      *reinterpret_cast<LatentShared*>(memory + kStages * kTileBytes + kQueryBytes);
  const Deal dealt = deal<kWarps>(args, kCutFreely, shared.share);
  if (blockIdx.x < dealt.shares && shared.share.begin < shared.share.end) {
    attend_latent_share<T>(args, dealt, memory, shared);
  } else {
    wait_for_previous();
    allow_next();
    clear_cut(args);
  }
  clear_rows<T>(args);
}

// A block has row blockIdx.y of the segment whose first part is the attending block blockIdx.x's.
// Its threads have four columns each of a share of the parts: two shares are faster than one from
// 64 parts on, and than four with two parts, where most blocks have no segment.
constexpr int kThreadsOfRow = kValueColumns / 4, kPartShares = 2;

template <class T>
__global__ void __launch_bounds__(kPartShares* kThreadsOfRow)
    sum_latent_parts_kernel(const __grid_constant__ AttentionLaunch args) {
  constexpr int kAtOnce = 8;
  __shared__ RowSum sums[kPartShares];
  __shared__ float4 totals[kPartShares][kThreadsOfRow];
  allow_next();
  wait_for_previous();
  const LatentScratch scratch(args);
  const int first = static_cast<int>(blockIdx.x), row = static_cast<int>(blockIdx.y);
  const CutSegment cut = scratch.cuts[first];
  if (row >= cut.rows) return;
  const RowPlace place(args, place_of(args, cut.sequence), 0, cut.first_row + row);
  const int thread = static_cast<int>(threadIdx.x) % kThreadsOfRow;
  const int share = static_cast<int>(threadIdx.x) / kThreadsOfRow;
  const int each = (cut.last_block - first) / kPartShares + 1, begin = first + share * each;
  const int end = min(begin + each - 1, cut.last_block);
  float4 total;
  const RowSum sum =
      sum_of_parts<kAtOnce>(scratch.parts, first, begin, end, row, 4 * thread, total);
  sums[share] = sum;  // all threads of the share write the same
  totals[share][thread] = total;
  __syncthreads();
  if (share > 0) return;
  RowSum whole{-INFINITY, 0};
  for (const RowSum& of : sums) whole.max = fmaxf(whole.max, of.max);
  total = {};
  for (int s = 0; s < kPartShares; ++s) {
    const float weight = weight_of(sums[s].max, whole.max);
    const float4 x = totals[s][thread];
    whole.sum += weight * sums[s].sum;
    total = {total.x + weight * x.x, total.y + weight * x.y, total.z + weight * x.z,
             total.w + weight * x.w};
  }
  OutputRow<T>(args, place, whole).store(4 * thread, total);
}

template <class T>
cudaError_t launch_latent(const AttentionLaunch& args, cudaStream_t stream) {
  const auto kernel = attention_latent_kernel<T>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kLatentSharedBytes);
  if (error != cudaSuccess) return error;
  static_assert(kStages * kTileBytes + kQueryBytes + sizeof(LatentShared) <= kLatentSharedBytes);
  const auto blocks = static_cast<unsigned>(args.multiprocessors);
  if (const cudaError_t failed = launch(kernel, dim3(blocks), dim3(kThreads), kLatentSharedBytes,
                                        stream, true, args);
      failed != cudaSuccess) {
    return failed;
  }
  return launch(sum_latent_parts_kernel<T>, dim3(blocks, kRows),
                dim3(kPartShares * kThreadsOfRow), 0, stream, true, args);
}

}  // namespace

}  // namespace decode

cudaError_t launch_attention_latent(DType dtype, const AttentionLaunch& args, cudaStream_t stream) {
  return dtype == DType::kF16 ? decode::launch_latent<__half>(args, stream)
                              : decode::launch_latent<__nv_bfloat16>(args, stream);
}

}  // namespace lmdeploy::cuda
