#include "engine/step_loop.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace lmdeploy {

StepLoop::StepLoop(std::unique_ptr<Scheduler> scheduler, std::unique_ptr<ModelRunner> runner,
                   std::vector<int32_t> end_ids, Logger logger,
                   std::function<void()> on_device_failure)
    : scheduler_(std::move(scheduler)),
      runner_(std::move(runner)),
      end_ids_(std::move(end_ids)),
      logger_(std::move(logger)),
      plans_(static_cast<size_t>(runner_->depth())),
      on_device_failure_(std::move(on_device_failure)),
      thread_([this] { run(); }) {}

StepLoop::~StepLoop() {
  close();
  post(QuitCommand{});
  thread_.join();
}

void StepLoop::post(Command command) {
  {
    std::lock_guard lock(inbox_mutex_);
    inbox_.push_back(std::move(command));
  }
  inbox_ready_.notify_one();
}

bool StepLoop::reserve(int64_t choices, int64_t limit) {
  int64_t queued = queued_.load(std::memory_order_acquire);
  do {
    if (queued > 0 && queued + choices > limit) return false;
  } while (!queued_.compare_exchange_weak(queued, queued + choices, std::memory_order_acq_rel));
  return true;
}

void StepLoop::add(AddCommand command) {
  active_.fetch_add(1, std::memory_order_acq_rel);
  post(std::move(command));
}
void StepLoop::cancel(RequestId id) { post(CancelCommand{id}); }
void StepLoop::stop_choice(RequestId id, int choice, int64_t kept) {
  post(StopChoiceCommand{id, choice, kept});
}
void StepLoop::ended(RequestId id) { post(EndedCommand{id}); }
void StepLoop::close() { post(CloseCommand{}); }

EngineStats StepLoop::stats() const {
  std::lock_guard lock(stats_mutex_);
  return published_;
}

bool StepLoop::wait_idle(std::chrono::milliseconds limit) {
  std::unique_lock lock(stats_mutex_);
  return idle_.wait_for(lock, limit, [&] { return active() == 0; });
}

void StepLoop::run() {
  publish_stats();
  while (take_commands()) {
    const bool launched = failure_.ok() && launch();
    if (on_their_way() == plans_.size() || (!launched && on_their_way() > 0)) collect();
    publish_stats();
  }
}

bool StepLoop::take_commands() {
  {
    std::unique_lock lock(inbox_mutex_);
    if (scheduler_->idle() && on_their_way() == 0) inbox_ready_.wait(lock, [&] { return !inbox_.empty(); });
    taken_.swap(inbox_);
  }
  bool quit = false;
  for (Command& command : taken_) {
    std::visit(
        [&](auto& c) {
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(c)>, QuitCommand>) {
            quit = true;
          } else {
            handle(c);
          }
        },
        command);
  }
  taken_.clear();
  return !quit;
}

void StepLoop::handle(AddCommand& command) {
  RequestStream& stream = *command.stream;
  const GenerateRequest& request = stream.request();
  Running running{command.stream, {}, command.max_new_tokens, command.salt, false};
  NewSequence sequence;
  sequence.prompt = {command.stream, &request.prompt};  // the stream's own, which it keeps alive
  sequence.max_new_tokens = static_cast<int>(command.max_new_tokens);
  sequence.priority = request.priority;
  sequence.salt = command.salt;
  sequence.private_blocks = command.private_salt;
  const bool score = request.prompt_logprobs || request.last_logits;
  sequence.prompt_logits = score;
  for (int i = 0; i < request.sampling.n; ++i) {
    const SequenceId id = next_sequence_++;
    sequence.ids.push_back(id);
    running.choices.push_back({.sequence = id});
    owners_.emplace(id, Owner{stream.id(), i});
    runner_->add_sequence(id, {&request, i, command.sampling, score && i == 0});
  }
  const Status added = closed_           ? unavailable("the engine is shutting down")
                       : !failure_.ok() ? failure_
                                        : scheduler_->add(std::move(sequence));
  Running& kept = requests_.emplace(stream.id(), std::move(running)).first->second;
  if (added.ok()) return;
  for (size_t i = 0; i < kept.choices.size(); ++i) {
    end_choice(kept, static_cast<int>(i), closed_ ? FinishReason::kAbort : FinishReason::kError,
               added.message());
  }
  kept.stream->publish();
}

