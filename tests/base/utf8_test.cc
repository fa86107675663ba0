#include "base/utf8.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

TEST(Utf8, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    utf8_append(text, c);
    ASSERT_EQ(utf8_sequence_length(text), text.size()) << static_cast<uint32_t>(c);
    size_t pos = 0;
    ASSERT_EQ(utf8_next(text, pos), c);
    ASSERT_EQ(pos, text.size());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_TRUE(utf8_incomplete(text.substr(0, cut)));
      ASSERT_EQ(utf8_sequence_length(text.substr(0, cut)), 0u);
    }
  }
}

TEST(Utf8, RejectsSurrogatesOverlongFormsAndTooLargeValues) {
  for (const char* bad : {"\xED\xA0\x80", "\xC0\xAF", "\xE0\x80\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\x80", "\xFF", "\xFE"}) {
    EXPECT_EQ(utf8_sequence_length(bad), 0u);
    EXPECT_FALSE(utf8_valid(bad));
    EXPECT_FALSE(utf8_incomplete(bad));
  }
}

// One U+FFFD for each maximal subpart, as Python's errors="replace" gives.
TEST(Utf8, ReplacesEachMaximalSubpart) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(utf8_replace_invalid("a\xE2\x82z"), "a" + r + "z");
  EXPECT_EQ(utf8_replace_invalid("\xF0\x9F\x98"), r);
  EXPECT_EQ(utf8_replace_invalid("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(utf8_replace_invalid("\xC0\xAF"), r + r);
  EXPECT_EQ(utf8_replace_invalid("\xE2\x82\xAC"), "\xE2\x82\xAC");
}

TEST(Utf8, PrefixNeverCutsASequence) {
  const std::string text = "a\xE2\x82\xAC" "b";
  EXPECT_EQ(utf8_prefix(text, 0), 0u);
  EXPECT_EQ(utf8_prefix(text, 2), 1u);
  EXPECT_EQ(utf8_prefix(text, 3), 1u);
  EXPECT_EQ(utf8_prefix(text, 4), 4u);
  EXPECT_EQ(utf8_prefix(text, 99), 5u);
}

}  // namespace
}  // namespace lmdeploy
