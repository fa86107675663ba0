#include "kernels/cpu/attention_input_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

void attention_input_rows_avx2(const AttentionInputArgs& args, int64_t begin, int64_t end) {
  attention_input_rows<avx2::F32Vec>(args, begin, end);
}

}  // namespace lmdeploy::cpu
