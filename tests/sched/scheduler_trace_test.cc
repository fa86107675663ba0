// 10,000 random request traces through the scheduler and a device of hashes (fake_device.h).
// A failing trace prints its seed; LMDEPLOY_TRACE_SEED=seed runs that one alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "sched/scheduler.h"
#include "tests/sched/fake_device.h"

namespace lmdeploy {
namespace {

constexpr KvGroupSpec kFull{KvGroupKind::kFull, 0};
constexpr KvGroupSpec window(int w) { return {KvGroupKind::kWindow, w}; }
constexpr KvGroupSpec kRecurrent{KvGroupKind::kRecurrent, 0};

struct Config {
  const char* name;
  std::vector<KvGroupSpec> groups;
  int traces;
};

void PrintTo(const Config& config, std::ostream* out) { *out << config.name; }

class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  int below(int n) { return static_cast<int>(hash_random(seed_, ++count_) % n); }
  int between(int low, int high) { return low + below(high - low + 1); }
  bool one_in(int n) { return below(n) == 0; }

 private:
  uint64_t seed_;
  uint64_t count_ = 0;
};

struct Totals {
  int64_t preemptions = 0, hits = 0, copies = 0, cancels = 0, finished = 0, refused = 0;
};

// One trace: an engine that adds, cancels, plans ahead and completes late, as the draws say.
class Trace {
 public:
  Trace(const Config& config, uint64_t seed)
      : draws_(seed),
        options_(make_options(config)),
        device_(options_.layout, options_.num_blocks, options_.max_batch_size, seed),
        scheduler_(options_) {
    depth_ = draws_.below(3);
    to_add_ = draws_.one_in(10) ? draws_.between(20, 80) : draws_.between(3, 14);
    burst_ = draws_.one_in(2);
    with_drafts_ = draws_.one_in(3) && !options_.layout.has(KvGroupKind::kRecurrent);
    with_cancels_ = draws_.one_in(2);
    common_.resize(40);
    for (int32_t& token : common_) token = draws_.below(FakeDevice::kVocabulary);
  }

  std::string run(Totals& totals) {
    while (error_.empty() && (to_add_ > 0 || !scheduler_.idle())) iterate();
    while (error_.empty() && !inflight_.empty()) finish_oldest();
    retire_to(steps_);
    if (error_.empty()) check_end();
    totals.preemptions += scheduler_.stats().preemptions;
    totals.hits += scheduler_.stats().prefix_hit_tokens;
    totals.copies += device_.num_copies();
    totals.cancels += cancels_;
    totals.finished += finished_;
    totals.refused += refused_;
    return error_;
  }

 private:
  struct Live {
    FakeRequest request;
    int max_new = 0;
    int stop_at = 0;  // ends by itself with this many tokens
    int priority = 0;
    bool follower = false;
    bool started = false;
    int logits_to = 0;
    std::vector<int32_t> generated;
  };
  struct Step {
    StepPlan plan;
    std::vector<FakeResult> results;
  };
  struct History {
    uint64_t salt, adapter;
    std::vector<int32_t> tokens;
  };

  SchedulerOptions make_options(const Config& config) {
    SchedulerOptions options;
    options.layout.groups = config.groups;
    options.layout.block_tokens = draws_.one_in(2) ? 4 : 8;
    options.num_blocks = draws_.between(3, 40) * static_cast<int>(config.groups.size());
    options.max_batch_size = draws_.between(1, 8);
    options.budget.max_step_tokens = draws_.between(1, 48);
    options.budget.tokens_per_step = draws_.one_in(2) ? 0 : draws_.between(1, 16);
    options.budget.prefill_steps = draws_.between(1, 4);
    options.adapter_slots = draws_.between(1, 2);
    options.admission_reserve = draws_.one_in(2) ? 0.0 : 0.05;
    options.encoder_tokens = 10;
    return options;
  }

  void fail(const std::string& what) {
    if (error_.empty()) error_ = what;
  }

