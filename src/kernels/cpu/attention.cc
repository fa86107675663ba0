#include "kernels/cpu/attention.h"

namespace lmdeploy::cpu {

void attention(CpuStream& stream, Arena& scratch, const AttentionArgs& args) {
  attention_plain(stream, scratch, args);
}

}  // namespace lmdeploy::cpu
