// The Hopper product: a warp streams tiles of the weights and of x through shared memory with bulk
// tensor copies, two warpgroups multiply them with wgmma. The weights are wgmma's first operand, so
// that a tile is as narrow as the number of rows of x: with few rows the kernel reads the weights
// once at the speed of memory, with many it is a GEMM.
//
// - Blocks stay for all their tiles; the copies run ahead over the ends of tiles.
// - The first stages of weights are asked for before the kernel waits for its predecessor.
// - A cluster either shares each tile along k (split; the parts are added in one order through
//   distributed shared memory) or has neighbouring weight rows and reads x once (multicast).
// - A gated product's tile is rows of Wg and the same rows of Wu: the activation needs no kernel of
//   its own.
// - Which tiles there are, the template parameter Tiles says (gemm_tiles_sm90.cuh).
#pragma once

#include <algorithm>

#include "kernels/cuda/gemm_barrier_sm90.cuh"
#include "kernels/cuda/gemm_epilogue.cuh"
#include "kernels/cuda/gemm_tiles_sm90.cuh"
#include "kernels/cuda/gemm_wgmma_sm90.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda {

inline constexpr int kGroupThreads = 128;  // of a warpgroup

// Shared memory of a block. Stages: weights [kTileN, 64], x [kTileT, 64].
template <int kTileN, int kTileT, int kStageCount>
struct GemmLayout {
  static constexpr int kStages = kStageCount;
  static constexpr int kGroups = kTileN == 64 ? 1 : 2;  // warpgroups that multiply
  static constexpr int kWarps = kGroups * 4;
  static constexpr bool kSplits = kTileN == kWarps * 16;
  static constexpr int kRowBytes = kGemmSm90BlockK * 2;
  static constexpr int kWeightBytes = kTileN * kRowBytes;
  static constexpr int kStageBytes = kWeightBytes + kTileT * kRowBytes;
  // Whole sums go out through shared memory, kChunk rows of x and 64 weight rows of a warpgroup at
  // a time.
  static constexpr int kChunk = kTileT < 16 ? kTileT : kTileT <= 64 ? 16 : 32;
  static constexpr int kChunkStride = 68;  // floats: accesses of a warp meet every bank once
  static constexpr int kChunkBytes = kChunk * kChunkStride * 4;
  // Parts of sums are exchanged kRound rows of x at a time.
  static constexpr int kRound = std::min(kTileT, kTileN == 64 ? 64 : 32);
  static constexpr int kRoundBytes = kRound * kTileN * 4;
  static constexpr int kSumsAt = kStages * kStageBytes;
  static constexpr int kSumBytes = std::max(kGroups * kChunkBytes, kSplits ? kRoundBytes : 0);
  static constexpr int kBarriersAt = kSumsAt + kSumBytes;
  static constexpr int kBytes = kBarriersAt + (2 * kStages + 2) * 8;
  // Large tiles take the registers of a whole loading warpgroup.
  static constexpr bool kMovesRegisters = kTileN * kTileT > 128 * 128;
  static constexpr int kThreads = kGroups * kGroupThreads + (kMovesRegisters ? kGroupThreads : 32);

  // A stage's operands have arrived.
  static __device__ uint32_t full(uint32_t base, int stage) {
    return base + kBarriersAt + stage * 8;
  }
  // A stage has been multiplied.
  static __device__ uint32_t empty(uint32_t base, int stage) { return full(base, kStages + stage); }
  // The round's parts from all blocks of the cluster have arrived here.
  static __device__ uint32_t arrived(uint32_t base) { return full(base, 2 * kStages); }
  // All blocks have added the parts up that this one sent.
  static __device__ uint32_t added(uint32_t base) { return full(base, 2 * kStages + 1); }
};

// The tiles of a block, one after the other.
struct GemmWork {
  int rank;         // of the block in its cluster
  int first, step;  // units of work of the cluster; a unit is a tile or `multicast` of them
  int k_begin, k_end;

  __device__ explicit GemmWork(const GemmSm90Launch& gemm) {
    const int cluster_shift = gemm.split_shift + gemm.multicast_shift;
    rank = cluster_shift > 0 ? cluster_rank() : 0;
    first = static_cast<int>(blockIdx.x) >> cluster_shift;
    step = gemm.clusters;
    const int part = gemm.split_shift > 0 ? rank : 0;
    k_begin = (part * gemm.k_blocks) >> gemm.split_shift;
    k_end = ((part + 1) * gemm.k_blocks) >> gemm.split_shift;
  }
};

