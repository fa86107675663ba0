// LoadProgress: a progress bar on stderr while a model loads; nothing where stderr is no terminal
// or loading takes no time worth showing.
#pragma once

#include <mutex>

namespace lmdeploy::cli {

// show() may be called from any thread.
class LoadProgress {
 public:
  LoadProgress();
  void show(double done);  // in [0, 1]
  void finish();           // removes the bar

 private:
  std::mutex mutex_;
  const bool terminal_;
  const double started_;
  int shown_percent_ = -1;
};

}  // namespace lmdeploy::cli
