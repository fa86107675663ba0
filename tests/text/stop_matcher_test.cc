#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lmdeploy {
namespace {

struct Outcome {
  std::string text;
  std::optional<size_t> stop;
};

// Pushes `text` in pieces of random sizes.
Outcome run_pieces(const std::vector<std::string>& stops, bool include, const std::string& text, uint64_t seed) {
  StopMatcher matcher(stops, include);
  Outcome run;
  for (size_t pos = 0, i = 0; pos < text.size() && !run.stop; ++i) {
    const size_t n = 1 + hash_random(seed, i) % 4;
    const auto output = matcher.push(std::string_view(text).substr(pos, n));
    run.text += output.text;
    run.stop = output.stop_index;
    pos += n;
  }
  if (!run.stop) run.text += matcher.flush();
  return run;
}

TEST(StopMatcher, FindsAStopAcrossAnyBorders) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Outcome run = run_pieces({"###", "</s>"}, false, "hello ## <</s> tail", seed);
    EXPECT_EQ(run.text, "hello ## <");
    EXPECT_EQ(run.stop, 1u);
  }
}

TEST(StopMatcher, KeepsTheStopWhenAsked) {
  EXPECT_EQ(run_pieces({"END"}, true, "a ENEND b", 3).text, "a ENEND");
}

TEST(StopMatcher, ReleasesHeldTextAtTheEnd) {
  const Outcome run = run_pieces({"abcabd"}, false, "xxabcab", 1);
  EXPECT_EQ(run.text, "xxabcab");
  EXPECT_FALSE(run.stop);
}

TEST(StopMatcher, HoldsNoMoreThanItMust) {
  StopMatcher matcher({"abc"}, false);
  EXPECT_EQ(matcher.push("xyab").text, "xy");
  EXPECT_EQ(matcher.push("d").text, "abd");
  EXPECT_EQ(matcher.push("é").text, "é");
}

TEST(StopMatcher, EarliestEndWinsThenTheLongest) {
  StopMatcher one({"bcd", "c"}, false);
  EXPECT_EQ(one.push("abcd").stop_index, 1u);
  StopMatcher two({"c", "bc"}, false);
  const auto output = two.push("abcd");
  EXPECT_EQ(output.stop_index, 1u);
  EXPECT_EQ(output.text, "a");
}

TEST(StopMatcher, EmptyStopsAreIgnored) {
  const Outcome run = run_pieces({""}, false, "text", 0);
  EXPECT_EQ(run.text, "text");
  EXPECT_FALSE(run.stop);
}

// Whatever the pieces, the outcome is that of the whole text searched byte by byte.
TEST(StopMatcher, EqualsAPlainSearch) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    std::string text;
    for (uint64_t i = 0; i < 30; ++i) text += "abc"[hash_random(seed, 100 + i) % 3];
    const std::vector<std::string> stops = {"abca", "cc", "bab"};
    Outcome expected{text, {}};
    for (size_t end = 1; end <= text.size() && !expected.stop; ++end) {
      for (size_t i = 0; i < stops.size() && !expected.stop; ++i) {
        if (!std::string_view(text).substr(0, end).ends_with(stops[i])) continue;
        expected = {text.substr(0, end - stops[i].size()), i};
      }
    }
    const Outcome run = run_pieces(stops, false, text, seed);
    ASSERT_EQ(run.text, expected.text) << text;
    ASSERT_EQ(run.stop, expected.stop) << text;
  }
}

}  // namespace
}  // namespace lmdeploy