// Issues the copies: stage after stage, tile after tile.
template <class Layout, int kTileN, int kTileT, class Tiles>
class GemmLoader {
 public:
  __device__ GemmLoader(const GemmSm90Launch& gemm, const GemmWork& work, uint32_t base)
      : gemm_(gemm), work_(work), base_(base) {
    x_policy_ = policy_evict_normal();
    weight_policy_ = gemm.t_tiles > 1 ? x_policy_ : policy_evict_first();
  }

  // The weights of the first stages; they depend on no earlier kernel.
  __device__ void begin() {
    if constexpr (Tiles::kKnownAhead) {
      const int count = Tiles::count(gemm_);
      Cursor at(gemm_, work_, count);
      for (; ahead_ < Layout::kStages && at.unit < count; ++ahead_, at.next(gemm_, work_, count)) {
        barrier_expect(Layout::full(base_, ahead_), Layout::kStageBytes);
        load_weights(ahead_, at);
      }
    } else {
      prefetch_map(&gemm_.weights);
    }
    prefetch_map(&gemm_.x);
  }

  // Everything else. The next kernel's copies should come right behind the last ones of this.
  __device__ void run() {
    const int count = Tiles::count(gemm_);
    const int units = (count - work_.first + work_.step - 1) / work_.step;
    int left = units * (work_.k_end - work_.k_begin) - ahead_;
    if (left <= gemm_.next_at) allow_next();
    Cursor at(gemm_, work_, count);
    for (int stage = 0; stage < ahead_; ++stage, at.next(gemm_, work_, count)) load_x(stage, at);
    int stage = 0;
    uint32_t parity = Tiles::kKnownAhead ? 0 : 1;  // stages that begin() left are empty
    for (; left > 0; at.next(gemm_, work_, count)) {
      barrier_wait(Layout::empty(base_, stage), parity);
      barrier_expect(Layout::full(base_, stage), Layout::kStageBytes);
      load_weights(stage, at);
      load_x(stage, at);
      if (++stage == Layout::kStages) stage = 0, parity ^= 1;
      if (--left == gemm_.next_at) allow_next();
    }
  }

 private:
  // One thread issues all copies: there is time for few instructions a stage.
  struct Cursor {
    int unit, k_block;
    decltype(Tiles::corner(GemmSm90Launch(), 0, 0)) corner;
    __device__ Cursor(const GemmSm90Launch& gemm, const GemmWork& work, int count)
        : unit(work.first), k_block(work.k_begin) {
      if (unit < count) corner = Tiles::corner(gemm, unit, work.rank);
    }
    __device__ void next(const GemmSm90Launch& gemm, const GemmWork& work, int count) {
      if (++k_block < work.k_end) return;
      k_block = work.k_begin;
      unit += work.step;
      if (unit < count) corner = Tiles::corner(gemm, unit, work.rank);
    }
  };

  __device__ void load_weights(int stage, const Cursor& at) {
    const uint32_t to = base_ + stage * Layout::kStageBytes, full = Layout::full(base_, stage);
    const int column = at.k_block * kGemmSm90BlockK, row = at.corner.weight_row(gemm_);
    copy_box(to, &gemm_.weights, column, row, full, weight_policy_);
    if (gemm_.gate.on) {
      copy_box(to + Layout::kWeightBytes / 2, &gemm_.weights, column, gemm_.output.n + row, full,
               weight_policy_);
    }
  }
  __device__ void load_x(int stage, const Cursor& at) {
    const uint32_t to = base_ + stage * Layout::kStageBytes + Layout::kWeightBytes;
    const uint32_t full = Layout::full(base_, stage);
    const int column = at.corner.x_column(gemm_) + at.k_block * kGemmSm90BlockK;
    if (gemm_.multicast_shift == 0) {
      copy_box(to, &gemm_.x, column, at.corner.t, full, x_policy_);
    } else {
      const int blocks = 1 << gemm_.multicast_shift, rows = kTileT >> gemm_.multicast_shift;
      copy_box_to_cluster(to + work_.rank * rows * Layout::kRowBytes, &gemm_.x, column,
                          at.corner.t + work_.rank * rows, full,
                          static_cast<uint16_t>((1 << blocks) - 1), x_policy_);
    }
  }

  const GemmSm90Launch& gemm_;
  const GemmWork& work_;
  uint32_t base_;
  uint64_t weight_policy_, x_policy_;
  int ahead_ = 0;  // stages that begin() filled
};