void StepLoop::handle(CancelCommand& command) {
  const auto found = requests_.find(command.id);
  if (found != requests_.end()) abort(found->second);
}

void StepLoop::handle(StopChoiceCommand& command) {
  const auto found = requests_.find(command.id);
  if (found == requests_.end()) return;
  Running& running = found->second;
  Choice& choice = running.choices[static_cast<size_t>(command.choice)];
  const auto kept = static_cast<int>(command.kept_tokens);
  if (choice.running) {
    scheduler_->cancel(choice.sequence, kept);
    end_choice(running, command.choice, FinishReason::kStop);
    return;
  }
  // It had ended by itself before the text showed the stop string: what follows must not be found.
  const std::vector<int32_t>& prompt = running.stream->request().prompt;
  std::vector<int32_t> tokens = prompt;
  tokens.insert(tokens.end(), choice.generated.begin(), choice.generated.end());
  scheduler_->forget(running.salt, 0, tokens, {}, static_cast<int>(prompt.size()) + kept);
}

void StepLoop::handle(EndedCommand& command) {
  const auto found = requests_.find(command.id);
  if (found == requests_.end()) return;
  switch (found->second.worst) {
    case FinishReason::kAbort: ++counts_.aborted; break;
    case FinishReason::kError: ++counts_.failed; break;
    default: ++counts_.finished;
  }
  requests_.erase(found);
  {
    std::lock_guard lock(stats_mutex_);
    active_.fetch_sub(1, std::memory_order_acq_rel);
  }
  idle_.notify_all();
}

void StepLoop::handle(CloseCommand&) {
  closed_ = true;
  for (auto& [id, running] : requests_) abort(running);
}

void StepLoop::abort(Running& running) {
  for (size_t i = 0; i < running.choices.size(); ++i) {
    Choice& choice = running.choices[i];
    if (!choice.running) continue;
    scheduler_->cancel(choice.sequence, static_cast<int>(choice.generated.size()));
    end_choice(running, static_cast<int>(i), FinishReason::kAbort);
  }
  running.stream->publish();
}

bool StepLoop::launch() {
  StepPlan& plan = plans_[launched_ % plans_.size()];
  scheduler_->plan(plan);
  if (plan.empty()) return false;
  if (on_their_way() == 0) busy_since_ = monotonic_seconds();
  runner_->launch(plan);
  ++launched_;
  return true;
}

void StepLoop::collect() {
  const StepPlan& plan = plans_[collected_++ % plans_.size()];
  const double asked = monotonic_seconds();
  const Result<const StepOutput*> output = runner_->collect();
  counts_.device_wait_seconds += monotonic_seconds() - asked;
  if (!output.ok()) return fail(output.status());
  count_step(plan);
  results_.assign(plan.rows.size(), RowResult{});
  accepted_.assign(plan.rows.size(), 0);
  touched_.clear();
  for (size_t r = 0; r < plan.rows.size(); ++r) deliver(r, plan.rows[r], (*output)->sampled[r]);
  scheduler_->complete(plan.step, results_);
  scheduler_->retire(plan.step);
  for (RequestStream* stream : touched_) stream->publish();
}

void StepLoop::count_step(const StepPlan& plan) {
  const bool decodes_alone = static_cast<size_t>(plan.num_decode_rows) == plan.rows.size();
  StepTotals& totals = decodes_alone ? counts_.decode_steps : counts_.prompt_steps;
  const double now = monotonic_seconds();
  ++counts_.steps;
  ++totals.steps;
  totals.sequences += static_cast<int64_t>(plan.rows.size());
  totals.tokens += plan.total_tokens;
  totals.seconds += now - std::exchange(busy_since_, now);
}

void StepLoop::fail(const Status& status) {
  logger_.error("the device has failed, and every running request with it: {}", status.message());
  failure_ = status;
  collected_ = launched_;
  for (auto& [id, running] : requests_) {
    for (size_t i = 0; i < running.choices.size(); ++i) {
      Choice& choice = running.choices[i];
      if (!choice.running) continue;
      scheduler_->cancel(choice.sequence, static_cast<int>(choice.generated.size()));
      end_choice(running, static_cast<int>(i), FinishReason::kError, status.message());
    }
    running.stream->publish();
  }
  on_device_failure_();
}

