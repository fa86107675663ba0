#include "sched/kv_group.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

TEST(KvGroup, FirstBlockReadOfAWindowHoldsItsOldestKey) {
  const KvGroupSpec window{KvGroupKind::kWindow, 10};
  EXPECT_EQ(first_block_read(window, 0, 4), 0);
  EXPECT_EQ(first_block_read(window, 9, 4), 0);   // keys 0 .. 9
  EXPECT_EQ(first_block_read(window, 12, 4), 0);  // keys 3 .. 12
  EXPECT_EQ(first_block_read(window, 13, 4), 1);  // keys 4 .. 13
  EXPECT_EQ(first_block_read({KvGroupKind::kWindow, 1}, 8, 4), 2);
  EXPECT_EQ(first_block_read({KvGroupKind::kFull, 0}, 1000, 4), 0);
}

TEST(KvGroup, ValidateNamesTheValueThatIsWrong) {
  for (int tokens : {32, 64, 128}) {
    EXPECT_TRUE(validate({.groups = {{}}, .block_tokens = tokens}).ok());
  }
  const Status odd = validate({.groups = {{}}, .block_tokens = 48});
  EXPECT_EQ(odd.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(odd.message().find("48"), std::string::npos);
  EXPECT_FALSE(validate({.groups = {}}).ok());
  EXPECT_FALSE(validate({.groups = {{KvGroupKind::kWindow, 0}}}).ok());
}

}  // namespace
}  // namespace lmdeploy
