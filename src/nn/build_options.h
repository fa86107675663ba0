// BuildOptions: what every module is told when it is built, besides its own configuration.
#pragma once

#include <optional>

#include "nn/parallel.h"
#include "tensor/cpu/isa.h"
#include "tensor/dtype.h"

namespace lmdeploy {

struct BuildOptions {
  // What pack_matrix wants to hear (kernels/packed_matrix.h): any block type means "as it is".
  DType pack_type() const { return weights.value_or(DType::kQ8_0); }

  // Type that matrices are converted to (kF32, kBF16 or kF16); nullopt: each keeps the type it has
  // in the checkpoint, block-quantized ones included.
  std::optional<DType> weights;
  CpuIsa isa;
  Parallel parallel;
};

}  // namespace lmdeploy
