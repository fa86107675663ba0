// The ModelRunner of CUDA; engine/none/ in builds without it.
#pragma once

#include "engine/model_runner.h"

namespace lmdeploy::cuda {

// Runs the largest steps once, so that workspace_bytes() is known and every kernel is loaded.
Result<std::unique_ptr<ModelRunner>> make_cuda_runner(std::unique_ptr<CausalLm> model,
                                                      std::unique_ptr<Stream> stream,
                                                      const RunnerOptions& options);

}  // namespace lmdeploy::cuda
