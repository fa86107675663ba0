// Clock: monotonic seconds for durations, unix seconds for time stamps.
#pragma once

#include <chrono>
#include <cstdint>

namespace lmdeploy {

inline double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace lmdeploy
