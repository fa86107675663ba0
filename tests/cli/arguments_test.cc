#include "cli/arguments.h"

#include <gtest/gtest.h>

namespace lmdeploy::cli {
namespace {

struct Options {
  bool ssl = false, color = true;
  int tp = 1;
  int64_t length = 0;
  double share = 0.8;
  std::string kind = "chat";
  std::vector<std::string> keys = {"*"};
  std::optional<int64_t> seed;
  std::optional<double> temperature;
  std::optional<std::string> prompt;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "ssl", .help = "serve HTTPS"}, self.ssl);
    visit({.name = "color", .help = "colours"}, self.color);
    visit({.name = "tp", .help = "ranks"}, self.tp);
    visit({.name = "max-length", .help = "tokens", .aliases = {"length", "l"}}, self.length);
    visit({.name = "cache-share", .help = "share"}, self.share);
    visit({.name = "kind", .help = "kind of prompt", .choices = {"chat", "plain"}}, self.kind);
    visit({.name = "api-keys", .help = "keys"}, self.keys);
    visit({.name = "seed", .help = "seed"}, self.seed);
    visit({.name = "temperature", .help = "temperature"}, self.temperature);
    visit({.name = "prompt", .help = "prompt"}, self.prompt);
  }
};

struct Outcome {
  int status = 0;
  bool ran = false;
  std::string model;
  Options options;
  std::string out, err;
};

// program chat MODEL [options]; program serve api_server; program serve gradio (missing).
Outcome run(std::vector<const char*> words) {
  Outcome outcome;
  Command root = Command::root("program", "A program.", "1.2.3");
  Command chat = root.subcommand("chat", "Talk.");
  chat.older_spelling("torch", {"--kind=plain"});
  chat.positional("model", "a model", outcome.model);
  chat.options(outcome.options);
  chat.run([&] {
    outcome.ran = true;
    return 7;
  });
  Command serve = root.subcommand("serve", "Serve.");
  Command server = serve.subcommand("api_server", "Serve an API.");
  server.run([] { return 8; });
  serve.not_in_this_version("gradio", "use chat");
  words.insert(words.begin(), "program");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  outcome.status = root.parse_and_run(static_cast<int>(words.size()), words.data());
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(Arguments, EveryTypeIsRead) {
  const Outcome outcome = run({"chat",
                               "m",
                               "--ssl",
                               "--no-color",
                               "--tp",
                               "2",
                               "-l",
                               "3000000000",
                               "--cache_share=0.5",
                               "--kind",
                               "plain",
                               "--seed",
                               "-1",
                               "--temperature",
                               "0",
                               "--prompt",
                               "",
                               "--api-keys",
                               "a",
                               "b"});
  EXPECT_EQ(outcome.status, 7) << outcome.err;
  EXPECT_EQ(outcome.model, "m");
  EXPECT_TRUE(outcome.options.ssl);
  EXPECT_FALSE(outcome.options.color);
  EXPECT_EQ(outcome.options.tp, 2);
  EXPECT_EQ(outcome.options.length, 3000000000);
  EXPECT_EQ(outcome.options.share, 0.5);
  EXPECT_EQ(outcome.options.kind, "plain");
  EXPECT_EQ(outcome.options.keys, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(outcome.options.seed, -1);
  EXPECT_EQ(outcome.options.temperature, 0.0);
  EXPECT_EQ(outcome.options.prompt, "");
}

TEST(Arguments, WhatIsNotGivenKeepsItsDefault) {
  const Outcome outcome = run({"chat", "m"});
  EXPECT_EQ(outcome.status, 7);
  EXPECT_FALSE(outcome.options.ssl);
  EXPECT_TRUE(outcome.options.color);
  EXPECT_EQ(outcome.options.keys, std::vector<std::string>{"*"});
  EXPECT_FALSE(outcome.options.seed || outcome.options.temperature || outcome.options.prompt);
}

TEST(Arguments, TheLastValueWins) {
  EXPECT_EQ(run({"chat", "m", "--tp", "2", "--tp=3"}).options.tp, 3);
}

TEST(Arguments, OlderSpellings) {
  const Outcome outcome = run({"chat", "torch", "m", "--ssl", "True"});
  EXPECT_EQ(outcome.status, 7) << outcome.err;
  EXPECT_EQ(outcome.options.kind, "plain");
  EXPECT_TRUE(outcome.options.ssl);
  EXPECT_FALSE(run({"chat", "m", "--ssl", "False"}).options.ssl);
  EXPECT_TRUE(run({"chat", "m", "--ssl=True"}).options.ssl);
}

void expect_usage_error(std::vector<const char*> words, const std::string& text) {
  const Outcome outcome = run(std::move(words));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_FALSE(outcome.ran);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err.substr(0, text.size()), text);
}

TEST(Arguments, ErrorsNameTheCommandAndTheNearestName) {
  expect_usage_error({"chta"}, "program: unknown command 'chta'; did you mean 'chat'?");
  expect_usage_error({"zebra"}, "program: unknown command 'zebra'\n");
  expect_usage_error({"chat", "m", "--max_lenght", "1"},
                     "program chat: unknown option '--max-lenght'; did you mean '--max-length'?\n"
                     "See 'program chat --help'.");
  expect_usage_error({"chat", "--temprature=1"},
                     "program chat: unknown option '--temprature'; did you mean '--temperature'?");
  expect_usage_error({"serve", "api_serve"},
                     "program serve: unknown command 'api_serve'; did you mean 'api_server'?");
  expect_usage_error({"serve", "api_server", "--x"},
                     "program serve api_server: unknown option '--x'\n"
                     "See 'program serve api_server --help'.");
  expect_usage_error({"chat", "m", "n"}, "program chat: unknown argument 'n'");
}

TEST(Arguments, ErrorsOfValues) {
  expect_usage_error({"chat"}, "program chat: model is required");
  expect_usage_error({"chat", "m", "--tp"}, "program chat: --tp needs a value");
  expect_usage_error({"chat", "m", "--tp", "2x"}, "program chat: --tp = 2x: expected a number");
  expect_usage_error({"chat", "m", "--tp", "99999999999"}, "program chat: --tp = 99999999999");
  expect_usage_error({"chat", "m", "--kind", "sing"},
                     "program chat: --kind: 'sing' is not one of chat, plain");
}

TEST(Arguments, CommandsThatAreMissing) {
  expect_usage_error({"serve", "gradio", "http://x", "--restful_api", "True", "-h"},
                     "program serve gradio: not in this version; use chat\n");
}

TEST(Arguments, HelpShowsPathDefaultsAndChoices) {
  for (const std::vector<const char*>& words :
       {std::vector<const char*>{"chat", "--help"}, {"chat", "m", "-h"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_FALSE(outcome.ran);
    for (const char* part : {"Usage: program chat", "kind of prompt {chat, plain} (default: chat)",
                             "ranks (default: 1)", "share (default: 0.8)", "keys (default: *)"}) {
      EXPECT_NE(outcome.out.find(part), std::string::npos) << part << "\n" << outcome.out;
    }
  }
  EXPECT_NE(run({}).out.find("Usage: program "), std::string::npos);
  EXPECT_NE(run({"serve"}).out.find("Usage: program serve"), std::string::npos);
  EXPECT_EQ(run({"--version"}).out, "1.2.3\n");
}

}  // namespace
}  // namespace lmdeploy::cli
