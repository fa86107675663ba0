// From a DType to the C++ type of a kernel's template.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

// fn(T{}) for the activation type `dtype`; cudaErrorInvalidValue where it is none.
template <class Fn>
cudaError_t for_element_type(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kF32: return fn(float{});
    case DType::kF16: return fn(__half{});
    case DType::kBF16: return fn(__nv_bfloat16{});
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace lmdeploy::cuda
