// StepLoop: the engine thread. It alone owns the scheduler, the runner and the list of running
// requests; everybody else leaves commands in its inbox.
//
// One turn: take commands, plan and launch the next step, collect the oldest one on its way: hand its
// tokens to the streams, complete and retire it. The CPU's step is over when it is launched; a GPU
// runs one step while the host plans the next.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/log.h"
#include "engine/model_runner.h"
#include "engine/request_stream.h"
#include "engine/stats.h"
#include "sched/scheduler.h"

namespace lmdeploy {

// A validated request, ready to run.
struct AddCommand {
  std::shared_ptr<RequestStream> stream;
  std::shared_ptr<const RequestSampling> sampling;
  int64_t max_new_tokens = 0;  // final
  uint64_t salt = 0;           // who may share its KV blocks
  bool private_salt = false;   // nobody else, ever
};

class StepLoop {
 public:
  // `end_ids`: the model's own end-of-turn ids.
  // `on_device_failure` is called on the engine thread when the device has failed, after every
  // running request got its last output (kError); requests that come later fail at once.
  StepLoop(std::unique_ptr<Scheduler> scheduler, std::unique_ptr<ModelRunner> runner,
           std::vector<int32_t> end_ids, Logger logger, std::function<void()> on_device_failure);
  // Aborts what runs and joins.
  ~StepLoop();

  // Any thread.
  // Takes places in the queue for a call of so many choices (each request's n), all or none. An empty
  // queue takes any call, so that none is refused for ever.
  bool reserve(int64_t choices, int64_t limit);
  // Of a request whose choices have places. After close() the request is aborted.
  void add(AddCommand command);
  void cancel(RequestId id);
  void stop_choice(RequestId id, int choice, int64_t kept_tokens);
  void ended(RequestId id);  // the text side is done with a request
  void close();              // aborts every request, those added from now on included
  EngineStats stats() const;
  // Requests added and not yet ended.
  int64_t active() const { return active_.load(std::memory_order_acquire); }
  // Places reserved by choices that no step has begun.
  int64_t queued() const { return queued_.load(std::memory_order_acquire); }
  // Waits until active() is 0, at most `limit`; false when it is not.
  bool wait_idle(std::chrono::milliseconds limit);

 private:
  struct CancelCommand { RequestId id; };
  struct StopChoiceCommand { RequestId id; int choice; int64_t kept_tokens; };
  struct EndedCommand { RequestId id; };
  struct CloseCommand {};
  struct QuitCommand {};
  using Command = std::variant<AddCommand, CancelCommand, StopChoiceCommand, EndedCommand,
                               CloseCommand, QuitCommand>;

  struct Choice {
    SequenceId sequence = 0;
    std::vector<int32_t> generated;
    bool queued = true;   // no step has begun it
    bool running = true;
  };
  struct Running {
    std::shared_ptr<RequestStream> stream;
    std::vector<Choice> choices;
    int64_t max_new_tokens = 0;
    uint64_t salt = 0;
    bool started = false;
    FinishReason worst = FinishReason::kStop;  // of its choices
  };
  struct Owner {
    RequestId request;
    int choice;
  };

  void run();
  void post(Command command);
  bool take_commands();               // false: quit
  void handle(AddCommand& command);
  void handle(CancelCommand& command);
  void handle(StopChoiceCommand& command);
  void handle(EndedCommand& command);
  void handle(CloseCommand& command);
  bool launch();    // false: there is nothing to launch
  void collect();
  size_t on_their_way() const { return launched_ - collected_; }
  void fail(const Status& status);
  void count_step(const StepPlan& plan);
  void deliver(size_t row, const PlanRow& plan_row, const SampledToken& sampled);
  void leave_queue(Choice& choice);
  void deliver_prompt_end(Running& running, int choice, const PlanRow& plan_row);
  void end_choice(Running& running, int choice, FinishReason reason, std::string error = {});
  void abort(Running& running);
  bool ends(const SamplingParams& sampling, int32_t token) const;
  void publish_stats();

  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ModelRunner> runner_;
  const std::vector<int32_t> end_ids_;
  Logger logger_;

  std::mutex inbox_mutex_;
  std::condition_variable inbox_ready_;
  std::vector<Command> inbox_;

  // Engine thread.
  std::vector<Command> taken_;
  std::unordered_map<RequestId, Running> requests_;
  std::unordered_map<SequenceId, Owner> owners_;
  SequenceId next_sequence_ = 1;
  bool closed_ = false;
  std::vector<StepPlan> plans_;       // a ring of the runner's depth
  size_t launched_ = 0, collected_ = 0;
  std::function<void()> on_device_failure_;
  Status failure_;                    // of the device
  std::vector<RowResult> results_;
  std::vector<int32_t> accepted_;     // one per row
  std::vector<RequestStream*> touched_;
  EngineStats counts_;
  double busy_since_ = 0;             // the oldest step on its way: its launch, or the end of the last

  std::atomic<int64_t> active_{0}, queued_{0};
  mutable std::mutex stats_mutex_;
  std::condition_variable idle_;
  EngineStats published_;
  std::thread thread_;                // last: starts when everything above is made
};

}  // namespace lmdeploy