// A warpgroup that multiplies: weight rows [group * kRows, + kRows) of a tile.
template <class T, class Layout, int kTileN, int kTileT, class Tiles>
class GemmMultiplier {
 public:
  __device__ GemmMultiplier(const GemmSm90Launch& gemm, const GemmWork& work, uint32_t base,
                            char* shared)
      : gemm_(gemm),
        work_(work),
        base_(base),
        group_(threadIdx.x / kGroupThreads),
        thread_(threadIdx.x % kGroupThreads),
        shared_sums_(shared + Layout::kSumsAt) {}

  __device__ void run() {
    const int count = Tiles::count(gemm_);
    for (int unit = work_.first; unit < count; unit += work_.step) {
      multiply();
      const auto corner = Tiles::corner(gemm_, unit, work_.rank);
      if (Tiles::kSplits && Layout::kSplits && gemm_.split_shift > 0) {
        const bool last = unit + work_.step >= count;
        add_parts(corner.n, corner.t, last);
      } else {
        store_whole(corner);
      }
    }
  }

 private:
  static constexpr int kRows = kTileN / Layout::kGroups;
  static constexpr int kMmas = kRows / 64;

  __device__ void multiply() {
#pragma unroll
    for (int m = 0; m < kMmas; ++m) pin_sums(sums_[m]);
    int former = -1;
    for (int k = work_.k_begin; k < work_.k_end; ++k) {
      barrier_wait(Layout::full(base_, stage_), parity_);
      const uint32_t weights =
          base_ + stage_ * Layout::kStageBytes + group_ * kRows * Layout::kRowBytes;
      const uint32_t x = base_ + stage_ * Layout::kStageBytes + Layout::kWeightBytes;
      wgmma_begin();
#pragma unroll
      for (int step = 0; step < kGemmSm90BlockK / 16; ++step) {
#pragma unroll
        for (int m = 0; m < kMmas; ++m) {
          wgmma<T, kTileT>(sums_[m], wgmma_operand(weights + m * 64 * Layout::kRowBytes) + 2 * step,
                           wgmma_operand(x) + 2 * step, k > work_.k_begin || step > 0);
        }
      }
      wgmma_commit();
      if (former >= 0) {
        wgmma_wait<1>();
        release(former);
      }
      former = stage_;
      if (++stage_ == Layout::kStages) stage_ = 0, parity_ ^= 1;
    }
    wgmma_wait<0>();
#pragma unroll
    for (int m = 0; m < kMmas; ++m) pin_sums(sums_[m]);
    release(former);
  }

  // Every block that copies into this stage may do so again.
  __device__ void release(int stage) {
    const int lane = threadIdx.x % 32;
    if (gemm_.multicast_shift == 0) {
      if (lane == 0) barrier_arrive(Layout::empty(base_, stage));
    } else if (lane < 1 << gemm_.multicast_shift) {
      barrier_arrive_in_cluster(shared_address_in(Layout::empty(base_, stage), lane));
    }
  }

  // Chunk after chunk: wgmma's fragments as chunk[t][n] in shared memory, then whole vectors of it.
  // With a gate the warpgroups work together: sums of Wg and of Wu meet there.
  template <class Corner>
  __device__ void store_whole(const Corner& corner) {
    constexpr int kChunks = kTileT / Layout::kChunk;
    const auto& output = corner.output(gemm_);
    const float* bias = corner.gate_bias(gemm_);
    const bool gated = gemm_.gate.on;
    const int barrier = gated ? 1 : 1 + group_;
    const int threads = gated ? Layout::kGroups * kGroupThreads : kGroupThreads;
    float* chunk = reinterpret_cast<float*>(shared_sums_ + group_ * Layout::kChunkBytes);
#pragma unroll 1
    for (int c = 0; c < kMmas * kChunks; ++c) {
      const int t = corner.t + c % kChunks * Layout::kChunk;
      if (t >= output.rows) continue;
      sync_group(barrier, threads);  // the former chunk has been read
#pragma unroll
      for (int same = 0; same < kMmas * kChunks; ++same) {  // registers have no run-time index
        if (same == c)
          write_chunk(&sums_[same / kChunks][same % kChunks * Layout::kChunk / 2], chunk);
      }
      sync_group(barrier, threads);
      const int n = corner.n + c / kChunks * 64;
      if (gated) {
        store_gated_chunk(output, bias, t, n);
      } else {
        store_chunk(output, chunk, t, n + group_ * kRows);
      }
    }
  }

