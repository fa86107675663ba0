// latent_input on the CPU. It has no version of its own for wider vectors: its work is a thousandth
// of the projections' around it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kv_type.h"

namespace lmdeploy {
class CpuStream;
}

namespace lmdeploy::cpu {

struct LatentInputArgs {
  float* latent = nullptr;            // [rows, latent_dim + 2 rotary_half]
  const float* query_rope = nullptr;  // [rows, heads * 2 rotary_half]
  float* query = nullptr;             // [rows, heads * (latent_dim + 2 rotary_half)]
  const float* norm = nullptr;        // [latent_dim]
  const float* cos_sin = nullptr;     // [rows, 2 rotary_half]
  const int64_t* slot_map = nullptr;  // [rows]
  std::byte* pages = nullptr;         // of this layer
  int64_t latent_stride = 0, query_rope_stride = 0, query_stride = 0, cos_sin_stride = 0;
  size_t page_bytes = 0;
  int64_t rows = 0;
  int heads = 0;
  int latent_dim = 0;
  int rotary_half = 0;
  int block_tokens = 0;
  int element_bytes = 0;  // of the cache's type
  KvType type = KvType::kF32;
  float norm_eps = 0;
};

void latent_input(CpuStream& stream, const LatentInputArgs& args);

}  // namespace lmdeploy::cpu
