// Split-KV attention of sequences with few query tokens.
//
// The context of every (sequence, KV head, tile of 16 rows), a segment, is cut into units of 16
// tokens a warp. The units of all segments in a row are dealt out, as contiguous ranges of even
// cost, to thread blocks that fill the device, which read the lengths themselves: the launch
// depends on no length. The warps of a block take 16 tokens of each unit through copy pipelines of
// their own and meet at the end of a segment. A segment that several blocks share is summed from
// their parts, in order, by the one that finishes last.
//
// The kernel reads lengths, block tables and the K and V of earlier steps before it waits for the
// kernel before it, which may have let it start before waiting itself. That is safe because all of
// them were written before the step's embedding, and that kernel waits before it lets the next one
// start: what came before it has finished when a later one starts. What a step writes of these is
// the K and V of its own tokens (attention_input), which this kernel reads after it has waited.
#pragma once

#include "kernels/cuda/attention_deal.cuh"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda {

namespace decode {

// At the end of a segment 128 threads add up the warps' values: 4 columns of a row each, the first
// rows of 32 columns at a time, or fewer rows of more.
constexpr int kSummingThreads = 128;
template <int kColumns>
constexpr int kMergedRows = kSummingThreads * 4 / kColumns;
template <int kColumns>
constexpr int kMergeStride = kColumns + 4;

// What the blocks share about a segment's part: the running softmax of 16 rows.
template <int kWidth>
struct Part {
  float max[kRows];
  float sum[kRows];
  float values[kRows][kWidth];
};

template <int kWarps>
struct Shared {
  float max[kWarps][kRows];
  float sum[kWarps][kRows];
  float merge[kWarps][kMergedRows<32> * kMergeStride<32>];
  ShareOfBlock share;
  bool last;
};

template <int kWidth>
constexpr int kSliceBytes = kSliceTokens* kWidth * 2;  // of K or V
template <int kWidth, int kWarps>
constexpr int kStageBytes = kWarps * 2 * kSliceBytes<kWidth>;

// Copies a warp's slice of the unit: K, then V. Tokens that no row sees become zeros.
template <class T, int kWidth, int kWarps>
__device__ __forceinline__ void copy_slice(const AttentionLaunch& args, const Cursor<kWarps>& at,
                                           int warp, uint32_t to) {
  constexpr int kChunks = kWidth / 8;
  constexpr int kRowsAtOnce = 32 / kChunks > 0 ? 32 / kChunks : 1;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first = at.token(warp);
  const int kv_len = at.work.place.kv_len, visible = at.work.first_token;
  const bool any = first < kv_len && first + kSliceTokens > visible;
  const T* keys = static_cast<const T*>(args.q);  // any address: nothing is read
  if (any) keys = key_row<T>(args, at.work.place.sequence, at.kv_head(), first);
  const T* values = any ? keys + args.kv_heads * (args.head_bytes / sizeof(T)) : keys;
  const int chunk = lane % kChunks;
#pragma unroll
  for (int r = 0; r < kSliceTokens; r += kRowsAtOnce) {
    const int row = r + lane / kChunks;
    const bool read = first + row < kv_len && first + row >= visible && chunk * 8 < args.head_dim;
    const int64_t from = read ? int64_t{row} * args.head_dim + chunk * 8 : 0;
    const uint32_t at_row = to + tile_offset<kWidth>(row, chunk);
    copy_async(at_row, keys + from, read);
    copy_async(at_row + kSliceBytes<kWidth>, values + from, read);
  }
}

// A warp's copies of its slices of consecutive units, into as many stages.
template <class T, int kWidth, int kWarps>
class SlicePipeline {
 public:
  // From `first` on, to where `cost` ends.
  __device__ SlicePipeline(const AttentionLaunch& args, const Cursor<kWarps>& first, int cost,
                           uint32_t memory, int stages)
      : args_(args),
        ahead_(first),
        left_(cost - first.cost_before()),
        stages_(stages),
        warp_(threadIdx.x / 32),
        memory_(memory + static_cast<uint32_t>(warp_ * 2 * kSliceBytes<kWidth>)) {}

