// cuBLASLt where it is installed: opened at run time (libcublasLt.so.13 or .12 on the loader's
// path), for the large products in which it is faster than our kernels.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

// Used by one thread at a time, with the device of its first use current.
class CublasLt {
 public:
  // out [rows, n] (+)= x [rows, k] weights [n, k]^T with fp32 sums. x, weights: `dtype`, f16 or
  // bf16; out: that or f32. Pointers and rows are multiples of 16 bytes.
  struct Product {
    DType dtype;
    const void* x;
    const void* weights;
    void* out;
    int64_t x_stride, out_stride;  // elements
    int64_t rows, n, k;
    bool f32, add;
  };
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  CublasLt();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  bool found() const { return library_ != nullptr; }
  // False, with nothing issued: the library is not there or does not take this product. The first
  // product of a shape asks the library for its algorithm; later ones repeat it.
  bool multiply(const Product& product, void* workspace, cudaStream_t stream);

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace lmdeploy::cuda
