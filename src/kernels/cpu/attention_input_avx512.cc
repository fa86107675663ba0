#include "kernels/cpu/attention_input_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

void attention_input_rows_avx512(const AttentionInputArgs& args, int64_t begin, int64_t end) {
  attention_input_rows<avx512::F32Vec>(args, begin, end);
}

}  // namespace lmdeploy::cpu
