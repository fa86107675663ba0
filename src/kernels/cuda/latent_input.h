// latent_input of kernels/latent_input.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/latent_input.h"

namespace lmdeploy::cuda {

void latent_input(Ctx& ctx, const TensorView& latent, const TensorView& query_rope,
                  const LatentInputParams& params, const TensorView& slot_map, const PagedKv& kv,
                  const TensorView& query);

}  // namespace lmdeploy::cuda
