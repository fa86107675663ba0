#include "cli/program.h"

#include <cstdio>
#include <cstdlib>

namespace lmdeploy::cli {

const char kVersion[] = LMDEPLOY_VERSION;

Result<Logger> make_logger(const LogOptions& options) {
  const char* environment = std::getenv("TM_LOG_LEVEL");
  const bool from_environment = environment != nullptr && *environment != '\0';
  const Result<LogLevel> level =
      parse_log_level(from_environment ? environment : options.log_level);
  if (!level.ok()) {
    return invalid_argument("{}: {}", from_environment ? "TM_LOG_LEVEL" : "--log-level",
                            level.status().message());
  }
  return Logger(*level);
}

int report_failure(const Status& status) {
  std::fprintf(stderr, "lmdeploy: %s\n", status.message().c_str());
  return status.code() == StatusCode::kInvalidArgument || status.code() == StatusCode::kUnsupported
             ? kExitUsage
             : kExitFailed;
}

}  // namespace lmdeploy::cli
