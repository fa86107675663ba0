#include "cli/terminal_text.h"

#include <gtest/gtest.h>

namespace lmdeploy::cli {
namespace {

TEST(TerminalText, ControlsAreReplaced) {
  EXPECT_EQ(without_controls("\x1b]0;title\x07"), "\uFFFD]0;title\uFFFD");
  EXPECT_EQ(without_controls("a\rb\x7f"), "a\uFFFDb\uFFFD");
  EXPECT_EQ(without_controls("\xC2\x9B"
                             "31m"),
            "\uFFFD31m");
}

TEST(TerminalText, TextStays) {
  const std::string text = "a\tb\n¡ünï 你好 🌟 \u00A0";
  EXPECT_EQ(without_controls(text), text);
  EXPECT_EQ(without_controls(""), "");
}

}  // namespace
}  // namespace lmdeploy::cli
