// SseParser: reads back what http/sse.h writes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lmdeploy {

// Splits a received stream into events. Not thread-safe.
class SseParser {
 public:
  explicit SseParser(size_t max_event_bytes = size_t{16} << 20)
      : max_event_bytes_(max_event_bytes) {}

  void push(std::string_view bytes) { buffer_.append(bytes); }
  // Data of the next complete event (data lines joined with '\n'); comments, other fields and
  // events without data are skipped.
  std::optional<std::string> next();
  // An event grew beyond the limit: give the stream up.
  bool overflowed() const { return buffer_.size() - position_ + data_.size() > max_event_bytes_; }

 private:
  std::optional<std::string_view> next_line();

  size_t max_event_bytes_;
  std::string buffer_;
  size_t position_ = 0;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace lmdeploy
