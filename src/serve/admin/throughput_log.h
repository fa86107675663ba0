// ThroughputLog: a log line every ten seconds in which the engine did something.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/log.h"
#include "engine/engine.h"

namespace lmdeploy {

// "Avg thr (in/out): 812.0 / 164.3 tokens/s, Server (succeeded/failed/running/waiting): 7 / 0 / 2 /
// 0, KV cache: 12.5%, Prefix cache hit rate: 0.0%" for what happened between two snapshots.
std::string throughput_line(const EngineStats& before, const EngineStats& now, double seconds);

class ThroughputLog {
 public:
  // `stats` is called on a thread of its own until the log is destroyed. No thread below INFO.
  ThroughputLog(std::function<EngineStats()> stats, Logger logger, double period_seconds = 10);
  ~ThroughputLog();

 private:
  void run();

  const std::function<EngineStats()> stats_;
  const Logger logger_;
  const double period_;
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace lmdeploy
