// Logger: levelled text log lines. A value that main (or an Engine) makes and passes down; there is
// no global logger. Thread-safe.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lmdeploy {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kCritical, kOff };

// Names as LMDeploy's --log-level and TM_LOG_LEVEL take them, any case: CRITICAL FATAL ERROR WARN
// WARNING INFO DEBUG TRACE NOTSET.
Result<LogLevel> parse_log_level(std::string_view name);

class Logger {
 public:
  // Writes to stderr; colours only where stderr is a terminal.
  explicit Logger(LogLevel level);
  // Writes to `path`, appending.
  static Result<Logger> to_file(const std::string& path, LogLevel level);

  bool enabled(LogLevel level) const { return level >= level_; }
  LogLevel level() const { return level_; }

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(LogLevel::kDebug)) write(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(LogLevel::kInfo)) write(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(LogLevel::kWarning)) write(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(LogLevel::kError)) write(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
  }

  // One line at `level`, whether or not it is enabled. Control characters are escaped, so that a
  // request's text cannot forge lines.
  void write(LogLevel level, std::string_view line) const;

 private:
  struct Sink;
  Logger(std::shared_ptr<Sink> sink, LogLevel level);
  std::shared_ptr<Sink> sink_;
  LogLevel level_;
};

}  // namespace lmdeploy
