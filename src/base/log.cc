#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <cctype>

namespace lmdeploy {

struct Logger::Sink {
  std::shared_ptr<spdlog::logger> logger;
};

namespace {

constexpr const char* kPattern = "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v";

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
    case LogLevel::kCritical: return spdlog::level::critical;
    case LogLevel::kOff: return spdlog::level::off;
  }
  return spdlog::level::info;
}

std::string escape_control(std::string_view line) {
  std::string out;
  out.reserve(line.size());
  for (unsigned char c : line) {
    if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == "CRITICAL" || upper == "FATAL") return LogLevel::kCritical;
  if (upper == "ERROR") return LogLevel::kError;
  if (upper == "WARN" || upper == "WARNING") return LogLevel::kWarning;
  if (upper == "INFO") return LogLevel::kInfo;
  if (upper == "DEBUG" || upper == "TRACE" || upper == "NOTSET") return LogLevel::kDebug;
  return invalid_argument(
      "log level '{}' is not one of CRITICAL, FATAL, ERROR, WARN, WARNING, INFO, DEBUG, TRACE, NOTSET",
      name);
}

Logger::Logger(LogLevel level) : sink_(std::make_shared<Sink>()), level_(level) {
  sink_->logger = std::make_shared<spdlog::logger>(
      "lmdeploy", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  sink_->logger->set_pattern(kPattern);
  sink_->logger->set_level(spdlog::level::trace);
}

Logger::Logger(std::shared_ptr<Sink> sink, LogLevel level) : sink_(std::move(sink)), level_(level) {}

Result<Logger> Logger::to_file(const std::string& path, LogLevel level) {
  auto sink = std::make_shared<Sink>();
  try {
    sink->logger = std::make_shared<spdlog::logger>(
        "lmdeploy", std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
  } catch (const spdlog::spdlog_ex& error) {
    return invalid_argument("log file '{}' cannot be opened: {}", path, error.what());
  }
  sink->logger->set_pattern(kPattern);
  sink->logger->set_level(spdlog::level::trace);
  sink->logger->flush_on(spdlog::level::trace);
  return Logger(std::move(sink), level);
}

void Logger::write(LogLevel level, std::string_view line) const {
  sink_->logger->log(to_spdlog(level), "{}", escape_control(line));
}

}  // namespace lmdeploy
