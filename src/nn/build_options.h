// BuildOptions: what every module is told when it is built, besides its own configuration.
#pragma once

#include <memory>
#include <optional>

#include "checkpoint/load_plan.h"
#include "nn/parallel.h"
#include "tensor/dtype.h"
#include "tensor/stream.h"
#include "tensor/uploader.h"
#include "tensor/weight_arena.h"

namespace lmdeploy {

struct BuildOptions {
  // What pack_matrix wants to hear (kernels/packed_matrix.h): any block type means "as it is".
  DType pack_type() const { return weights.value_or(DType::kQ8_0); }
  DType activation_type() const { return device.is_cpu() ? DType::kF32 : weights.value(); }

  // Type that matrices are converted to (kF32, kBF16 or kF16); nullopt: each keeps the type it has
  // in the checkpoint, block-quantized ones included.
  std::optional<DType> weights;
  // Where the model runs. On CUDA `weights` is always set: every matrix has that type, and so have the
  // activations; `uploader` and `stream` bring and make weights there while the model loads.
  Device device;
  Uploader* uploader = nullptr;
  Stream* stream = nullptr;
  std::shared_ptr<WeightArena> memory = std::make_shared<WeightArena>();  // of the packed weights
  Parallel parallel;
  bool batch_invariant = false;  // so are all forwards (kernels/ctx.h)
  // Whose tensors will be loaded, for parts that checkpoints store in several ways; nullptr: weights
  // are made up.
  const Checkpoint* checkpoint = nullptr;

  bool has(const Weights& tensor) const {
    return checkpoint != nullptr && checkpoint->find(tensor.name()) != nullptr;
  }
};

}  // namespace lmdeploy
