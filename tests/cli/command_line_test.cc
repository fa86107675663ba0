#include "cli/command_line.h"

#include <gtest/gtest.h>

namespace lmdeploy::cli {
namespace {

using Words = std::vector<std::string>;

Words normalize(const Words& words) {
  CommandLineSpellings spellings;
  spellings.flags = {"--ssl", "--trust-remote-code"};
  spellings.short_words = {"-pt"};
  spellings.older[{"chat", "torch"}] = {"chat", "--backend=pytorch"};
  return normalize_command_line(words, spellings);
}

TEST(CommandLine, UnderscoresOfNamesBecomeDashesAndValuesStay) {
  EXPECT_EQ(normalize({"--server_name", "my_host", "--model_name=a_b=c_d", "./my_model"}),
            (Words{"--server-name", "my_host", "--model-name=a_b=c_d", "./my_model"}));
  EXPECT_EQ(normalize({"-p", "_x_", "check_env"}), (Words{"-p", "_x_", "check_env"}));
}

TEST(CommandLine, TrueAndFalseAreSwallowedByFlagsAlone) {
  EXPECT_EQ(normalize({"--ssl", "True", "--trust_remote_code", "False"}),
            (Words{"--ssl=true", "--trust-remote-code=false"}));
  EXPECT_EQ(normalize({"--prompt", "True"}), (Words{"--prompt", "True"}));
  EXPECT_EQ(normalize({"--ssl=True", "True"}), (Words{"--ssl=True", "True"}));
  EXPECT_EQ(normalize({"--ssl", "true"}), (Words{"--ssl", "true"}));
  EXPECT_EQ(normalize({"--ssl"}), Words{"--ssl"});
}

TEST(CommandLine, DottedNamesBecomeOneValue) {
  EXPECT_EQ(normalize({"--hf_overrides.rope_scaling.rope_type", "yarn", "x"}),
            (Words{"--hf-overrides=rope_scaling.rope_type=yarn", "x"}));
  EXPECT_EQ(normalize({"--hf-overrides.a=1.5"}), Words{"--hf-overrides=a=1.5"});
  EXPECT_EQ(normalize({"--top-p=0.5"}), Words{"--top-p=0.5"});
}

TEST(CommandLine, OlderSpellingsCountAtTheBeginningOnly) {
  EXPECT_EQ(normalize({"chat", "torch", "m"}), (Words{"chat", "--backend=pytorch", "m"}));
  EXPECT_EQ(normalize({"chat", "m", "torch"}), (Words{"chat", "m", "torch"}));
  EXPECT_EQ(normalize({"chat"}), Words{"chat"});
}

TEST(CommandLine, TwoLettersAfterOneDashAreOneOption) {
  EXPECT_EQ(normalize({"-pt", "8", "-p", "-tx"}), (Words{"--pt", "8", "-p", "-tx"}));
}

TEST(CommandLine, NothingAfterALoneDashDashIsTouched) {
  EXPECT_EQ(normalize({"--a_b", "--", "--c_d", "True"}), (Words{"--a-b", "--", "--c_d", "True"}));
}

}  // namespace
}  // namespace lmdeploy::cli