  __device__ void store_chunk(const GemmOutput& output, const float* chunk, int t, int n) {
#pragma unroll 1
    for (int i = thread_; i < Layout::kChunk * 8; i += kGroupThreads) {
      store_eight_sums<T>(output, t + i / 8, n + i % 8 * 8,
                          chunk + i / 8 * Layout::kChunkStride + i % 8 * 8);
    }
  }

  // Wg's sums are the first warpgroup's chunk and Wu's the second's; or one's first and last 32.
  __device__ void store_gated_chunk(const GemmOutput& output, const float* bias, int t, int n) {
    constexpr int kEights = 32 / 8 * Layout::kGroups;
    constexpr int kUpAt = Layout::kGroups == 1 ? 32 : Layout::kChunkBytes / 4;
    float* chunk = reinterpret_cast<float*>(shared_sums_);
#pragma unroll 1
    for (int i = threadIdx.x; i < Layout::kChunk * kEights; i += Layout::kGroups * kGroupThreads) {
      const int row = i / kEights, column = i % kEights * 8;
      if (t + row >= output.rows) return;
      float* gates = chunk + row * Layout::kChunkStride + column;
      if (bias != nullptr) add_gate_bias(bias, n + column, output.n, gates, gates + kUpAt);
      gate_eight(gates, gates + kUpAt, gemm_.gate.activation);
      store_eight_sums<T>(output, t + row, n + column, gates);
    }
  }

  __device__ void write_chunk(const float* sums, float* chunk) {
    const int row = thread_ / 32 * 16 + thread_ % 32 / 4, column = thread_ % 4 * 2;
#pragma unroll
    for (int j = 0; j < Layout::kChunk / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        chunk[(j * 8 + column + i % 2) * Layout::kChunkStride + row + i / 2 * 8] = sums[j * 4 + i];
      }
    }
  }

  // Each block owns kTileN / split weight rows of the tile: every warp sends its sums of 16 rows to
  // their owner, who adds the parts in the order of k. In shared memory of the owner a part's
  // fragments lie as [part][16 rows][8 rows of x][lane] of 4 sums.
  __device__ void add_parts(int tile_n, int tile_t, bool last_unit) {
#pragma unroll
    for (int r = 0; r < kTileT / Layout::kRound; ++r) {
      const int t = tile_t + r * Layout::kRound;
      if (t >= gemm_.output.rows) break;
      load_owned_addends(tile_n, t);  // on their way while the parts are exchanged
      if (rounds_ > 0) barrier_wait(Layout::added(base_), (rounds_ - 1) & 1);
      send_part(&sums_[0][r * Layout::kRound / 2]);
      barrier_wait(Layout::arrived(base_), rounds_ & 1);
      if (threadIdx.x == 0) barrier_expect(Layout::arrived(base_), Layout::kRoundBytes);
      store_owned(tile_n, t);
      const bool last = last_unit && (r + 1 == kTileT / Layout::kRound ||
                                      t + Layout::kRound >= gemm_.output.rows);
      __syncwarp();
      if (!last && threadIdx.x % 32 < 1 << gemm_.split_shift) {
        barrier_arrive_in_cluster(shared_address_in(Layout::added(base_), threadIdx.x % 32));
      }
      ++rounds_;
    }
  }

  static constexpr int kPieces = Layout::kRound / 8;  // of 8 rows of x
  __device__ uint32_t piece_address(int part, int warp_rows, int piece) {
    const int index = (part * (Layout::kWarps >> gemm_.split_shift) + warp_rows) * kPieces + piece;
    return base_ + Layout::kSumsAt + (index * 32 + threadIdx.x % 32) * 16;
  }

  __device__ void send_part(const float* sums) {
    const int warp = threadIdx.x / 32, warps = Layout::kWarps >> gemm_.split_shift;  // of an owner
    const int owner = (warp << gemm_.split_shift) / Layout::kWarps;
    const uint32_t arrived = shared_address_in(Layout::arrived(base_), owner);
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      send(shared_address_in(piece_address(work_.rank, warp & (warps - 1), j), owner), sums[j * 4],
           sums[j * 4 + 1], sums[j * 4 + 2], sums[j * 4 + 3], arrived);
    }
  }

  // The fragments that this warp adds up: whose rows of the block's, which 8 rows of x, and where
  // in the output the lane's first element is.
  static constexpr int kMostOwned = (kPieces + 1) / 2;
  template <class Visit>
  __device__ void each_owned(int tile_n, int t, Visit&& visit) {
    const int warps = Layout::kWarps >> gemm_.split_shift, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < kMostOwned; ++i) {
      const int item = threadIdx.x / 32 + i * Layout::kWarps;
      const int warp_rows = item / kPieces, piece = item % kPieces;
      if (item >= warps * kPieces || t + piece * 8 >= gemm_.output.rows) continue;
      visit(i, warp_rows, piece, t + piece * 8 + lane % 4 * 2,
            tile_n + (work_.rank * warps + warp_rows) * 16 + lane / 4);
    }
  }

  __device__ void load_owned_addends(int tile_n, int t) {
    each_owned(tile_n, t, [&](int i, int, int, int row, int n) {
      addends_[i] = load_addends<T>(gemm_.output, row, n);
    });
  }

  __device__ void store_owned(int tile_n, int t) {
    each_owned(tile_n, t, [&](int i, int warp_rows, int piece, int row, int n) {
      float sum[4] = {};
      for (int part = 0; part < 1 << gemm_.split_shift; ++part) {
        const float4 v = load_shared(piece_address(part, warp_rows, piece));
        sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
      }
      store_fragment<T>(gemm_.output, row, n, sum, addends_[i]);
    });
  }

  const GemmSm90Launch& gemm_;
  const GemmWork& work_;
  uint32_t base_;
  int group_, thread_;
  char* shared_sums_;
  int stage_ = 0;
  uint32_t parity_ = 0;
  int rounds_ = 0;
  float sums_[kMmas][kTileT / 2];
  FragmentAddends addends_[kMostOwned];
};

