#include "engine/cuda/make_cuda_runner.h"

namespace lmdeploy::cuda {

Result<std::unique_ptr<ModelRunner>> make_cuda_runner(std::unique_ptr<CausalLm>,
                                                      std::unique_ptr<Stream>,
                                                      const RunnerOptions&) {
  return unavailable("this program was built without CUDA; use --device cpu");
}

}  // namespace lmdeploy::cuda
