#include "kernels/cpu/layer_norm_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

void layer_norm_row_avx2(const LayerNormRow& row) { layer_norm_row<avx2::F32Vec>(row); }

}  // namespace lmdeploy::cpu
