// The attention kernels as their host code sees them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

// As in kernels/attention.h; strides in elements. q, out and the pages have one type.
struct AttentionLaunch {
  const void* q;
  void* out;
  const char* pages;           // of this layer: page 0's K
  const int32_t* query_start;  // [sequences + 1]
  const int32_t* kv_len;       // [sequences]
  const int32_t* block_table;  // [sequences, .]
  const float* alibi_slopes;   // [heads] or nullptr
  const float* sinks;          // [heads] or nullptr
  float* partial;              // scratch of the decode kernels: decode_scratch_floats()
  unsigned* tickets;           // a counter a thread block, 0 before and after each kernel
  int64_t q_stride, out_stride, block_table_stride;
  int64_t page_bytes, head_bytes;
  int64_t value_bytes;         // from K of a head to its V; 0 where V is K
  int sequences, tokens;       // at least 1
  int heads, kv_heads, group;  // group: heads / kv_heads
  int head_dim;                // 1 .. 256; the plain kernel takes up to kMaxLatentHeadDim
  int block_shift;             // log2 of the tokens of a page
  int window;                  // 0: none
  float scale;
  float softcap;                 // 0: none
  int min_queries, max_queries;  // sequences with so many query tokens are computed, others left
  // Whole prompts of at least so many tokens are `expanded`: such alone, or others alone, are computed.
  int expanded_from;
  bool expanded;
  int multiprocessors, shared_bytes;  // of the device; bytes: for one block
};

// The decode kernels' thread blocks are at most kDecodeBlocksPerSm * multiprocessors.
constexpr int kDecodeBlocksPerSm = 2;
constexpr int64_t decode_scratch_floats(int multiprocessors, int head_dim) {
  constexpr int64_t kParts = 2, kRows = 16, kMaxAndSum = 2;  // of a block; of a part; of a row
  const int64_t width = head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : 256;
  return kDecodeBlocksPerSm * multiprocessors * kParts * kRows * (width + kMaxAndSum);
}

constexpr int kMaxLatentHeadDim = 576;

// Any alignment, every type; one query head a thread block, on CUDA cores.
cudaError_t launch_attention_plain(DType dtype, const AttentionLaunch& args, cudaStream_t stream);

// f16 and bf16, one latent head of kMaxLatentHeadDim a token, its first kLatentColumns the values; no
// window, slopes or sinks; rows and pages aligned to 16 bytes; blocks of kLatentSharedBytes. `partial`
// has latent_scratch_floats().
constexpr int kLatentColumns = 512;
constexpr int kLatentSharedBytes = 172 * 1024;
constexpr int64_t latent_scratch_floats(int multiprocessors) {
  constexpr int64_t kParts = 2, kRows = 16, kMaxAndSum = 2, kCutSegment = 4;
  return multiprocessors * (kParts * kRows * (kLatentColumns + kMaxAndSum) + kCutSegment);
}
cudaError_t launch_attention_latent(DType dtype, const AttentionLaunch& args, cudaStream_t stream);

// The kernels below take f16 and bf16, head_dim a multiple of 8, and rows and pages aligned to 16
// bytes.

// Split-KV: the context of all sequences is dealt out evenly to a grid that fills the device.
cudaError_t launch_attention_decode_f16(const AttentionLaunch& args, cudaStream_t stream);
cudaError_t launch_attention_decode_bf16(const AttentionLaunch& args, cudaStream_t stream);

// Tiles of query rows, each over its whole context. A row's bits depend on its own position alone.
cudaError_t launch_attention_prefill_f16(const AttentionLaunch& args, cudaStream_t stream);
cudaError_t launch_attention_prefill_bf16(const AttentionLaunch& args, cudaStream_t stream);

}  // namespace lmdeploy::cuda
