#include "models/registry.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

TEST(Registry, FindsEachByItsName) {
  for (const ModelEntry& entry : model_registry()) {
    const Result<const ModelEntry*> found = find_model(entry.architecture);
    ASSERT_TRUE(found.ok()) << entry.architecture;
    EXPECT_EQ(*found, &entry);
  }
  EXPECT_EQ(find_model("").status().code(), StatusCode::kUnsupported);
}

TEST(Registry, OfTheseOnlyGemma2And3LeaveTheRangeOfF16) {
  for (const ModelEntry& entry : model_registry()) {
    const bool gemma2 = entry.architecture.starts_with("Gemma2");
    EXPECT_EQ(entry.leaves_f16_range, gemma2 || entry.architecture.starts_with("Gemma3"))
        << entry.architecture;
  }
}

}  // namespace
}  // namespace lmdeploy
