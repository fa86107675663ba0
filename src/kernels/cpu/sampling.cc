#include "kernels/cpu/sampling.h"

namespace lmdeploy::cpu {

void sample(CpuStream& stream, Arena& scratch, const TensorView& logits,
            std::span<const SamplingRow> rows, std::span<SampledToken> out) {
  sample_plain(stream, scratch, logits, rows, out);
}

void token_logprobs(CpuStream&, Arena&, const TensorView& logits, std::span<const int32_t> targets,
                    std::span<float> out) {
  for (size_t r = 0; r < targets.size(); ++r) {
    out[r] = static_cast<float>(
        plain_logprob(logits.row<float>(static_cast<int64_t>(r)), logits.dim(1), targets[r]));
  }
}

}  // namespace lmdeploy::cpu
