#include "kernels/cpu/matmul_kernels.h"

#include "tensor/cpu/isa.h"

namespace lmdeploy::cpu {

MatmulKernels matmul_kernels(const CpuIsa& isa) {
  MatmulKernels kernels{quantize_rows_scalar, int8_panels_scalar, plain_panels_scalar};
  if (isa.avx2) kernels = {quantize_rows_avx2, int8_panels_avx2, plain_panels_avx2};
  if (isa.avx_vnni) kernels.int8 = int8_panels_avxvnni;
  if (isa.avx512) kernels = {quantize_rows_avx512, int8_panels_avx512, plain_panels_avx512};
  if (isa.avx512_vnni) kernels.int8 = int8_panels_avx512vnni;
  if (isa.avx512_bf16) {
    kernels.round = round_rows_avx512bf16;
    kernels.bf16 = bf16_panels_avx512bf16;
  }
  if (isa.amx) {
    kernels.bf16 = bf16_panels_amx;
    kernels.rounds_blocks_from = 12;
  }
  return kernels;
}

}  // namespace lmdeploy::cpu
