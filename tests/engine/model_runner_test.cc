#include "engine/model_runner.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

TEST(EstimatedWorkspace, CountsLayersThatAreWiderThanUsual) {
  ModelInfo info{.vocab_size = 1000, .hidden_size = 64};
  const RunnerOptions options{.max_batch_size = 4, .step_tokens = 512};
  const size_t logits = 1000 * 4 * sizeof(float);
  EXPECT_EQ(estimated_workspace(info, options), 24 * 64 * 512 * sizeof(float) + logits);
  info.step_columns = 10 * 64;  // no wider
  EXPECT_EQ(estimated_workspace(info, options), 24 * 64 * 512 * sizeof(float) + logits);
  info.step_columns = 100 * 64;
  EXPECT_EQ(estimated_workspace(info, options), 108 * 64 * 512 * sizeof(float) + logits);
}

}  // namespace
}  // namespace lmdeploy
