#include <gtest/gtest.h>

#include "base/random.h"
#include "base/utf8.h"
#include "text/known_patterns.h"
#include "text/matcher.h"
#include "text/pre_tokenizer.h"

namespace lmdeploy {
namespace {

std::vector<std::string> matches_of(const Matcher& matcher, std::string_view text) {
  std::vector<std::string> found;
  Match match;
  for (size_t pos = 0; pos < text.size() && matcher.next(text, pos, match); pos = match.end) {
    found.push_back(fmt::format("{}:{}", match.begin, text.substr(match.begin, match.end - match.begin)));
  }
  return found;
}

// Characters at which the patterns branch: cases, marks, digits of several kinds, spaces, breaks.
std::string random_text(uint64_t seed) {
  constexpr char32_t kAlphabet[] = {
      ' ', ' ', ' ', '\n', '\r', '\t', '\'', '\'', 'a', 's', 'S', 't', 'r', 'e', 'E', 'l', 'L', 'v', 'm',
      'd', 'D', 'A', 'B', '0', '1', '9', '.', '!', '/', '-', '_', '$', '<', '|', 0x17F, 0x301, 0x93E, 0x4E2D,
      0x3042, 0x30FC, 0x1C5, 0x2B0, 0xE9, 0xC9, 0xA0, 0x2028, 0x3000, 0x85, 0x0, 0x7F, 0x1F600,
      0x200D, 0xFE0F, 0x661, 0xBD, 0x2167, 0x20AC, 0xFFFD, 0xE000, 0x10FFFF};
  std::string text;
  const uint64_t count = hash_random(seed, 0) % 16;
  for (uint64_t i = 1; i <= count; ++i) {
    utf8_append(text, kAlphabet[hash_random(seed, i) % std::size(kAlphabet)]);
  }
  return text;
}

class KnownMatcherTest : public testing::TestWithParam<const char*> {};

TEST_P(KnownMatcherTest, EqualsTheRegexOnRandomText) {
  const auto known = make_known_matcher(GetParam());
  ASSERT_NE(known, nullptr);
  const auto regex = make_regex_matcher(GetParam());
  ASSERT_TRUE(regex.ok()) << regex.status().message();
  for (uint64_t seed = 0; seed < 50000; ++seed) {
    const std::string text = random_text(seed);
    ASSERT_EQ(matches_of(*known, text), matches_of(**regex, text)) << "text '" << text << "'";
  }
}

INSTANTIATE_TEST_SUITE_P(Patterns, KnownMatcherTest,
                         testing::Values(kGpt2Pattern, kLlama3Pattern, kQwen2Pattern, kO200kPattern,
                                         kTekkenPattern, kDigits3Pattern, kDeepseekCjkPattern,
                                         kDeepseekV3Pattern, kSpacedLettersPattern,
                                         kSpacedPunctuationPattern));

TEST(RegexMatcher, AWrongPatternIsAnErrorThatShowsIt) {
  const auto regex = make_regex_matcher("(a");
  ASSERT_FALSE(regex.ok());
  EXPECT_NE(regex.status().message().find("(a"), std::string::npos);
}

TEST(RegexMatcher, CatastrophicBacktrackingEnds) {
  const auto regex = make_regex_matcher("(a+)+b");
  ASSERT_TRUE(regex.ok());
  const std::string text(2000, 'a');
  EXPECT_TRUE(matches_of(**regex, text).empty());
}

TEST(RegexMatcher, DeepRecursionOfTheStackEnds) {
  const auto regex = make_regex_matcher("(?:(a)|b)*c");
  ASSERT_TRUE(regex.ok());
  const std::string text(3 << 20, 'a');
  EXPECT_TRUE(matches_of(**regex, text).empty());
}

std::vector<std::string> pieces_of(const SplitStage& stage, std::string_view text, bool at_start = true) {
  std::vector<std::string> pieces;
  stage.split(text, at_start, [&](std::string_view piece, bool) { pieces.emplace_back(piece); });
  return pieces;
}

using Pieces = std::vector<std::string>;

TEST(Split, Behaviors) {
  const auto with = [](SplitBehavior behavior, bool invert = false) {
    return pieces_of(*make_split(make_literal_matcher("-"), behavior, invert), "the-final--countdown-");
  };
  EXPECT_EQ(with(SplitBehavior::kIsolated), (Pieces{"the", "-", "final", "-", "-", "countdown", "-"}));
  EXPECT_EQ(with(SplitBehavior::kRemoved), (Pieces{"the", "final", "countdown"}));
  EXPECT_EQ(with(SplitBehavior::kRemoved, true), (Pieces{"-", "-", "-", "-"}));
  EXPECT_EQ(with(SplitBehavior::kMergedWithPrevious), (Pieces{"the-", "final-", "-", "countdown-"}));
  EXPECT_EQ(with(SplitBehavior::kMergedWithNext), (Pieces{"the", "-final", "-", "-countdown", "-"}));
  EXPECT_EQ(with(SplitBehavior::kContiguous), (Pieces{"the", "-", "final", "--", "countdown", "-"}));
}

TEST(Metaspace, PrependsAsItsSchemeSays) {
  EXPECT_EQ(pieces_of(*make_metaspace("▁", PrependScheme::kFirst, true), "a b"), (Pieces{"▁a", "▁b"}));
  EXPECT_EQ(pieces_of(*make_metaspace("▁", PrependScheme::kFirst, true), "a b", false), (Pieces{"a", "▁b"}));
  EXPECT_EQ(pieces_of(*make_metaspace("▁", PrependScheme::kAlways, false), "a b", false), (Pieces{"▁a▁b"}));
  EXPECT_EQ(pieces_of(*make_metaspace("▁", PrependScheme::kAlways, true), " a  b"), (Pieces{"▁a", "▁", "▁b"}));
}

TEST(Digits, AloneOrInRuns) {
  EXPECT_EQ(pieces_of(*make_digits(true), "a12٣b"), (Pieces{"a", "1", "2", "٣", "b"}));
  EXPECT_EQ(pieces_of(*make_digits(false), "a12٣b"), (Pieces{"a", "12٣", "b"}));
}

}  // namespace
}  // namespace lmdeploy
