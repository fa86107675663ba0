// Step: what every layer of one forward pass reads, besides its input.
#pragma once

#include <array>

#include "kernels/ctx.h"
#include "nn/batch.h"
#include "nn/kv_cache.h"

namespace lmdeploy {

// Models with more than this many different rotary embeddings do not exist yet (Gemma 3 has two).
constexpr size_t kMaxRopes = 2;

struct Step {
  Ctx& ctx;
  const Batch& batch;
  KvCache& kv;
  std::array<TensorView, kMaxRopes> cos_sin;  // of each rotary embedding: f32 [T, rotary_dim]

  DType activation_type = DType::kF32;  // f32 on the CPU; that of the weights on CUDA
  int64_t rows = batch.num_tokens;      // of the activations; fewer where only some tokens go on

  // Uninitialized activations [rows, columns] in the step's scratch memory.
  TensorView activations(int64_t columns) const {
    return ctx.scratch.allocate(Shape{rows, columns}, activation_type);
  }
};

// Elements of scratch memory that a token takes in a part of a layer that says so; 0: no more than
// usual.
template <class Part>
int64_t step_columns_of(const Part& part) {
  if constexpr (requires { part.step_columns(); }) {
    return part.step_columns();
  } else {
    return 0;
  }
}

}  // namespace lmdeploy