void StepLoop::deliver(size_t r, const PlanRow& row, const SampledToken& sampled) {
  const auto found = owners_.find(row.sequence);
  if (found == owners_.end()) return;  // it ended while the step was on its way
  const Owner owner = found->second;
  Running& running = requests_.at(owner.request);
  Choice& choice = running.choices[static_cast<size_t>(owner.choice)];
  RequestStream& stream = *running.stream;
  const GenerateRequest& request = stream.request();
  leave_queue(choice);
  if (!running.started) {
    running.started = true;
    stream.set_started(monotonic_seconds(), row.first_position);
    counts_.prompt_tokens += stream.prompt_tokens();
    counts_.cached_tokens += row.first_position;
  }
  const bool prompt_done = row.is_prefill() && choice.generated.empty() &&
                           row.kv_length == static_cast<int32_t>(request.prompt.size());
  if (prompt_done) deliver_prompt_end(running, owner.choice, row);
  if (!row.samples()) return;
  touched_.push_back(&stream);
  RowResult& result = results_[r];
  result.kept_tokens = static_cast<int>(choice.generated.size());
  if (sampled.token < 0) {
    result.finished = true;
    logger_.error("{}: no finite logit at position {}", request.id, row.kv_length);
    end_choice(running, owner.choice, FinishReason::kError, "the model's output has no finite logit");
    return;
  }
  accepted_[r] = sampled.token;
  result.tokens = {&accepted_[r], 1};
  if (ends(request.sampling, sampled.token)) {
    result.finished = true;
    end_choice(running, owner.choice, FinishReason::kStop);
    return;
  }
  choice.generated.push_back(sampled.token);
  ++result.kept_tokens;
  ++counts_.generated_tokens;
  stream.push_token(owner.choice, sampled);
  if (static_cast<int64_t>(choice.generated.size()) == running.max_new_tokens) {
    result.finished = true;
    end_choice(running, owner.choice, FinishReason::kLength);
  }
}

void StepLoop::leave_queue(Choice& choice) {
  if (std::exchange(choice.queued, false)) queued_.fetch_sub(1, std::memory_order_acq_rel);
}

void StepLoop::deliver_prompt_end(Running& running, int choice, const PlanRow& row) {
  const GenerateRequest& request = running.stream->request();
  if (choice == 0 && (request.prompt_logprobs || request.last_logits)) {
    PromptScores scores = runner_->take_prompt_scores(row.sequence);
    if (!request.prompt_logprobs) scores.tokens.clear();
    running.stream->push_prompt(std::move(scores.tokens), std::move(scores.last_logits));
  }
  if (running.max_new_tokens > 0) return;
  end_choice(running, choice, FinishReason::kLength);
  touched_.push_back(running.stream.get());
}

bool StepLoop::ends(const SamplingParams& sampling, int32_t token) const {
  const auto holds = [token](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return holds(sampling.stop_token_ids) || (!sampling.ignore_eos && !sampling.end_ids_are_plain && holds(end_ids_));
}

// The sequence is gone from the scheduler, or goes with the result of this step.
void StepLoop::end_choice(Running& running, int index, FinishReason reason, std::string error) {
  Choice& choice = running.choices[static_cast<size_t>(index)];
  if (!choice.running) return;
  choice.running = false;
  leave_queue(choice);
  runner_->remove_sequence(choice.sequence);
  owners_.erase(choice.sequence);
  running.worst = std::max(running.worst, reason);
  running.stream->push_finish(index, reason, std::move(error));
}

void StepLoop::publish_stats() {
  const SchedulerStats stats = scheduler_->stats();
  counts_.running = stats.running;
  counts_.waiting = stats.waiting;
  counts_.blocks_total = stats.blocks_in_use + stats.blocks_cached + stats.blocks_free;
  counts_.blocks_used = stats.blocks_in_use;
  counts_.blocks_cached = stats.blocks_cached;
  counts_.preempted = stats.preemptions;
  counts_.preempted_in_prompt = stats.prefill_preemptions;
  {
    std::lock_guard lock(stats_mutex_);
    published_ = counts_;
  }
}

}  // namespace lmdeploy
