// What a decode step costs beside its graphs: wall time of the steps minus the device's time in
// their graphs, and the wall time without timers. Random weights, distinct contexts, greedy.
//
//   decode_loop_cuda_bench CONFIG_DIR [rows = 64] [context = 128] [steps = 512]
#include <cstdio>
#include <cstdlib>

#include "base/clock.h"
#include "engine/model_runner.h"

namespace lmdeploy {
namespace {

struct Work {
  const char* model;
  int rows = 64, context = 128, steps = 512;
};

constexpr int kBlockTokens = 64;

// The runner with its sequences; plans as the scheduler would make them.
class Loop {
 public:
  Loop(std::unique_ptr<ModelRunner> runner, const Work& work)
      : runner_(std::move(runner)), work_(work), requests_(static_cast<size_t>(work.rows)) {
    blocks_each_ = (work.context + work.steps + kBlockTokens) / kBlockTokens;
    const ModelInfo& info = runner_->model_info();
    runner_->use_cache(std::make_unique<KvCache>(info.kv_groups, kBlockTokens,
                                                 blocks_each_ * work.rows, info.activations,
                                                 Device{DeviceType::kCuda, 0}));
    for (int r = 0; r < work.rows; ++r) {
      GenerateRequest& request = requests_[static_cast<size_t>(r)];
      for (int i = 0; i < work.context; ++i) request.prompt.push_back((r * 131 + i * 7) % 1000);
      request.sampling.greedy = true;
      runner_->add_sequence(static_cast<SequenceId>(r),
                            {&request, 0,
                             std::make_shared<RequestSampling>(
                                 request.sampling,
                                 RequestSampling::Context{request.prompt, {}, no_words_, 0}),
                             false});
    }
  }

  void prefill() {
    for (int r = 0; r < work_.rows; ++r) {
      StepPlan plan = empty_plan();
      add_row(plan, r, work_.context, kRowPrefill | kRowSample, 0, 0);
      plan.tokens = requests_[static_cast<size_t>(r)].prompt;
      runner_->launch(plan);
      CHECK(runner_->collect().ok(), "the prompt failed");
    }
  }

  // Seconds of the decode steps [first, last), two on their way as in the engine.
  double decode(int first, int last) {
    const double begin = monotonic_seconds();
    StepPlan plan;
    for (int step = first; step < last; ++step) {
      plan = empty_plan();
      for (int r = 0; r < work_.rows; ++r) {
        add_row(plan, r, 1, kRowSample, work_.context + step, kTokenOnSlot);
      }
      plan.num_decode_rows = work_.rows;
      runner_->launch(plan);
      if (step > first) CHECK(runner_->collect().ok(), "step {} failed", step);
    }
    CHECK(runner_->collect().ok(), "the last step failed");
    return monotonic_seconds() - begin;
  }

  double graph_seconds() const { return runner_->graph_seconds(); }

 private:
  StepPlan empty_plan() const {
    StepPlan plan;
    plan.num_groups = static_cast<int32_t>(runner_->model_info().kv_groups.size());
    return plan;
  }
  void add_row(StepPlan& plan, int r, int tokens, uint32_t flags, int first, int32_t token_offset) {
    plan.rows.push_back({.sequence = static_cast<SequenceId>(r),
                         .slot = r,
                         .first_position = first,
                         .num_tokens = tokens,
                         .kv_length = first + tokens,
                         .token_offset = token_offset,
                         .flags = flags});
    plan.total_tokens += tokens;
    const int32_t count = (first + tokens + kBlockTokens - 1) / kBlockTokens;
    for (int32_t group = 0; group < plan.num_groups; ++group) {
      plan.row_blocks.push_back({static_cast<int32_t>(plan.block_ids.size()), count, 0});
    }
    for (int32_t i = 0; i < count; ++i) plan.block_ids.push_back(r * blocks_each_ + i);
  }

  std::unique_ptr<ModelRunner> runner_;
  Work work_;
  int blocks_each_ = 0;
  std::vector<GenerateRequest> requests_;
  const std::vector<std::vector<int32_t>> no_words_;
};

Result<std::unique_ptr<ModelRunner>> start(const Work& work, bool time_graphs) {
  ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::open(work.model, CheckpointParts::kConfigOnly));
  ASSIGN_OR_RETURN(auto stream, make_stream({DeviceType::kCuda, 0}, 0, {}));
  ASSIGN_OR_RETURN(auto model, load_model(*checkpoint, {.dummy_weights = true}, *stream));
  const DType kv_dtype = model->info().activations;
  return make_model_runner(std::move(model), std::move(stream),
                           {.max_batch_size = work.rows,
                            .step_tokens = 512,
                            .session_len = 4096,
                            .block_tokens = kBlockTokens,
                            .kv_dtype = kv_dtype,
                            .time_graphs = time_graphs});
}

Status run(const Work& work) {
  constexpr int kWarmUp = 16;
  double plain = 0;
  for (const bool time_graphs : {false, true}) {
    ASSIGN_OR_RETURN(auto runner, start(work, time_graphs));
    Loop loop(std::move(runner), work);
    loop.prefill();
    loop.decode(0, kWarmUp);
    const double before = loop.graph_seconds();
    const double seconds = loop.decode(kWarmUp, work.steps);
    const int steps = work.steps - kWarmUp;
    const double each = seconds / steps * 1e6;
    if (!time_graphs) plain = each;
    if (!time_graphs) continue;
    const double graphs = (loop.graph_seconds() - before) / steps * 1e6;
    std::printf("%s, %d rows, contexts of %d to %d, %d steps\n", work.model, work.rows,
                work.context, work.context + work.steps, steps);
    std::printf("step %.1f us (with timers %.1f us), its graphs %.1f us, beside them %.1f us\n",
                plain, each, graphs, plain - graphs);
  }
  return {};
}

}  // namespace
}  // namespace lmdeploy

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: decode_loop_cuda_bench CONFIG_DIR [rows] [context] [steps]\n");
    return 2;
  }
  lmdeploy::Work work{argv[1]};
  if (argc > 2) work.rows = std::atoi(argv[2]);
  if (argc > 3) work.context = std::atoi(argv[3]);
  if (argc > 4) work.steps = std::atoi(argv[4]);
  const lmdeploy::Status status = lmdeploy::run(work);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
