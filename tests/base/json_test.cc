#include "base/json.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace lmdeploy {
namespace {

TEST(Json, SyntaxErrorsNameTheSourceAndTheByte) {
  const Result<json::value> result = parse_json("{\"a\": 1,}", "request body");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(result.status().message().find("request body"), std::string::npos);
  EXPECT_NE(result.status().message().find("byte"), std::string::npos);
}

TEST(Json, LimitsDepthLengthAndTrailingText) {
  EXPECT_FALSE(parse_json(std::string(100, '[') + std::string(100, ']'), "x", {.max_depth = 64}).ok());
  EXPECT_TRUE(parse_json(std::string(60, '[') + std::string(60, ']'), "x", {.max_depth = 64}).ok());
  EXPECT_FALSE(parse_json("[1,2,3]", "x", {.max_bytes = 4}).ok());
  EXPECT_FALSE(parse_json("1 2", "x").ok());
  EXPECT_FALSE(parse_json("", "x").ok());
  EXPECT_FALSE(parse_json("\"\xff\"", "x").ok());
}

TEST(Json, TypedMembers) {
  const json::value document = *parse_json(R"({"i": 3, "f": 2.0, "h": 2.5, "s": "x", "b": true, "n": null})", "x");
  const json::object& object = document.as_object();
  EXPECT_EQ(get_int(object, "i")->value(), 3);
  EXPECT_EQ(get_int(object, "f")->value(), 2);
  EXPECT_FALSE(get_int(object, "h").ok());
  EXPECT_FALSE(get_int(object, "s").ok());
  EXPECT_FALSE(get_int(object, "n")->has_value());
  EXPECT_FALSE(get_int(object, "absent")->has_value());
  EXPECT_EQ(get_double(object, "i")->value(), 3.0);
  EXPECT_EQ(get_bool(object, "b")->value(), true);
  EXPECT_FALSE(get_bool(object, "i").ok());
  EXPECT_EQ(get_string(object, "s")->value(), "x");
  EXPECT_NE(get_string(object, "i").status().message().find("'i' is 3; expected a string"), std::string::npos);
}

TEST(Json, WrittenStringsAreReadBackAndInvalidBytesReplaced) {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  all += "\xE2\x82\xAC\xF0\x9F\x98\x80";
  std::string written;
  append_json_string(written, all);
  EXPECT_EQ(json::parse(written).as_string(), all);
  written.clear();
  append_json_string(written, "a\xFFz");
  EXPECT_EQ(written, "\"a\xEF\xBF\xBDz\"");
}

}  // namespace
}  // namespace lmdeploy
