#include "engine/model_runner.h"

#include "engine/cuda/make_cuda_runner.h"
#include "engine/host_runner.h"

namespace lmdeploy {

Result<std::unique_ptr<ModelRunner>> make_model_runner(std::unique_ptr<CausalLm> model,
                                                       std::unique_ptr<Stream> stream,
                                                       const RunnerOptions& options) {
  if (!stream->device().is_cpu()) {
    return cuda::make_cuda_runner(std::move(model), std::move(stream), options);
  }
  return std::unique_ptr<ModelRunner>(
      std::make_unique<HostRunner>(std::move(model), std::move(stream), options));
}

}  // namespace lmdeploy