  std::vector<int32_t> make_prompt(uint64_t& salt, uint64_t& adapter) {
    std::vector<int32_t> prompt;
    if (!histories_.empty() && draws_.one_in(3)) {  // the next turn of a session
      const History& history = histories_[draws_.below(static_cast<int>(histories_.size()))];
      salt = history.salt;
      adapter = history.adapter;
      prompt = history.tokens;
      if (draws_.one_in(3)) return prompt;  // the whole of it again
    } else if (draws_.one_in(2)) {
      prompt.assign(common_.begin(), common_.begin() + draws_.between(1, 40));
    }
    const int more = draws_.between(prompt.empty() ? 1 : 0, draws_.one_in(4) ? 40 : 10);
    for (int i = 0; i < more; ++i) prompt.push_back(draws_.below(FakeDevice::kVocabulary));
    return prompt;
  }

  void add() {
    --to_add_;
    NewSequence request;
    request.salt = draws_.below(2);
    request.adapter = draws_.one_in(3) ? draws_.between(1, 3) : 0;
    request.prompt =
        std::make_shared<const std::vector<int32_t>>(make_prompt(request.salt, request.adapter));
    request.max_new_tokens = draws_.one_in(10) ? 0 : draws_.between(1, 24);
    request.priority = draws_.one_in(4) ? draws_.below(3) : 0;
    request.bypass_cache = draws_.one_in(8);
    request.prompt_logits = draws_.one_in(8);
    request.draft_tokens = with_drafts_ ? draws_.below(4) : 0;
    request.encoder_tokens = draws_.one_in(4) ? draws_.between(1, 10) : 0;
    const int choices = draws_.one_in(4) ? draws_.between(2, 4) : 1;
    for (int i = 0; i < choices; ++i) request.ids.push_back(++next_id_);
    const Status status = scheduler_.add(request);
    if (!status.ok()) {
      ++refused_;
      return;
    }
    work_ += choices * (static_cast<int64_t>(request.prompt->size()) + 3 * request.max_new_tokens + 4);
    for (int i = 0; i < choices; ++i) {
      Live live;
      live.request = {.prompt = *request.prompt,
                      .salt = request.salt,
                      .adapter = request.adapter,
                      .seed = request.ids[i],
                      .draft_tokens = request.draft_tokens,
                      .prompt_logits = request.prompt_logits && i == 0};
      live.max_new = request.max_new_tokens;
      live.stop_at = draws_.one_in(2) ? request.max_new_tokens
                                      : draws_.between(std::min(1, live.max_new), live.max_new);
      live.priority = request.priority;
      live.follower = i > 0;
      device_.know(request.ids[i], live.request);
      live_[request.ids[i]] = std::move(live);
    }
  }

  void cancel_one() {
    if (live_.empty()) return;
    auto it = std::next(live_.begin(), draws_.below(static_cast<int>(live_.size())));
    const int kept = draws_.between(0, static_cast<int>(it->second.generated.size()));
    if (!scheduler_.cancel(it->first, kept)) fail("cancel of a live sequence found nothing");
    if (scheduler_.cancel(it->first, kept)) fail("cancelled twice");
    remember(it->second, kept);
    live_.erase(it);
    ++cancels_;
  }

  void remember(const Live& live, int kept) {
    History history{live.request.salt, live.request.adapter, live.request.prompt};
    history.tokens.insert(history.tokens.end(), live.generated.begin(),
                          live.generated.begin() + kept);
    histories_.push_back(std::move(history));
  }

  void iterate() {
    while (to_add_ > 0 && (burst_ || live_.empty() || draws_.one_in(4))) add();
    if (with_cancels_ && draws_.one_in(12)) cancel_one();
    if (draws_.one_in(8)) retire_to(steps_);
    Step step;
    scheduler_.plan(step.plan);
    if (step.plan.empty()) {
      if (inflight_.empty() && retired_ == steps_ && !scheduler_.idle()) {
        fail("nothing in flight and nothing planned");
      }
      if (inflight_.empty() || draws_.one_in(2)) retire_to(steps_);
      if (!inflight_.empty()) finish_oldest();
      return;
    }
    ++steps_;
    check_plan(step.plan);
    if (error_.empty()) {
      const std::string wrong = device_.run(step.plan, scheduler_.pool(), step.results);
      if (!wrong.empty()) fail(wrong);
    }
    inflight_.push_back(std::move(step));
    while (error_.empty() && static_cast<int>(inflight_.size()) > depth_) finish_oldest();
    if (steps_ > (depth_ + 3) * work_ + 10) fail("the work does not end");
  }