  // Starts the first copies, those of this step's tokens after the kernel before has finished; that
  // it has finished is so in any case afterwards.
  __device__ void fill() {
    bool waited = false;
    for (int s = 0; s < stages_; ++s) {
      if (!waited && left_ > 0 && !ahead_.is_settled(warp_)) {
        wait_for_previous();
        waited = true;
      }
      copy_next();
    }
    if (!waited) wait_for_previous();
  }

  // The oldest slice's address, once it is there.
  __device__ uint32_t take() const {
    switch (stages_) {
      case 2: wait_copies<1>(); break;
      case 3: wait_copies<2>(); break;
      case 4: wait_copies<3>(); break;
      case 5: wait_copies<4>(); break;
      default: wait_copies<5>(); break;
    }
    __syncwarp();
    return stage(current_);
  }
  // The oldest slice has been used: another comes in its place.
  __device__ void give_back() {
    __syncwarp();
    copy_next();
  }

 private:
  __device__ uint32_t stage(int index) const {
    return memory_ + static_cast<uint32_t>(index * kStageBytes<kWidth, kWarps>);
  }
  __device__ void copy_next() {
    if (left_ > 0) {
      copy_slice<T, kWidth, kWarps>(args_, ahead_, warp_, stage(current_));
      if (--left_ > 0) {
        ahead_.next(args_);
        left_ -= ahead_.cost_before();
      }
    }
    commit_copies();
    current_ = current_ + 1 == stages_ ? 0 : current_ + 1;
  }

  const AttentionLaunch& args_;
  Cursor<kWarps> ahead_;
  int left_, stages_, warp_;
  uint32_t memory_;
  int current_ = 0;  // stage of the oldest slice, or to fill
};

struct RowSum {
  float max, sum;
};
template <int kColumns>
__device__ __forceinline__ int summed_row() {
  return static_cast<int>(threadIdx.x) % kSummingThreads / (kColumns / 4);
}

// The softmax over the warps' sums of one segment or part, for `row`.
template <class T, int kWidth, int kWarps>
__device__ __forceinline__ RowSum share_sums(const WarpRows<T, kWidth>& rows, int row,
                                             Shared<kWarps>& shared) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float sum = rows.whole_sum(i);
    if (lane % 4 != 0) continue;
    shared.max[warp][lane / 4 + 8 * i] = rows.max[i];
    shared.sum[warp][lane / 4 + 8 * i] = sum;
  }
  __syncthreads();
  RowSum whole{-INFINITY, 0};
  for (int w = 0; w < kWarps; ++w) whole.max = fmaxf(whole.max, shared.max[w][row]);
  for (int w = 0; w < kWarps; ++w)
    whole.sum += shared.sum[w][row] * weight_of(shared.max[w][row], whole.max);
  return whole;
}

// After share_sums: adds up the warps' values of `row_count` rows, at most kMergedRows<kColumns>,
// kColumns at a time. Gives row summed_row<kColumns>() to store(column, float4).
template <int kColumns, class T, int kWidth, int kWarps, class Store>
__device__ __forceinline__ void merge_values(const WarpRows<T, kWidth>& rows,
                                             Shared<kWarps>& shared, int row_count,
                                             Store&& store) {
  constexpr int kStride = kMergeStride<kColumns>;
  static_assert(kMergedRows<kColumns> * kStride <= kMergedRows<32> * kMergeStride<32>);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  float scale[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float most = -INFINITY;
    for (int w = 0; w < kWarps; ++w) most = fmaxf(most, shared.max[w][lane / 4 + 8 * i]);
    scale[i] = weight_of(rows.max[i], most);
  }
  const int row = summed_row<kColumns>(), column = thread % (kColumns / 4) * 4;
  const bool adds = thread < kSummingThreads && row < row_count;
#pragma unroll
  for (int pass = 0; pass < kWidth / kColumns; ++pass) {
    if (pass > 0) __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int own = lane / 4 + 8 * i;
      if (own >= min(row_count, kMergedRows<kColumns>)) continue;
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        const float(&values)[4] = rows.out[pass * (kColumns / 8) + n];
        *reinterpret_cast<float2*>(
            &shared.merge[warp][own * kStride + 8 * n + lane % 4 * 2]) =
            make_float2(values[2 * i] * scale[i], values[2 * i + 1] * scale[i]);
      }
    }
    __syncthreads();
    if (!adds) continue;
    float4 total{};
    for (int w = 0; w < kWarps; ++w) {
      const float4 x = *reinterpret_cast<const float4*>(&shared.merge[w][row * kStride + column]);
      total = {total.x + x.x, total.y + x.y, total.z + x.z, total.w + x.w};
    }
    store(pass * kColumns + column, total);
  }
}

