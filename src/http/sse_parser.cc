#include "http/sse_parser.h"

namespace lmdeploy {

std::optional<std::string_view> SseParser::next_line() {
  const size_t end = buffer_.find('\n', position_);
  if (end == std::string::npos) {
    buffer_.erase(0, position_);
    position_ = 0;
    return std::nullopt;
  }
  std::string_view line(buffer_.data() + position_, end - position_);
  if (line.ends_with('\r')) line.remove_suffix(1);
  position_ = end + 1;
  return line;
}

std::optional<std::string> SseParser::next() {
  while (const auto line = next_line()) {
    if (line->empty()) {
      if (!has_data_) continue;
      has_data_ = false;
      std::string event;
      event.swap(data_);
      return event;
    }
    if (!line->starts_with("data:")) continue;
    std::string_view value = line->substr(5);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_.append(value);
    has_data_ = true;
  }
  return std::nullopt;
}

}  // namespace lmdeploy
