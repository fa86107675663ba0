#include "text/jinja/text_search.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lmdeploy::jinja {
namespace {

std::vector<size_t> matches(std::string_view text, std::string_view wanted,
                            TextSearch::Direction direction) {
  std::vector<size_t> found;
  TextSearch search(text, wanted, direction);
  for (size_t at; (at = search.next()) != TextSearch::kNone;) found.push_back(at);
  return found;
}

std::string random_text(uint64_t seed, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) text += "ab"[hash_random(seed, i) % 2];
  return text;
}

TEST(TextSearch, EqualsThePlainSearchBothWays) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const std::string text = random_text(seed, seed % 40);
    const std::string wanted = random_text(seed + 90000, 1 + seed % 7);
    std::vector<size_t> forward, backward;
    for (size_t at = text.find(wanted); at != std::string::npos;
         at = text.find(wanted, at + wanted.size())) {
      forward.push_back(at);
    }
    std::string_view rest = text;
    for (size_t at; (at = rest.rfind(wanted)) != std::string::npos; rest = rest.substr(0, at)) {
      backward.push_back(at);
    }
    ASSERT_EQ(matches(text, wanted, TextSearch::Direction::kForward), forward) << text << ' ' << wanted;
    ASSERT_EQ(matches(text, wanted, TextSearch::Direction::kBackward), backward) << text << ' ' << wanted;
  }
}

TEST(TextSearch, TheWorstTextsTakeLinearTime) {
  const std::string text(8'000'000, 'a');
  const std::string half(4'000'000, 'a');
  EXPECT_TRUE(matches(text, half + 'b', TextSearch::Direction::kForward).empty());
  EXPECT_TRUE(matches(text, 'b' + half, TextSearch::Direction::kBackward).empty());
  EXPECT_TRUE(contains_text(text, ""));
  EXPECT_TRUE(contains_text(text, half));
  EXPECT_FALSE(contains_text(half, text));
}

}  // namespace
}  // namespace lmdeploy::jinja