// Where a finished row goes.
template <class T>
struct OutputRow {
  T* to;
  float scale;
  int head_dim;

  template <int kWarps>
  __device__ OutputRow(const AttentionLaunch& args, const Cursor<kWarps>& at, int row,
                       RowSum whole)
      : OutputRow(args, RowPlace(args, at.work.place, at.kv_head(), at.first_row() + row), whole) {}
  __device__ OutputRow(const AttentionLaunch& args, const RowPlace& place, RowSum whole)
      : head_dim(args.head_dim) {
    scale = normalization(whole.max, whole.sum,
                          args.sinks == nullptr ? nullptr : args.sinks + place.head);
    to = static_cast<T*>(args.out) + place.token * args.out_stride + place.head * args.head_dim;
  }
  __device__ void store(int column, float4 values) const {
    if (column >= head_dim) return;
    const uint2 packed{pack_pair<T>(values.x * scale, values.y * scale),
                       pack_pair<T>(values.z * scale, values.w * scale)};
    *reinterpret_cast<uint2*>(to + column) = packed;
  }
};

// The sum of a row over the parts that blocks begin .. last of its segment have left, kAtOnce of
// them at a time so that their loads overlap; four columns of its values come to `total`. A block
// leaves its first segment's part, cut at its start, in slot 2 b, and its last's in slot 2 b + 1;
// `first` is the segment's first block.
template <int kAtOnce, int kWidth>
__device__ __forceinline__ RowSum sum_of_parts(const Part<kWidth>* parts, int first, int begin,
                                               int last, int row, int column, float4& total) {
  RowSum whole{-INFINITY, 0};
  total = {};
  for (int block = begin; block <= last; block += kAtOnce) {
    float max[kAtOnce], sum[kAtOnce];
    float4 values[kAtOnce];
    const float former = whole.max;
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) {
      const int from = min(block + p, last);
      const Part<kWidth>& part = parts[2 * from + (from == first ? 1 : 0)];
      const bool there = block + p <= last;
      max[p] = there ? __ldcg(&part.max[row]) : -INFINITY;
      sum[p] = there ? __ldcg(&part.sum[row]) : 0.0f;
      values[p] = float4{};
      if (there) values[p] = __ldcg(reinterpret_cast<const float4*>(&part.values[row][column]));
    }
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) whole.max = fmaxf(whole.max, max[p]);
    const float scale = weight_of(former, whole.max);
    whole.sum *= scale;
    total = {total.x * scale, total.y * scale, total.z * scale, total.w * scale};
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) {
      const float weight = weight_of(max[p], whole.max);
      whole.sum += weight * sum[p];
      total = {total.x + weight * values[p].x, total.y + weight * values[p].y,
               total.z + weight * values[p].z, total.w + weight * values[p].w};
    }
  }
  return whole;
}

// Sums the parts of a segment and stores its rows.
template <class T, int kWidth, int kWarps>
__device__ void sum_parts(const AttentionLaunch& args, const Cursor<kWarps>& at, int row_count,
                          int first, int last) {
  const Part<kWidth>* parts = reinterpret_cast<const Part<kWidth>*>(args.partial);
  for (int i = static_cast<int>(threadIdx.x); i < row_count * (kWidth / 4);
       i += static_cast<int>(blockDim.x)) {
    const int row = i / (kWidth / 4), column = i % (kWidth / 4) * 4;
    float4 total;
    const RowSum whole = sum_of_parts<8>(parts, first, first, last, row, column, total);
    OutputRow<T>(args, at, row, whole).store(column, total);
  }
}

