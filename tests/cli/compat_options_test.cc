#include "cli/compat_options.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

namespace lmdeploy::cli {
namespace {

// What check_compat_options logs, and its status.
template <class Options>
std::pair<Status, std::string> check(const Options& options) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "compat_log";
  std::filesystem::remove(path);
  const Result<Logger> logger = Logger::to_file(path, LogLevel::kWarning);
  Status status = check_compat_options(options, *logger);
  std::ostringstream log;
  log << std::ifstream(path).rdbuf();
  return {std::move(status), log.str()};
}

TEST(CompatOptions, DefaultsSayNothing) {
  EXPECT_TRUE(check(ModelCompatOptions{}).first.ok());
  EXPECT_EQ(check(ModelCompatOptions{}).second, "");
  EXPECT_TRUE(check(ServerCompatOptions{}).first.ok());
  EXPECT_EQ(check(ServerCompatOptions{}).second, "");
}

TEST(CompatOptions, AcceptedOnesAreNoticedOnceEach) {
  ModelCompatOptions options;
  options.trust_remote_code = true;
  options.async = 0;
  options.backend = "pytorch";
  const auto [status, log] = check(options);
  EXPECT_TRUE(status.ok());
  EXPECT_NE(log.find("--trust-remote-code: no code"), std::string::npos) << log;
  EXPECT_NE(log.find("--async"), std::string::npos);
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
}

TEST(CompatOptions, RefusedOnesSayWhatToDo) {
  ServerCompatOptions options;
  options.allow_terminate_by_client = true;
  const Status status = check(options).first;
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_EQ(status.message(),
            "--allow-terminate-by-client is not in this version: send SIGTERM to the server");
}

TEST(CompatOptions, RawLogitsAreOtherNumbersThanLogProbabilities) {
  ModelCompatOptions options;
  options.logprobs_mode = "raw_logprobs";
  EXPECT_TRUE(check(options).first.ok());
  EXPECT_EQ(check(options).second, "");
  options.logprobs_mode = "raw_logits";
  EXPECT_EQ(check(options).first.message(),
            "--logprobs-mode is not in this version: leave it at raw_logprobs");
}

TEST(CompatOptions, EachHasHelpAndAReason) {
  auto look = [](const OptionInfo& info, const auto&) {
    EXPECT_GT(std::string_view(info.help).size(), 8u) << info.name;
    const bool noticed = *info.notice != '\0', refused = *info.refusal != '\0';
    EXPECT_TRUE(noticed != refused || std::string_view(info.name) == "backend") << info.name;
  };
  const ModelCompatOptions model;
  ModelCompatOptions::describe(look, model);
  const ServerCompatOptions server;
  ServerCompatOptions::describe(look, server);
  const ListCompatOptions list;
  ListCompatOptions::describe(look, list);
}

}  // namespace
}  // namespace lmdeploy::cli
