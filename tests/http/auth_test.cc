#include "http/auth.h"

#include <gtest/gtest.h>

#include "http/request.h"

namespace lmdeploy {
namespace {

bool allows(const ApiKeys& keys, const std::string& header) { return keys.allows(&header); }

TEST(ApiKeys, WithoutKeysEverythingIsOpen) {
  EXPECT_TRUE(ApiKeys().allows(nullptr));
  EXPECT_TRUE(ApiKeys({"", " , "}).empty());
}

TEST(ApiKeys, OnlyKnownKeysOpen) {
  const ApiKeys keys({"sk-one, sk-two", "three"});
  EXPECT_TRUE(allows(keys, "Bearer sk-one"));
  EXPECT_TRUE(allows(keys, "bearer sk-two"));
  EXPECT_TRUE(allows(keys, "Bearer  three"));
  EXPECT_FALSE(keys.allows(nullptr));
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer sk-on", "Bearer sk-one ",
                            "Bearer SK-ONE", "Basic sk-one", "sk-one", "Bearer sk-one, sk-two"}) {
    EXPECT_FALSE(allows(keys, wrong)) << wrong;
  }
}

TEST(ApiKeys, TenantsDifferByKey) {
  const ApiKeys keys({"one", "two"});
  const std::string one = "Bearer one", two = "Bearer two";
  EXPECT_EQ(keys.tenant(&one), keys.tenant(&one));
  EXPECT_NE(keys.tenant(&one), keys.tenant(&two));
  EXPECT_EQ(ApiKeys().tenant(&one), 0u);
  EXPECT_EQ(random_token(24).size(), 24u);
  EXPECT_NE(random_token(24), random_token(24));
}

TEST(Request, PathAndHeaders) {
  const Request request{.target = "/a/b?tags=weights&x=%41+b%2", .headers = {{"X-Name", "v"}}};
  EXPECT_EQ(request.path(), "/a/b");
  EXPECT_EQ(percent_decoded("a%2Fb+%41%2"), "a/b+A%2");
  EXPECT_EQ(*request.headers.find("x-NAME"), "v");
  EXPECT_EQ(request.headers.find("x-other"), nullptr);
}

}  // namespace
}  // namespace lmdeploy