// Finishes the block's part of the segment at `at`, which the deal has at [begin, end). The values
// are merged kColumns at a time.
template <int kColumns, class T, int kWidth, int kWarps>
__device__ void finish_rows(const AttentionLaunch& args, const Deal& deal,
                            const Cursor<kWarps>& at, int begin, int end, bool whole,
                            int row_count, const WarpRows<T, kWidth>& rows,
                            Shared<kWarps>& shared) {
  const int block = static_cast<int>(blockIdx.x), row = summed_row<kColumns>();
  const RowSum own = share_sums(rows, row, shared);
  if (whole) {
    const OutputRow<T> output(args, at, row, own);
    merge_values<kColumns>(rows, shared, row_count,
                           [&](int column, float4 values) { output.store(column, values); });
    return;
  }
  const int first = deal.first_share(begin, end), last = deal.last_share(begin, end);
  Part<kWidth>& part =
      reinterpret_cast<Part<kWidth>*>(args.partial)[2 * block + (block == first ? 1 : 0)];
  if (threadIdx.x < kSummingThreads && threadIdx.x % (kColumns / 4) == 0) {
    part.max[row] = own.max;
    part.sum[row] = own.sum;
  }
  merge_values<kColumns>(rows, shared, row_count, [&](int column, float4 values) {
    *reinterpret_cast<float4*>(&part.values[row][column]) = values;
  });
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned others = static_cast<unsigned>(last - first);
    shared.last = atomicInc(args.tickets + first, others) == others;  // back to 0 at the last
  }
  __syncthreads();
  if (!shared.last) return;
  __threadfence();
  sum_parts<T, kWidth, kWarps>(args, at, row_count, first, last);
}

template <class T, int kWidth, int kWarps>
__device__ void finish_segment(const AttentionLaunch& args, const Deal& deal,
                               const Cursor<kWarps>& at, int begin, bool whole,
                               const WarpRows<T, kWidth>& rows, Shared<kWarps>& shared) {
  // In one pass, where few query heads share a KV head.
  constexpr int kWide = kWidth < 128 ? kWidth : 128;
  const int row_count = min(kRows, at.work.place.queries * args.group - at.first_row());
  const int end = begin + at.work.segment_cost();
  if (row_count <= kMergedRows<kWide>) {
    finish_rows<kWide>(args, deal, at, begin, end, whole, row_count, rows, shared);
  } else {
    finish_rows<32>(args, deal, at, begin, end, whole, row_count, rows, shared);
  }
}

// The block's units, one after the other.
template <class T, int kWidth, int kWarps>
__device__ void attend_share(const AttentionLaunch& args, const Deal& deal, uint32_t stage_memory,
                             int stages, Shared<kWarps>& shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int first = shared.share.begin, end = shared.share.end;
  Cursor<kWarps> at(args, shared.share.sequence, shared.share.offset);
  SlicePipeline<T, kWidth, kWarps> slices(args, at, end - first, stage_memory, stages);
  slices.fill();
  allow_next();
  const ScoreRule rule(args);
  WarpRows<T, kWidth> rows;
  rows.load(args, at.work.place, at.kv_head(), at.first_row());
  rows.clear();
  bool starts = at.block == 0;  // the segment, in this block
  for (int place = first + at.cost_before();; ++place) {
    const uint32_t tile = slices.take();
    const int token = at.token(warp);
    const bool masked = token + kSliceTokens > at.work.place.position(0) + 1 ||
                        token < first_visible(args, at.work.place.kv_len - 1);
    rows.template attend<kSliceTokens>(rule, tile, tile + kSliceBytes<kWidth>, token, masked);
    slices.give_back();
    const bool ends = at.block + 1 == at.work.blocks;
    if (!ends && place + 1 < end) {
      at.next(args);
      continue;
    }
    const Cursor<kWarps> done = at;
    const int begin = place - at.block - kSegmentCost;
    const bool is_last = place + 1 >= end;
    if (!is_last) {  // its rows come while this one's are summed
      at.next(args);
      rows.load(args, at.work.place, at.kv_head(), at.first_row());
    }
    finish_segment(args, deal, done, begin, starts && ends, rows, shared);
    if (is_last) break;
    rows.clear();
    starts = true;
    place += at.cost_before();
  }
}

