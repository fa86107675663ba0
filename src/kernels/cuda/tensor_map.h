// The driver's encoder of tensor maps, by which Hopper's copy engine addresses tiles.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

namespace lmdeploy::cuda {

using TensorMapEncoder = decltype(&cuTensorMapEncodeTiled);

// nullptr where the driver has none. The program does not link libcuda.
inline TensorMapEncoder tensor_map_encoder() {
  static const TensorMapEncoder encoder = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                               12000, cudaEnableDefault, &found);
    const bool usable = error == cudaSuccess && found == cudaDriverEntryPointSuccess;
    return usable ? reinterpret_cast<TensorMapEncoder>(function) : nullptr;
  }();
  return encoder;
}

}  // namespace lmdeploy::cuda
