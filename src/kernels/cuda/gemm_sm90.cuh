// The Hopper product: a warp streams tiles of the weights and of x through shared memory with bulk
// tensor copies, two warpgroups multiply them with wgmma. The weights are wgmma's first operand, so
// that a tile is as narrow as the number of rows of x: with few rows the kernel reads the weights once
// at the speed of memory, with many it is a GEMM.
//
// - Blocks stay for all their tiles; the copies run ahead over the ends of tiles.
// - The first stages of weights are asked for before the kernel waits for its predecessor.
// - A cluster either shares each tile along k (split; the parts are added in one order through
//   distributed shared memory) or has neighbouring weight rows and reads x once (multicast).
#pragma once

#include <algorithm>

#include "kernels/cuda/gemm_barrier_sm90.cuh"
#include "kernels/cuda/gemm_epilogue.cuh"
#include "kernels/cuda/gemm_wgmma_sm90.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda {

inline constexpr int kGroupThreads = 128;  // of a warpgroup
inline constexpr int kMultiplyGroups = 2;
inline constexpr int kMultiplyWarps = kMultiplyGroups * 4;

// Shared memory of a block. Stages: weights [kTileN, 64], x [kTileT, 64].
template <int kTileN, int kTileT, int kStageCount>
struct GemmLayout {
  static constexpr int kStages = kStageCount;
  static constexpr int kRowBytes = kGemmSm90BlockK * 2;
  static constexpr int kWeightBytes = kTileN * kRowBytes;
  static constexpr int kStageBytes = kWeightBytes + kTileT * kRowBytes;
  // Sums go out through shared memory, kChunk rows of x and 64 weight rows of a warpgroup at a time.
  static constexpr int kChunk = kTileT < 16 ? kTileT : kTileT <= 64 ? 16 : 32;
  static constexpr int kChunkStride = 68;  // floats: accesses of a warp meet every bank once
  static constexpr int kChunkBytes = kChunk * kChunkStride * 4;
  static constexpr int kChunksAt = kStages * kStageBytes;
  static constexpr int kBarriersAt = kChunksAt + kMultiplyGroups * kChunkBytes;
  static constexpr int kBytes = kBarriersAt + (2 * kStages + 2 * kMultiplyGroups) * 8;
  // Large tiles take the registers of a whole loading warpgroup.
  static constexpr bool kMovesRegisters = kTileN * kTileT > 128 * 128;
  static constexpr int kThreads =
      kMultiplyGroups * kGroupThreads + (kMovesRegisters ? kGroupThreads : 32);

  // A stage's operands have arrived.
  static __device__ uint32_t full(uint32_t base, int stage) { return base + kBarriersAt + stage * 8; }
  // A stage has been multiplied.
  static __device__ uint32_t empty(uint32_t base, int stage) {
    return full(base, kStages + stage);
  }
  // All parts of a warpgroup's chunk are written, or have been read, in the cluster.
  static __device__ uint32_t written(uint32_t base, int group) {
    return full(base, 2 * kStages + group);
  }
  static __device__ uint32_t read(uint32_t base, int group) {
    return full(base, 2 * kStages + kMultiplyGroups + group);
  }
};

// The tiles of a block, one after the other.
struct GemmWork {
  int rank;         // of the block in its cluster
  int first, step;  // units of work of the cluster; a unit is a tile or `multicast` of them
  int count;        // units in all
  int k_begin, k_end;

  __device__ explicit GemmWork(const GemmSm90Launch& gemm) {
    const int blocks = gemm.split * gemm.multicast;
    rank = blocks > 1 ? cluster_rank() : 0;
    first = static_cast<int>(blockIdx.x) / blocks;
    step = static_cast<int>(gridDim.x) / blocks;
    count = (gemm.n_tiles + gemm.multicast - 1) / gemm.multicast * gemm.t_tiles;
    const int part = gemm.split > 1 ? rank : 0;
    k_begin = part * gemm.k_blocks / gemm.split;
    k_end = (part + 1) * gemm.k_blocks / gemm.split;
  }
};

struct GemmCorner {
  int n, t;
};

