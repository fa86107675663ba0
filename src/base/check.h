// CHECK: an invariant of our own code. Failing one prints file, line, condition and message, and aborts.
#pragma once

#include <fmt/format.h>

#include <string>

namespace lmdeploy {

[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& message);

namespace check_detail {
inline std::string message() { return {}; }
template <class... Args>
std::string message(fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format(format, std::forward<Args>(args)...);
}
}  // namespace check_detail

}  // namespace lmdeploy

// CHECK(n > 0) or CHECK(n > 0, "rows of {} is {}", name, n). Stays on in release builds.
#define CHECK(condition, ...)                                            \
  do {                                                                   \
    if (!(condition)) [[unlikely]]                                       \
      ::lmdeploy::check_failed(__FILE__, __LINE__, #condition,           \
                               ::lmdeploy::check_detail::message(__VA_ARGS__)); \
  } while (0)