template <class Layout>
__device__ void init_barriers(const GemmSm90Launch& gemm, uint32_t base) {
  for (int stage = 0; stage < Layout::kStages; ++stage) {
    barrier_init(Layout::full(base, stage), 1);
    barrier_init(Layout::empty(base, stage), Layout::kWarps << gemm.multicast_shift);
  }
  barrier_init(Layout::arrived(base), 1);
  barrier_init(Layout::added(base), Layout::kWarps << gemm.split_shift);
  barrier_inits_done();
  barrier_expect(Layout::arrived(base), Layout::kRoundBytes);
}

template <class T, class Layout, int kTileN, int kTileT, class Tiles>
__global__ void __launch_bounds__(Layout::kThreads, Layout::kBytes <= 113 * 1024 ? 2 : 1)
    gemm_sm90_kernel(const __grid_constant__ GemmSm90Launch gemm) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char shared[];
  const uint32_t base = shared_address(shared);
  const GemmWork work(gemm);
  const bool clustered = gemm.split_shift + gemm.multicast_shift > 0;
  if (threadIdx.x == 0) init_barriers<Layout>(gemm, base);
  __syncthreads();
  if (clustered) cluster_arrive();
  if (threadIdx.x >= Layout::kGroups * kGroupThreads) {
    if constexpr (Layout::kMovesRegisters) asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    GemmLoader<Layout, kTileN, kTileT, Tiles> loader(gemm, work, base);
    const bool leads = threadIdx.x == Layout::kGroups * kGroupThreads;
    if (leads) loader.begin();
    __syncwarp();
    if (clustered) cluster_wait();  // the others' barriers can be arrived at
    wait_for_previous();
    if (leads) loader.run();
    __syncwarp();
  } else {
    if constexpr (Layout::kMovesRegisters) asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    if (clustered) cluster_wait();
    wait_for_previous();
    GemmMultiplier<T, Layout, kTileN, kTileT, Tiles>(gemm, work, base, shared).run();
  }
  // A block stays until its neighbour has arrived here for the last time.
  if (gemm.multicast_shift > 0) {
    cluster_arrive();
    cluster_wait();
  }
#endif
}

template <class T, int kTileN, int kTileT, int kStages,
          template <int, int> class Tiles = OneProduct>
cudaError_t launch_gemm_sm90(const GemmSm90Launch& gemm, cudaStream_t stream) {
  using Layout = GemmLayout<kTileN, kTileT, kStages>;
  static_assert(Layout::kBytes <= 227 * 1024 && Layout::kStageBytes % 1024 == 0);
  if (gemm.split_shift > 0 && (!Layout::kSplits || 1 << gemm.split_shift > Layout::kWarps)) {
    return cudaErrorInvalidValue;
  }
  if (gemm.gate.on && gemm.split_shift > 0) return cudaErrorInvalidValue;
  const auto kernel = gemm_sm90_kernel<T, Layout, kTileN, kTileT, Tiles<kTileN, kTileT>>;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Layout::kBytes);
  if (error != cudaSuccess) return error;
  return launch_clusters(kernel, gemm.clusters, 1 << (gemm.split_shift + gemm.multicast_shift),
                         Layout::kThreads, Layout::kBytes, stream, gemm);
}

