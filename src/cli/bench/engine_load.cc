#include "cli/bench/engine_load.h"

#include <condition_variable>
#include <mutex>

#include "base/clock.h"

namespace lmdeploy::cli {

namespace {

// Places of requests in flight.
class Places {
 public:
  explicit Places(int64_t count) : free_(count), all_(count) {}
  void take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return free_ > 0; });
    --free_;
  }
  void give_back() {
    std::lock_guard lock(mutex_);
    ++free_;
    changed_.notify_all();
  }
  void wait_all_free() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return free_ == all_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t free_;
  const int64_t all_;
};

GenerateRequest engine_request(const BenchRequest& work, const BenchSampling& sampling, size_t index) {
  GenerateRequest request;
  request.id = fmt::format("bench-{}", index);
  request.prompt = work.prompt;
  request.sampling.greedy = sampling.top_k == 1 || sampling.temperature == 0;
  request.sampling.top_k = static_cast<int>(sampling.top_k);
  request.sampling.top_p = sampling.top_p;
  request.sampling.temperature = sampling.temperature;
  request.sampling.seed = index;
  request.sampling.ignore_eos = true;
  request.sampling.max_new_tokens = work.new_tokens;
  return request;
}

}  // namespace

Result<std::vector<RequestRecord>> run_on_engine(Engine& engine, const std::vector<BenchRequest>& requests,
                                                 int64_t concurrency, const BenchSampling& sampling,
                                                 ProgressBar& progress) {
  std::vector<RequestRecord> records(requests.size());
  Places places(concurrency);
  Status refused;
  for (size_t i = 0; i < requests.size() && refused.ok(); ++i) {
    places.take();
    RequestRecord& record = records[i];
    record.prompt_tokens = static_cast<int64_t>(requests[i].prompt.size());
    record.arrivals.reserve(static_cast<size_t>(requests[i].new_tokens));
    record.sent = monotonic_seconds();
    const Result<RequestId> id =
        engine.submit(engine_request(requests[i], sampling, i), [&record, &places, &progress](GenerateOutput&& output) {
          const double now = monotonic_seconds();
          record.arrivals.insert(record.arrivals.end(), output.tokens.size(), now);
          if (!output.finish) return true;
          record.ended = now;
          record.error = std::move(output.error);
          progress.advance();
          places.give_back();
          return true;
        });
    if (id.ok()) continue;
    refused = id.status();
    places.give_back();
  }
  places.wait_all_free();
  if (!refused.ok()) return refused;
  return records;
}

}  // namespace lmdeploy::cli