// Units go through `t_group` neighbouring tiles of x for each column of weights: what is worked on at
// one time shares both operands in L2.
template <int kTileN, int kTileT>
__device__ __forceinline__ GemmCorner corner_of(const GemmSm90Launch& gemm, int unit, int rank) {
  const int columns = (gemm.n_tiles + gemm.multicast - 1) / gemm.multicast;
  const int group = unit / (gemm.t_group * columns);
  const int width = min(gemm.t_group, gemm.t_tiles - group * gemm.t_group);
  const int within = unit - group * gemm.t_group * columns;
  const int n_tile = within / width * gemm.multicast + (gemm.multicast > 1 ? rank : 0);
  return {n_tile * kTileN, (group * gemm.t_group + within % width) * kTileT};
}

// Issues the copies: stage after stage, tile after tile.
template <class Layout, int kTileN, int kTileT>
class GemmLoader {
 public:
  __device__ GemmLoader(const GemmSm90Launch& gemm, const GemmWork& work, uint32_t base)
      : gemm_(gemm), work_(work), base_(base) {
    x_policy_ = policy_evict_normal();
    weight_policy_ = gemm.t_tiles > 1 ? x_policy_ : policy_evict_first();
  }

  // The weights of the first stages; they depend on no earlier kernel.
  __device__ void begin() {
    Cursor at(work_);
    for (; ahead_ < Layout::kStages && at.unit < work_.count; ++ahead_, at.next(work_)) {
      barrier_expect(Layout::full(base_, ahead_), Layout::kStageBytes);
      load_weights(ahead_, at);
    }
  }

  // Everything else.
  __device__ void run() {
    Cursor at(work_);
    for (int stage = 0; stage < ahead_; ++stage, at.next(work_)) load_x(stage, at);
    int stage = 0;
    uint32_t parity = 0;
    for (; at.unit < work_.count; at.next(work_)) {
      barrier_wait(Layout::empty(base_, stage), parity);
      barrier_expect(Layout::full(base_, stage), Layout::kStageBytes);
      load_weights(stage, at);
      load_x(stage, at);
      if (++stage == Layout::kStages) stage = 0, parity ^= 1;
    }
  }

 private:
  struct Cursor {
    int unit, k_block;
    __device__ explicit Cursor(const GemmWork& work) : unit(work.first), k_block(work.k_begin) {}
    __device__ void next(const GemmWork& work) {
      if (++k_block == work.k_end) k_block = work.k_begin, unit += work.step;
    }
  };

  __device__ void load_weights(int stage, const Cursor& at) {
    const GemmCorner corner = corner_of<kTileN, kTileT>(gemm_, at.unit, work_.rank);
    copy_box(base_ + stage * Layout::kStageBytes, &gemm_.weights, at.k_block * kGemmSm90BlockK,
             corner.n, Layout::full(base_, stage), weight_policy_);
  }
  __device__ void load_x(int stage, const Cursor& at) {
    const GemmCorner corner = corner_of<kTileN, kTileT>(gemm_, at.unit, work_.rank);
    const uint32_t to = base_ + stage * Layout::kStageBytes + Layout::kWeightBytes;
    const uint32_t full = Layout::full(base_, stage);
    const int column = at.k_block * kGemmSm90BlockK;
    if (gemm_.multicast == 1) {
      copy_box(to, &gemm_.x, column, corner.t, full, x_policy_);
    } else {
      const int rows = kTileT / gemm_.multicast;  // this block's share
      copy_box_to_cluster(to + work_.rank * rows * Layout::kRowBytes, &gemm_.x, column,
                          corner.t + work_.rank * rows, full,
                          static_cast<uint16_t>((1 << gemm_.multicast) - 1), x_policy_);
    }
  }

  const GemmSm90Launch& gemm_;
  const GemmWork& work_;
  uint32_t base_;
  uint64_t weight_policy_, x_policy_;
  int ahead_ = 0;  // stages that begin() filled
};

// One of the two warpgroups that multiply: weight rows [group * kTileN / 2, + kTileN / 2) of a tile.
template <class T, class Layout, int kTileN, int kTileT>
class GemmMultiplier {
 public:
  __device__ GemmMultiplier(const GemmSm90Launch& gemm, const GemmWork& work, uint32_t base, char* shared)
      : gemm_(gemm), work_(work), base_(base), group_(threadIdx.x / kGroupThreads),
        thread_(threadIdx.x % kGroupThreads),
        chunk_(reinterpret_cast<float*>(shared + Layout::kChunksAt + group_ * Layout::kChunkBytes)) {}