// Padding: a sequence that has no context.
template <class T>
__device__ void clear_rows(const AttentionLaunch& args) {
  const int columns = args.heads * args.head_dim;
  for (int b = static_cast<int>(blockIdx.x); b < args.sequences; b += static_cast<int>(gridDim.x)) {
    const SequencePlace place = place_of(args, b);
    if (place.kv_len > 0 || !is_ours(args, place)) continue;
    for (int query = 0; query < place.queries; ++query) {
      T* to = static_cast<T*>(args.out) + (place.first_query + query) * args.out_stride;
      for (int i = static_cast<int>(threadIdx.x) * 8; i < columns;
           i += static_cast<int>(blockDim.x) * 8)
        *reinterpret_cast<uint4*>(to + i) = uint4{};
    }
  }
}

template <class T, int kWidth, int kWarps>
__global__ void __launch_bounds__(kWarps * 32, kWidth <= 128 && kWarps == 4 ? 2 : 1)
    attention_decode_kernel(const __grid_constant__ AttentionLaunch args, int stages) {
  extern __shared__ __align__(128) char memory[];
  Shared<kWarps>& shared =
      *reinterpret_cast<Shared<kWarps>*>(memory + stages * kStageBytes<kWidth, kWarps>);
  const Deal dealt = deal<kWarps>(args, kCutSparingly<kWarps>, shared.share);
  if (blockIdx.x < dealt.shares && shared.share.begin < shared.share.end) {
    attend_share<T, kWidth, kWarps>(args, dealt, shared_address(memory), stages, shared);
  } else {
    wait_for_previous();
    allow_next();
  }
  clear_rows<T>(args);
}

// Stages of the pipelines of `blocks` blocks on a multiprocessor.
template <int kWidth, int kWarps>
int stages_of(const AttentionLaunch& args, int blocks) {
  constexpr int kMostStages = 6, kReserved = 1024;  // bytes, of each block
  const int bytes = (args.shared_bytes + kReserved) / blocks - kReserved;
  return min(kMostStages, (bytes - static_cast<int>(sizeof(Shared<kWarps>))) /
                              kStageBytes<kWidth, kWarps>);
}

template <class T, int kWidth, int kWarps>
cudaError_t launch_shape(const AttentionLaunch& args, int blocks, int stages,
                         cudaStream_t stream) {
  const size_t bytes =
      static_cast<size_t>(stages) * kStageBytes<kWidth, kWarps> + sizeof(Shared<kWarps>);
  const auto kernel = attention_decode_kernel<T, kWidth, kWarps>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error != cudaSuccess) return error;
  return launch(kernel, dim3(static_cast<unsigned>(args.multiprocessors * blocks)),
                dim3(kWarps * 32), bytes, stream, true, args, stages);
}

// Two blocks of four warps a multiprocessor, where there is memory for it, fill the memory bus. Few
// segments leave it idle: there eight warps end sooner.
template <class T, int kWidth>
cudaError_t launch_decode(const AttentionLaunch& args, cudaStream_t stream) {
  if constexpr (kWidth <= 128) {
    const bool are_few = args.sequences * args.kv_heads <= args.multiprocessors;
    if (const int stages = stages_of<kWidth, 8>(args, 1); are_few && stages >= 2) {
      return launch_shape<T, kWidth, 8>(args, 1, stages, stream);
    }
    if (const int stages = stages_of<kWidth, 4>(args, kDecodeBlocksPerSm); stages >= 2) {
      return launch_shape<T, kWidth, 4>(args, kDecodeBlocksPerSm, stages, stream);
    }
  }
  return launch_shape<T, kWidth, 4>(args, 1, stages_of<kWidth, 4>(args, 1), stream);
}

template <class T>
cudaError_t launch_decode(const AttentionLaunch& args, cudaStream_t stream) {
  if (args.head_dim <= 64) return launch_decode<T, 64>(args, stream);
  if (args.head_dim <= 128) return launch_decode<T, 128>(args, stream);
  return launch_decode<T, 256>(args, stream);
}

}  // namespace decode

}  // namespace lmdeploy::cuda