  void check_plan(const StepPlan& plan) {
    if (plan.step != steps_) fail("steps are not numbered in order");
    int tokens = 0, row_index = 0;
    std::set<SequenceId> sequences;
    std::set<int> slots;
    std::map<BlockId, int> holders;
    for (const PlanRow& row : plan.rows) {
      tokens += row.num_tokens;
      if (row.num_tokens < 1) fail("an empty row");
      if (row.is_prefill() != (row_index >= plan.num_decode_rows)) fail("rows are not in order");
      if (!sequences.insert(row.sequence).second) fail("a sequence has two rows");
      if (!slots.insert(row.slot).second || row.slot < 0 || row.slot >= options_.max_batch_size) {
        fail("a slot is out of range or taken twice");
      }
      const auto live = live_.find(row.sequence);
      if (live == live_.end()) {
        fail("a row of a sequence that has ended");
        return;
      }
      if ((live->second.request.adapter == 0) != (row.adapter_slot == kNoAdapter)) {
        fail("adapter slot");
      }
      check_start(row, live->second);
      check_logits(row, live->second);
      for (int g = 0; g < plan.num_groups; ++g) {
        const RowBlocks& list = plan.blocks_of(row_index, g);
        for (int i = 0; i < list.count; ++i) ++holders[plan.block_ids[list.offset + i]];
      }
      ++row_index;
    }
    if (tokens != plan.total_tokens) fail("total_tokens is not the sum");
    if (tokens > options_.budget.max_step_tokens) fail("more tokens than the budget");
    for (const auto& [block, count] : holders) {
      if (scheduler_.pool().ref_count(block) < count) fail("a block has fewer refs than tables");
    }
    for (const AdapterLoad& load : plan.adapter_loads) adapters_[load.slot] = load.adapter;
    for (const PlanRow& row : plan.rows) {
      if (row.adapter_slot != kNoAdapter &&
          adapters_[row.adapter_slot] != live_[row.sequence].request.adapter) {
        fail("another adapter is in the slot");
      }
    }
  }

  // First come, first served within a priority: nobody starts before a senior that never did.
  void check_start(const PlanRow& row, Live& live) {
    if ((row.flags & kRowStartsSlot) == 0 || live.started) return;
    live.started = true;
    for (const auto& [id, other] : live_) {
      if (!other.started && !other.follower && id < row.sequence &&
          other.priority == live.priority) {
        fail(fmt::format("sequence {} started before {}", row.sequence, id));
      }
    }
  }

  void check_logits(const PlanRow& row, Live& live) {
    if (!live.request.prompt_logits || !row.is_prefill()) return;
    const int prompt = static_cast<int>(live.request.prompt.size());
    const int end = std::min(row.first_position + row.num_tokens, prompt);
    if (end > live.logits_to) {
      if ((row.flags & kRowAllLogits) == 0) fail("prompt logits are not asked for");
      if (row.first_position > live.logits_to) fail("prompt logits are skipped");
      live.logits_to = end;
    }
  }

  void finish_oldest() {
    Step step = std::move(inflight_.front());
    inflight_.pop_front();
    if (with_cancels_ && draws_.one_in(16)) cancel_one();  // maybe of a sequence that ends here
    std::vector<RowResult> results(step.plan.rows.size());
    std::vector<SequenceId> ended;
    for (size_t i = 0; i < results.size(); ++i) {
      const PlanRow& row = step.plan.rows[i];
      results[i].tokens = step.results[i].tokens;
      const auto it = live_.find(row.sequence);
      if (it == live_.end()) continue;
      Live& live = it->second;
      live.generated.insert(live.generated.end(), results[i].tokens.begin(),
                            results[i].tokens.end());
      const int generated = static_cast<int>(live.generated.size());
      const bool prompt_done =
          row.is_prefill() && row.kv_length >= static_cast<int>(live.request.prompt.size());
      if (live.max_new == 0 ? prompt_done : generated >= live.stop_at) {
        results[i].finished = live.stop_at < live.max_new || draws_.one_in(2);
        results[i].kept_tokens = live.stop_at;
        ended.push_back(row.sequence);
      }
    }
    // Retirement may run ahead of the results or behind them.
    if (draws_.one_in(2)) retire_to(step.plan.step + draws_.below(2));
    scheduler_.complete(step.plan.step, results);
    retire_to(step.plan.step - draws_.below(2));
    for (SequenceId id : ended) end(id);
  }

  void retire_to(StepId step) {
    while (retired_ < std::min(step, steps_)) {
      device_.retire(++retired_);
      scheduler_.retire(retired_);
    }
  }

