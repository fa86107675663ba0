#include "engine/model_runner.h"

#include <algorithm>

#include "engine/cuda/make_cuda_runner.h"
#include "engine/host_runner.h"

namespace lmdeploy {

size_t estimated_workspace(const ModelInfo& info, const RunnerOptions& options) {
  const auto element = static_cast<size_t>(dtype_bytes(info.activations, 1));
  // Residual, norms and rounding beside what a layer says; of a usual layer 24 rows in all.
  const int64_t columns = std::max(24 * info.hidden_size, 8 * info.hidden_size + info.step_columns);
  const size_t per_token = static_cast<size_t>(columns) * element;
  return per_token * static_cast<size_t>(options.step_tokens) +
         static_cast<size_t>(info.vocab_size) * static_cast<size_t>(options.max_batch_size) *
             sizeof(float);
}

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
