// BuildOptions: what every module is told when it is built, besides its own configuration.
#pragma once

#include <memory>
#include <optional>

#include "nn/parallel.h"
#include "tensor/cpu/isa.h"
#include "tensor/dtype.h"
#include "tensor/weight_arena.h"

namespace lmdeploy {

struct BuildOptions {
  // What pack_matrix wants to hear (kernels/packed_matrix.h): any block type means "as it is".
  DType pack_type() const { return weights.value_or(DType::kQ8_0); }

  // Type that matrices are converted to (kF32, kBF16 or kF16); nullopt: each keeps the type it has
  // in the checkpoint, block-quantized ones included.
  std::optional<DType> weights;
  CpuIsa isa;
  std::shared_ptr<WeightArena> memory = std::make_shared<WeightArena>();  // of the packed weights
  Parallel parallel;
};

}  // namespace lmdeploy
