#include "text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace lmdeploy {

namespace {

// Length of the longest end of `text` that is a proper beginning of `stop`.
size_t open_length(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.ends_with(stop.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_stop)
    : stops_(std::move(stops)), include_stop_(include_stop) {}

StopMatcher::Output StopMatcher::push(std::string_view text) {
  held_ += text;
  Output output;
  size_t best_end = std::string::npos;
  for (size_t i = 0; i < stops_.size(); ++i) {
    if (stops_[i].empty()) continue;
    const size_t at = held_.find(stops_[i]);
    if (at == std::string::npos) continue;
    const size_t end = at + stops_[i].size();
    const bool longer = output.stop_index && stops_[i].size() > stops_[*output.stop_index].size();
    if (end < best_end || (end == best_end && longer)) {
      best_end = end;
      output.stop_index = i;
    }
  }
  if (output.stop_index) {
    const size_t kept = include_stop_ ? best_end : best_end - stops_[*output.stop_index].size();
    output.text = held_.substr(0, kept);
    held_.clear();
    return output;
  }
  size_t open = 0;
  for (const std::string& stop : stops_) {
    if (!stop.empty()) open = std::max(open, open_length(held_, stop));
  }
  output.text = held_.substr(0, held_.size() - open);
  held_.erase(0, held_.size() - open);
  return output;
}

std::string StopMatcher::flush() { return std::exchange(held_, {}); }

}  // namespace lmdeploy
