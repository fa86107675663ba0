#include "kernels/cpu/matmul_kernels.h"

namespace lmdeploy::cpu {

MatmulKernels matmul_kernels(const CpuIsa&) {
  return {quantize_rows_scalar, int8_panels_scalar, plain_panels_scalar};
}

}  // namespace lmdeploy::cpu
