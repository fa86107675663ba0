#include "kernels/cuda/attention.h"

namespace lmdeploy::cuda {

void paged_attention(Ctx&, const TensorView&, const PagedKv&, const AttentionBatch&,
                     const AttentionParams&, const TensorView&) {
  CHECK(false, "paged_attention was asked to run on CUDA, but this program was built without it");
}

bool can_expand_attention(const Stream&, DType, const ExpandedDims&) { return false; }

void expanded_attention(Ctx&, const ExpandedInputs&, const AttentionBatch&, const ExpandedParams&,
                        const TensorView&) {
  CHECK(false, "expanded_attention was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