// The instance of the plan's tile. Stages: up to 32 rows of x half of a multiprocessor's shared
// memory, so that the next product's weights come while this one ends; as many as fit above. (With
// more rows two blocks of one product that come to lie on one multiprocessor, when the product
// before it leaves the others late, cost more than the overlap brings.)
template <class T>
cudaError_t launch_planned(const GemmSm90Launch& gemm, const GemmPlan& plan, cudaStream_t stream) {
  switch (plan.tile_n * 1000 + plan.tile_t) {
    case 64'008: return launch_gemm_sm90<T, 64, 8, 12>(gemm, stream);
    case 64'016: return launch_gemm_sm90<T, 64, 16, 10>(gemm, stream);
    case 64'032: return launch_gemm_sm90<T, 64, 32, 8>(gemm, stream);
    case 64'064: return launch_gemm_sm90<T, 64, 64, 12>(gemm, stream);
    case 128'008: return launch_gemm_sm90<T, 128, 8, 6>(gemm, stream);
    case 128'016: return launch_gemm_sm90<T, 128, 16, 5>(gemm, stream);
    case 128'032: return launch_gemm_sm90<T, 128, 32, 4>(gemm, stream);
    case 128'064: return launch_gemm_sm90<T, 128, 64, 8>(gemm, stream);
    case 128'128: return launch_gemm_sm90<T, 128, 128, 6>(gemm, stream);
    case 256'064: return launch_gemm_sm90<T, 256, 64, 5>(gemm, stream);
    case 256'128: return launch_gemm_sm90<T, 256, 128, 4>(gemm, stream);
    case 128'256: return launch_gemm_sm90<T, 128, 256, 4>(gemm, stream);
    default: return cudaErrorInvalidValue;
  }
}

template <class T>
cudaError_t launch_heads(const GemmSm90Launch& gemm, const GemmPlan& plan, cudaStream_t stream) {
  switch (plan.tile_n * 1000 + plan.tile_t) {
    case 64'008: return launch_gemm_sm90<T, 64, 8, 12, HeadProduct>(gemm, stream);
    case 64'032: return launch_gemm_sm90<T, 64, 32, 8, HeadProduct>(gemm, stream);
    case 64'064: return launch_gemm_sm90<T, 64, 64, 12, HeadProduct>(gemm, stream);
    case 128'008: return launch_gemm_sm90<T, 128, 8, 6, HeadProduct>(gemm, stream);
    case 128'032: return launch_gemm_sm90<T, 128, 32, 4, HeadProduct>(gemm, stream);
    case 128'064: return launch_gemm_sm90<T, 128, 64, 4, HeadProduct>(gemm, stream);
    case 128'128: return launch_gemm_sm90<T, 128, 128, 6, HeadProduct>(gemm, stream);
    default: return cudaErrorInvalidValue;
  }
}

template <class T>
cudaError_t launch_grouped(const GemmSm90Launch& gemm, const GemmPlan& plan, cudaStream_t stream) {
  switch (plan.tile_n * 1000 + plan.tile_t) {
    case 64'008: return launch_gemm_sm90<T, 64, 8, 12, GroupedProduct>(gemm, stream);
    case 64'032: return launch_gemm_sm90<T, 64, 32, 8, GroupedProduct>(gemm, stream);
    case 128'008: return launch_gemm_sm90<T, 128, 8, 6, GroupedProduct>(gemm, stream);
    case 128'016: return launch_gemm_sm90<T, 128, 16, 5, GroupedProduct>(gemm, stream);
    case 128'032: return launch_gemm_sm90<T, 128, 32, 4, GroupedProduct>(gemm, stream);
    case 128'064: return launch_gemm_sm90<T, 128, 64, 4, GroupedProduct>(gemm, stream);
    case 128'128: return launch_gemm_sm90<T, 128, 128, 6, GroupedProduct>(gemm, stream);
    case 256'128: return launch_gemm_sm90<T, 256, 128, 4, GroupedProduct>(gemm, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace lmdeploy::cuda