  __device__ void run() {
    for (int unit = work_.first; unit < work_.count; unit += work_.step) {
      multiply();
      const GemmCorner corner = corner_of<kTileN, kTileT>(gemm_, unit, work_.rank);
#pragma unroll
      for (int m = 0; m < kMmas; ++m) {
#pragma unroll
        for (int c = 0; c < kTileT / Layout::kChunk; ++c) {
          const int t = corner.t + c * Layout::kChunk;
          if (t < gemm_.output.rows) {
            store_chunk(&sums_[m][c * Layout::kChunk / 2], corner.n + group_ * kRows + m * 64, t);
          }
        }
      }
    }
  }

 private:
  static constexpr int kRows = kTileN / kMultiplyGroups;
  static constexpr int kMmas = kRows / 64;

  __device__ void multiply() {
#pragma unroll
    for (int m = 0; m < kMmas; ++m) pin_sums(sums_[m]);
    int former = -1;
    for (int k = work_.k_begin; k < work_.k_end; ++k) {
      barrier_wait(Layout::full(base_, stage_), parity_);
      const uint32_t weights = base_ + stage_ * Layout::kStageBytes + group_ * kRows * Layout::kRowBytes;
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
    if (gemm_.multicast == 1) {
      if (lane == 0) barrier_arrive(Layout::empty(base_, stage));
    } else if (lane < gemm_.multicast) {
      barrier_arrive_in_cluster(shared_address_in(Layout::empty(base_, stage), lane));
    }
  }

  // Rows [t, t + kChunk) of x and [n, n + 64) of the weights.
  __device__ void store_chunk(const float* sums, int n, int t) {
    const bool shared = gemm_.split > 1;
    if (shared && chunks_ > 0) {
      barrier_wait_for_cluster(Layout::read(base_, group_), (chunks_ - 1) & 1);
    } else {
      sync_group(1 + group_, kGroupThreads);  // the former chunk has been read
    }
    write_chunk(sums);
    if (shared) fence_in_cluster();
    sync_group(1 + group_, kGroupThreads);
    if (shared) {
      arrive_everywhere(Layout::written(base_, group_));
      barrier_wait_for_cluster(Layout::written(base_, group_), chunks_ & 1);
    }
    const int first = shared ? work_.rank * kGroupThreads + thread_ : thread_;
    for (int i = first; i < Layout::kChunk * 8; i += gemm_.split * kGroupThreads) {
      float eight[8];
      read_eight(i / 8, i % 8 * 8, eight);
      store_eight_sums<T>(gemm_.output, t + i / 8, n + i % 8 * 8, eight);
    }
    if (shared) {
      sync_group(1 + group_, kGroupThreads);
      arrive_everywhere(Layout::read(base_, group_));
    }
    ++chunks_;
  }

  // wgmma's fragments as chunk_[t][n].
  __device__ void write_chunk(const float* sums) {
    const int row = thread_ / 32 * 16 + thread_ % 32 / 4, column = thread_ % 4 * 2;
#pragma unroll
    for (int j = 0; j < Layout::kChunk / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        chunk_[(j * 8 + column + i % 2) * Layout::kChunkStride + row + i / 2 * 8] = sums[j * 4 + i];
      }
    }
  }

  // The sum of all parts of chunk_[t][n, n + 8), in the order of k.
  __device__ void read_eight(int t, int n, float (&eight)[8]) {
    const float* mine = chunk_ + t * Layout::kChunkStride + n;
    if (gemm_.split == 1) {
#pragma unroll
      for (int i = 0; i < 8; ++i) eight[i] = mine[i];
      return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) eight[i] = 0;
    for (int part = 0; part < gemm_.split; ++part) {
      const uint32_t theirs = shared_address_in(shared_address(mine), part);
      const float4 low = load_in_cluster(theirs), high = load_in_cluster(theirs + 16);
      eight[0] += low.x, eight[1] += low.y, eight[2] += low.z, eight[3] += low.w;
      eight[4] += high.x, eight[5] += high.y, eight[6] += high.z, eight[7] += high.w;
    }
  }

  __device__ void arrive_everywhere(uint32_t barrier) {
    if (thread_ < gemm_.split) barrier_arrive_in_cluster(shared_address_in(barrier, thread_));
  }

