// ProgressBar: how far a benchmark is, on stderr; nothing where stderr is no terminal.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace lmdeploy::cli {

// Any thread may call.
class ProgressBar {
 public:
  ProgressBar(std::string what, int64_t total);
  ~ProgressBar();  // removes the bar
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void advance();  // one more is done

 private:
  const std::string what_;
  const int64_t total_;
  const bool terminal_;
  const double started_;
  std::mutex mutex_;
  int64_t done_ = 0;
  double shown_ = 0;
};

}  // namespace lmdeploy::cli
