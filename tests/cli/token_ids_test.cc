#include "cli/token_ids.h"

#include <gtest/gtest.h>

namespace lmdeploy::cli {
namespace {

TEST(TokenIds, Lists) {
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(*parse_token_ids("7"), Ids{7});
  EXPECT_EQ(*parse_token_ids("1,15043"), (Ids{1, 15043}));
  EXPECT_EQ(*parse_token_ids(" [ 1 , 2,0 ] "), (Ids{1, 2, 0}));
  EXPECT_EQ(*parse_token_ids("2147483647"), Ids{2147483647});
}

TEST(TokenIds, AnythingElseIsAnError) {
  for (const char* text : {"1,,2", "1,", ",1", "1 2", "[1", "1]", "[[1]]", "1,[2]", "[1]2", "[]", "-1", "1.5",
                           "x", "1,2x", "2147483648", "", "  "}) {
    const auto ids = parse_token_ids(text);
    ASSERT_FALSE(ids.ok()) << text;
    EXPECT_NE(ids.status().message().find("--input-ids"), std::string::npos) << text;
  }
  EXPECT_NE(parse_token_ids("1,,2").status().message().find("at byte 2 "), std::string::npos);
}

}  // namespace
}  // namespace lmdeploy::cli
