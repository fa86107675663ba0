// SseParser: reads back what http/sse.h writes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lmdeploy {

// Splits a received stream into events. Not thread-safe.
class SseParser {
 public:
  void push(std::string_view bytes) { buffer_.append(bytes); }
  // Data of the next complete event (data lines joined with '\n'); comments, other fields and
  // events without data are skipped.
  std::optional<std::string> next();

 private:
  std::optional<std::string_view> next_line();

  std::string buffer_;
  size_t position_ = 0;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace lmdeploy