  void end(SequenceId id) {
    const Live& live = live_[id];
    if (scheduler_.has(id)) fail(fmt::format("sequence {} should have ended", id));
    if (!live.started) fail("a sequence ended that never started");
    if (live.request.prompt_logits &&
        live.logits_to != static_cast<int>(live.request.prompt.size())) {
      fail("a prompt's logits are incomplete");
    }
    // Exactly what it gives alone.
    uint64_t hash = FakeDevice::root(live.request);
    for (int32_t token : live.request.prompt) hash = FakeDevice::extend(hash, token);
    for (int32_t token : live.generated) {
      if (token != FakeDevice::next_token(live.request, hash)) {
        fail(fmt::format("sequence {} has other tokens than alone", id));
        return;
      }
      hash = FakeDevice::extend(hash, token);
    }
    remember(live, live.stop_at);
    live_.erase(id);
    ++finished_;
  }

  void check_end() {
    if (!live_.empty()) fail("a sequence was lost");
    const BlockPool& pool = scheduler_.pool();
    if (pool.num_in_use() != 0 || pool.num_retiring() != 0 ||
        pool.num_free() + pool.num_cached() != pool.num_blocks()) {
      fail(fmt::format("at the end {} blocks are in use and {} retiring", pool.num_in_use(),
                       pool.num_retiring()));
    }
    if (scheduler_.stats().running != 0 || scheduler_.stats().waiting != 0) fail("stats");
  }

  Draws draws_;
  SchedulerOptions options_;
  FakeDevice device_;
  Scheduler scheduler_;
  int depth_ = 0, to_add_ = 0;
  bool burst_ = false, with_drafts_ = false, with_cancels_ = false;
  std::vector<int32_t> common_;
  std::vector<History> histories_;
  std::map<SequenceId, Live> live_;
  std::map<int, uint64_t> adapters_;
  std::deque<Step> inflight_;
  SequenceId next_id_ = 0;
  int64_t steps_ = 0, retired_ = 0, work_ = 0;
  int64_t cancels_ = 0, finished_ = 0, refused_ = 0;
  std::string error_;
};

class SchedulerTraces : public testing::TestWithParam<Config> {};

TEST_P(SchedulerTraces, EveryRowReadsItsOwnHistoryAndEverythingFinishes) {
  const Config& config = GetParam();
  const char* only = std::getenv("LMDEPLOY_TRACE_SEED");
  const uint64_t base = hash_name(config.name);
  Totals totals;
  for (int i = 0; i < config.traces; ++i) {
    const uint64_t seed = only != nullptr ? std::stoull(only) : hash_random(base, i);
    const std::string error = Trace(config, seed).run(totals);
    ASSERT_EQ(error, "") << "LMDEPLOY_TRACE_SEED=" << seed << " (trace " << i << ")";
    if (only != nullptr) return;
  }
  // The traces reach what they are for.
  EXPECT_GT(totals.copies, config.traces / 10);
  EXPECT_GT(totals.cancels, config.traces / 4);
  EXPECT_GT(totals.finished, config.traces * 3);
  EXPECT_GT(totals.hits, config.traces * 10);  // forks count as hits
  if (config.groups[0].kind != KvGroupKind::kRecurrent) {
    EXPECT_GT(totals.preemptions, config.traces / 20);
  }
  RecordProperty("preemptions", static_cast<int>(totals.preemptions));
  RecordProperty("hit_tokens", static_cast<int>(totals.hits));
  RecordProperty("copies", static_cast<int>(totals.copies));
  fmt::print("{}: {} finished, {} cancelled, {} refused, {} preempted, {} hit tokens, {} copies\n",
             config.name, totals.finished, totals.cancels, totals.refused, totals.preemptions,
             totals.hits, totals.copies);
}

INSTANTIATE_TEST_SUITE_P(
    All, SchedulerTraces,
    testing::Values(Config{"Full", {kFull}, 3000}, Config{"FullAndWindow", {kFull, window(9)}, 2500},
                    Config{"Window", {window(6)}, 1500},
                    Config{"TwoWindowsAndFull", {window(1), window(17), kFull}, 1500},
                    Config{"FullAndRecurrent", {kFull, kRecurrent}, 1000},
                    Config{"Recurrent", {kRecurrent}, 500}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace lmdeploy