  const GemmSm90Launch& gemm_;
  const GemmWork& work_;
  uint32_t base_;
  int group_, thread_;
  float* chunk_;
  int stage_ = 0;
  uint32_t parity_ = 0;
  int chunks_ = 0;
  float sums_[kMmas][kTileT / 2];
};

template <class Layout>
__device__ void init_barriers(const GemmSm90Launch& gemm, uint32_t base) {
  for (int stage = 0; stage < Layout::kStages; ++stage) {
    barrier_init(Layout::full(base, stage), 1);
    barrier_init(Layout::empty(base, stage), kMultiplyWarps * gemm.multicast);
  }
  for (int group = 0; group < kMultiplyGroups; ++group) {
    barrier_init(Layout::written(base, group), gemm.split);
    barrier_init(Layout::read(base, group), gemm.split);
  }
  barrier_inits_done();
}

template <class T, class Layout, int kTileN, int kTileT>
__global__ void __launch_bounds__(Layout::kThreads, Layout::kBytes <= 113 * 1024 ? 2 : 1)
    gemm_sm90_kernel(const __grid_constant__ GemmSm90Launch gemm) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char shared[];
  const uint32_t base = shared_address(shared);
  const GemmWork work(gemm);
  const bool clustered = gemm.split * gemm.multicast > 1;
  if (threadIdx.x == 0) init_barriers<Layout>(gemm, base);
  __syncthreads();
  if (clustered) cluster_arrive();
  if (threadIdx.x >= kMultiplyGroups * kGroupThreads) {
    if constexpr (Layout::kMovesRegisters) asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    GemmLoader<Layout, kTileN, kTileT> loader(gemm, work, base);
    const bool leads = threadIdx.x == kMultiplyGroups * kGroupThreads;
    if (leads) loader.begin();
    __syncwarp();
    allow_next();
    if (clustered) cluster_wait();  // the others' barriers can be arrived at
    wait_for_previous();
    if (leads) loader.run();
    __syncwarp();
  } else {
    if constexpr (Layout::kMovesRegisters) asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    if (clustered) cluster_wait();
    wait_for_previous();
    GemmMultiplier<T, Layout, kTileN, kTileT>(gemm, work, base, shared).run();
  }
  // A block's shared memory is there until nobody reads it or arrives in it.
  if (clustered) {
    cluster_arrive();
    cluster_wait();
  }
#endif
}

template <class T, int kTileN, int kTileT, int kStages>
cudaError_t launch_gemm_sm90(const GemmSm90Launch& gemm, int multiprocessors, cudaStream_t stream) {
  using Layout = GemmLayout<kTileN, kTileT, kStages>;
  static_assert(Layout::kBytes <= 227 * 1024 && Layout::kStageBytes % 1024 == 0);
  const auto kernel = gemm_sm90_kernel<T, Layout, kTileN, kTileT>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Layout::kBytes);
  if (error != cudaSuccess) return error;
  const int blocks = gemm.split * gemm.multicast;
  const int units = (gemm.n_tiles + gemm.multicast - 1) / gemm.multicast * gemm.t_tiles;
  const int clusters = std::max(1, std::min(units, multiprocessors / blocks));
  return launch_clusters(kernel, clusters, blocks, Layout::kThreads, Layout::kBytes, stream, gemm);
}

// The instance of the plan's tile.
template <class T>
cudaError_t launch_planned(const GemmSm90Launch& gemm, const GemmPlan& plan, int multiprocessors,
                           cudaStream_t stream) {
  // Stages: two blocks a multiprocessor while tiles are small, so that the next product's weights
  // come while this one ends; as many as fit above.
  if (plan.tile_n == 256) return launch_gemm_sm90<T, 256, 128, 4>(gemm, multiprocessors, stream);
  switch (plan.tile_t) {
    case 8: return launch_gemm_sm90<T, 128, 8, 6>(gemm, multiprocessors, stream);
    case 16: return launch_gemm_sm90<T, 128, 16, 5>(gemm, multiprocessors, stream);
    case 32: return launch_gemm_sm90<T, 128, 32, 5>(gemm, multiprocessors, stream);
    case 64: return launch_gemm_sm90<T, 128, 64, 4>(gemm, multiprocessors, stream);
    case 128: return launch_gemm_sm90<T, 128, 128, 6>(gemm, multiprocessors, stream);
    case 256: return launch_gemm_sm90<T, 128, 256, 4>(gemm, multiprocessors, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace lmdeploy::cuda
