#include "kernels/cpu/layer_norm_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

void layer_norm_row_avx512(const LayerNormRow& row) { layer_norm_row<avx512::F32Vec>(row); }

}  // namespace lmdeploy::cpu
