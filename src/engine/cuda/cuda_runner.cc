#include "engine/cuda/cuda_runner.h"

#include <algorithm>
#include <cstring>

#include "engine/cuda/make_cuda_runner.h"
#include "kernels/gather_rows.h"

namespace lmdeploy::cuda {

namespace {

// Larger steps take the device so long that queueing their kernels costs nothing, and run without
// the padding of a bucket.
constexpr int kMostGraphRows = 256;
constexpr size_t kListWords = size_t{64} << 10;  // to begin with
constexpr double kMiB = 1 << 20;

size_t result_bytes(const RunnerOptions& options) {
  return static_cast<size_t>(options.max_batch_size) * sizeof(SampledToken);
}

bool decodes_only(const StepPlan& plan) {
  return static_cast<size_t>(plan.num_decode_rows) == plan.rows.size();
}

// Activations, logits and tables of the largest step: what must fit before anything is tried.
size_t least_workspace(const ModelInfo& info, DType activations, const RunnerOptions& options) {
  const auto each = static_cast<size_t>(dtype_bytes(activations, 1));
  const auto batch = static_cast<size_t>(options.max_batch_size);
  return static_cast<size_t>(info.hidden_size) * 8 * each *
             static_cast<size_t>(options.step_tokens) +
         static_cast<size_t>(info.vocab_size) * batch * sizeof(float) +
         SamplingTable::bytes(options.max_batch_size, info.vocab_size);
}

Status check_memory(const CausalLm& model, Device device, const RunnerOptions& options) {
  ASSIGN_OR_RETURN(const DeviceMemory memory, device_memory(device));
  const size_t needed = least_workspace(model.info(), model.info().activations, options);
  if (needed <= memory.free) return {};
  return resource_exhausted(
      "GPU {} has {:.0f} MiB left beside {:.0f} MiB of weights, but a step of {} tokens and {} "
      "rows takes at "
      "least {:.0f} MiB; lower --max-prefill-token-num or --max-batch-size",
      device.index, static_cast<double>(memory.free) / kMiB,
      static_cast<double>(model.info().weight_bytes) / kMiB, options.step_tokens,
      options.max_batch_size, static_cast<double>(needed) / kMiB);
}

}  // namespace

Result<std::unique_ptr<ModelRunner>> make_cuda_runner(std::unique_ptr<CausalLm> model,
                                                      std::unique_ptr<Stream> stream,
                                                      const RunnerOptions& options) {
  return CudaRunner::make(std::move(model), std::move(stream), options);
}

Result<std::unique_ptr<ModelRunner>> CudaRunner::make(std::unique_ptr<CausalLm> model,
                                                      std::unique_ptr<Stream> stream,
                                                      const RunnerOptions& options) {
  const Device device = stream->device();
  const DeviceGuard guard(device.index);
  RETURN_IF_ERROR(check_memory(*model, device, options));
  ASSIGN_OR_RETURN(const DeviceMemory before, device_memory(device));
  std::unique_ptr<CudaRunner> runner(new CudaRunner(std::move(model), std::move(stream), options));
  RETURN_IF_ERROR(runner->allocate());
  RETURN_IF_ERROR(runner->warm_up());
  ASSIGN_OR_RETURN(const DeviceMemory after, device_memory(device));
  runner->workspace_bytes_ = before.free > after.free ? before.free - after.free : 0;
  return std::unique_ptr<ModelRunner>(std::move(runner));
}

CudaRunner::CudaRunner(std::unique_ptr<CausalLm> model, std::unique_ptr<Stream> stream,
                       const RunnerOptions& options)
    : options_(options),
      activations_(model->info().activations),
      owned_stream_(std::move(stream)),
      stream_(static_cast<CudaStream*>(owned_stream_.get())),
      model_(std::move(model)),
      arena_(stream_->device()),
      table_(stream_->device(), options.max_batch_size, model_->info().vocab_size),
      buffers_(stream_->device(), options, static_cast<int>(model_->info().kv_groups.size())),
      scorer_(stream_->device(), model_->info().vocab_size),
      graphs_(std::min(options.max_batch_size, kMostGraphRows)),
      sampling_(model_->info().vocab_size) {}

CudaRunner::~CudaRunner() {
  const DeviceGuard guard(stream_->device().index);
  cudaDeviceSynchronize();
  for (Pending& pending : pending_) {
    for (cudaEvent_t event : {pending.uploaded, pending.computed, pending.done}) {
      if (event != nullptr) cudaEventDestroy(event);
    }
    for (cudaEvent_t border : pending.borders) {
      if (border != nullptr) cudaEventDestroy(border);
    }
  }
  for (cudaStream_t stream : {uploads_, downloads_}) {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
}

Status CudaRunner::allocate() {
  static_assert(kDepth == StepBuffers::kSides);
  const Device device = stream_->device();
  for (cudaStream_t* stream : {&uploads_, &downloads_}) {
    CUDA_CHECK(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
  }
  for (Tensor& lists : lists_) {
    lists = Tensor(Shape{static_cast<int64_t>(kListWords * sizeof(uint32_t))}, DType::kU8, device);
  }
  for (Tensor& results : results_) {
    results = Tensor(Shape{static_cast<int64_t>(result_bytes(options_))}, DType::kU8, device);
  }
  for (Pending& pending : pending_) {
    const size_t upload_bytes = static_cast<size_t>(buffers_.upload_words()) * sizeof(int32_t);
    ASSIGN_OR_RETURN(pending.upload, PinnedMemory::allocate(upload_bytes));
    ASSIGN_OR_RETURN(pending.lists, PinnedMemory::allocate(kListWords * sizeof(uint32_t)));
    ASSIGN_OR_RETURN(pending.results, PinnedMemory::allocate(result_bytes(options_)));
    for (cudaEvent_t* event : {&pending.uploaded, &pending.computed, &pending.done}) {
      CUDA_CHECK(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
    }
    if (!options_.time_graphs) continue;
    for (cudaEvent_t& border : pending.borders) CUDA_CHECK(cudaEventCreate(&border));
  }
  return scorer_.allocate();
}

// Loads every kernel and makes the scratch memory as large as it will ever be: the longest prompt
// chunk, where all logits are wanted but, if it can be, those of one token (the wanted rows have a
// copy of their own then), and batches of every power of two up to the largest. All their tokens
// are stored in one page, which is thrown away.
Status CudaRunner::warm_up() {
  kv_ = std::make_unique<KvCache>(model_->info().kv_groups, options_.block_tokens, 1,
                                  options_.kv_dtype, stream_->device());
  const int prompt =
      static_cast<int>(std::min<int64_t>(options_.step_tokens, options_.session_len));
  const int prompts = std::min(options_.step_tokens / prompt, options_.max_batch_size);
  std::vector<PaddingRow> chunk(static_cast<size_t>(prompts), {prompt, kRowAllLogits});
  if (prompt > 2 && prompts < options_.max_batch_size) {
    chunk.back().tokens -= 2;
    chunk.push_back({2, 0});
  }
  run_padding(chunk);
  for (int rows = 1; rows < options_.max_batch_size; rows *= 2) {
    run_padding(std::vector<PaddingRow>(rows, {1, 0}));
  }
  run_padding(std::vector<PaddingRow>(options_.max_batch_size, {1, 0}));
  stream_->synchronize();
  kv_.reset();
  return stream_->status();
}

// A step of these prompts, which are all stored in page 0.
void CudaRunner::run_padding(const std::vector<PaddingRow>& rows) {
  StepPlan plan;
  plan.num_groups = static_cast<int32_t>(model_->info().kv_groups.size());
  sampling_.clear();
  rope_lengths_.clear();
  for (const PaddingRow& row : rows) {
    const int32_t slot = static_cast<int32_t>(plan.rows.size());
    plan.rows.push_back({.slot = slot,
                         .num_tokens = row.tokens,
                         .kv_length = row.tokens,
                         .token_offset = plan.total_tokens,
                         .flags = kRowPrefill | kRowSample | row.flags});
    plan.total_tokens += row.tokens;
    const int32_t blocks = (row.tokens + options_.block_tokens - 1) / options_.block_tokens;
    if (plan.block_ids.size() < static_cast<size_t>(blocks)) plan.block_ids.resize(blocks, 0);
    for (int32_t group = 0; group < plan.num_groups; ++group)
      plan.row_blocks.push_back({0, blocks, 0});
    SamplingRow sampling;
    sampling.logprobs = 0;
    sampling.repetition_penalty = 1.5f;
    sampling_.add(sampling, slot, true);
    rope_lengths_.push_back(row.tokens);
  }
  plan.tokens.assign(static_cast<size_t>(plan.total_tokens), 0);
  row_states_.assign(plan.rows.size(), nullptr);
  const StepLayout layout(plan.total_tokens, static_cast<int>(rows.size()), count_logit_rows(plan),
                          plan.num_groups);
  side_ = 0;
  upload(plan, layout, pending_[0]);
  run_eagerly(plan, layout);
  stream_->synchronize();  // the pinned memory is used again
}

void CudaRunner::add_sequence(SequenceId id, const Sequence& sequence) {
  states_.emplace(id, SequenceState(sequence));
}

void CudaRunner::remove_sequence(SequenceId id) { states_.erase(id); }

PromptScores CudaRunner::take_prompt_scores(SequenceId id) {
  return std::move(states_.at(id).scores);
}

void CudaRunner::launch(const StepPlan& plan) {
  CHECK(launched_ - collected_ < kDepth, "{} steps are on their way", launched_ - collected_);
  const DeviceGuard guard(stream_->device().index);
  side_ = static_cast<int>(launched_++ % kDepth);
  Pending& pending = pending_[static_cast<size_t>(side_)];
  describe_rows(plan, pending);
  const int groups = static_cast<int>(model_->info().kv_groups.size());
  const int rows = static_cast<int>(plan.rows.size());
  const bool graphs = decodes_only(plan) && rows <= kMostGraphRows && !stream_->debug() &&
                      !options_.eager_mode;
  const int bucket = graphs ? graphs_.bucket_of(rows) : 0;
  const StepLayout layout =
      graphs ? StepLayout(bucket, bucket, bucket, groups)
             : StepLayout(plan.total_tokens, rows, count_logit_rows(plan), groups);
  if (graphs) sampling_.pad(static_cast<size_t>(bucket));
  upload(plan, layout, pending);
  copy_blocks(plan);
  if (graphs) {
    run_graphs(layout, pending);
  } else {
    run_eagerly(plan, layout);
  }
  download(pending);
}

// What the host knows of each row: its state, its rotation, what to draw.
void CudaRunner::describe_rows(const StepPlan& plan, Pending& pending) {
  pending.step = plan.step;
  pending.timed = false;
  pending.rows = plan.rows.size();
  pending.sampled.clear();
  row_states_.clear();
  rope_lengths_.clear();
  sampling_.clear();
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const PlanRow& row = plan.rows[r];
    SequenceState& state = states_.at(row.sequence);
    row_states_.push_back(&state);
    rope_lengths_.push_back(state.rope_length);
    if (!row.samples()) continue;
    pending.sampled.push_back({r, row.sequence});
    const SamplingRow draw = state.sampling.row(row.kv_length);
    sampling_.add(draw, row.slot, row.is_prefill(), state.sampling.conditional_bans());
  }
}

void CudaRunner::upload(const StepPlan& plan, const StepLayout& layout, Pending& pending) {
  ranges_.resize(plan.rows.size());
  auto* words = reinterpret_cast<int32_t*>(pending.upload.data());
  const std::span<int32_t> space(words, static_cast<size_t>(buffers_.upload_words()));
  const int64_t count = write_upload(plan, layout, rope_lengths_, ranges_, space);
  const std::span<const DeviceSamplingRow> rows = sampling_.rows();
  std::memcpy(words + layout.sampling, rows.data(), rows.size_bytes());
  copy_on(uploads_, buffers_.upload(side_), words, static_cast<size_t>(count) * sizeof(int32_t));
  if (!sampling_.words().empty()) upload_lists(pending);
  stream_->launched("upload", cudaEventRecord(pending.uploaded, uploads_));
  stream_->launched("upload", cudaStreamWaitEvent(stream_->handle(), pending.uploaded));
}

void CudaRunner::copy_on(cudaStream_t stream, void* destination, const void* source, size_t bytes) {
  stream_->launched("copy", cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, stream));
}

void CudaRunner::upload_lists(Pending& pending) {
  const std::span<const uint32_t> words = sampling_.words();
  if (words.size_bytes() > pending.lists.bytes()) {
    Result<PinnedMemory> larger = PinnedMemory::allocate(2 * words.size_bytes());
    CHECK(larger.ok(), "{}", larger.status().message());
    pending.lists = std::move(*larger);
  }
  Tensor& lists = lists_[static_cast<size_t>(side_)];
  if (words.size_bytes() > lists.bytes()) {
    stream_->synchronize();
    graphs_.drop_samplers();
    lists =
        Tensor(Shape{static_cast<int64_t>(2 * words.size_bytes())}, DType::kU8, stream_->device());
  }
  std::memcpy(pending.lists.data(), words.data(), words.size_bytes());
  copy_on(uploads_, lists.view().raw(), pending.lists.data(), words.size_bytes());
}

void CudaRunner::copy_blocks(const StepPlan& plan) {
  std::byte* pages = kv_->layer(0).pages;
  const size_t bytes = kv_->page_bytes();
  for (const BlockCopy& copy : plan.copies) {
    stream_->copy(pages + static_cast<size_t>(copy.dst) * bytes,
                  pages + static_cast<size_t>(copy.src) * bytes, bytes);
  }
}

// Both graphs allocate the same things in the same order from the beginning of the arena, so that
// the sampler finds the logits where the forward leaves them.
void CudaRunner::run_graphs(const StepLayout& layout, Pending& pending) {
  const auto in_memory = [&](auto&& issue) {
    ArenaScope scope(arena_);
    const ModelInfo& info = model_->info();
    const TensorView logits = arena_.allocate(Shape{layout.rows, info.vocab_size}, DType::kF32);
    const TensorView hidden = arena_.allocate(Shape{layout.rows, info.hidden_size}, activations_);
    issue(hidden, logits);
  };
  mark(pending, 0);
  graphs_.forward(*stream_, layout.rows, side_, [&] {
    in_memory([&](const TensorView& hidden, const TensorView& logits) {
      forward(layout, 1, static_cast<int>(options_.session_len), hidden);
      Ctx context = ctx();
      model_->logits(context, hidden, logits);
    });
  });
  mark(pending, 1);
  mark(pending, 2);
  graphs_.sample(*stream_, layout.rows, side_, sampling_.features(), [&] {
    in_memory([&](const TensorView&, const TensorView& logits) { sample(layout, logits); });
  });
  mark(pending, 3);
  pending.timed = options_.time_graphs;
}

void CudaRunner::mark(Pending& pending, size_t border) {
  if (!options_.time_graphs) return;
  stream_->launched("a timer", cudaEventRecord(pending.borders[border], stream_->handle()));
}

void CudaRunner::add_graph_time(const Pending& pending) {
  for (size_t begin : {0, 2}) {
    float milliseconds = 0;
    stream_->launched("a timer", cudaEventElapsedTime(&milliseconds, pending.borders[begin],
                                                      pending.borders[begin + 1]));
    graph_seconds_ += milliseconds * 1e-3;
  }
}

void CudaRunner::run_eagerly(const StepPlan& plan, const StepLayout& layout) {
  ArenaScope scope(arena_);
  int max_query_len = 0, max_kv_len = 0;
  for (const PlanRow& row : plan.rows) {
    max_query_len = std::max(max_query_len, row.num_tokens);
    max_kv_len = std::max(max_kv_len, row.kv_length);
  }
  const ModelInfo& info = model_->info();
  const TensorView hidden =
      arena_.allocate(Shape{layout.logit_rows, info.hidden_size}, activations_);
  forward(layout, max_query_len, max_kv_len, hidden);
  score_prompts(plan, hidden);
  const auto count = static_cast<int64_t>(sampling_.rows().size());
  if (count == 0) return;
  Ctx context = ctx();
  TensorView last = hidden;
  if (count != hidden.dim(0)) {
    last = arena_.allocate(Shape{count, info.hidden_size}, activations_);
    gather_rows(context, hidden, buffers_.samples(layout, side_, count), last);
  }
  const TensorView logits = arena_.allocate(Shape{count, info.vocab_size}, DType::kF32);
  model_->logits(context, last, logits);
  sample(layout, logits);
}

void CudaRunner::forward(const StepLayout& layout, int max_query_len, int max_kv_len,
                         const TensorView& hidden) {
  buffers_.expand(*stream_, layout, side_, table_);
  buffers_.make_batch(layout, side_, max_query_len, max_kv_len, batch_);
  Ctx context = ctx();
  model_->forward(context, batch_, *kv_, hidden);
}

void CudaRunner::score_prompts(const StepPlan& plan, const TensorView& hidden) {
  Ctx context = ctx();
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const PlanRow& row = plan.rows[r];
    if ((row.flags & kRowAllLogits) == 0 || row_states_[r] == nullptr ||
        !row_states_[r]->score_prompt) {
      continue;
    }
    const LogitRange range = ranges_[r];
    for (int64_t begin = 0; begin < range.count; begin += kScoredRows) {
      ArenaScope scope(arena_);
      const int64_t count = std::min<int64_t>(kScoredRows, range.count - begin);
      const TensorView logits =
          arena_.allocate(Shape{count, model_->info().vocab_size}, DType::kF32);
      model_->logits(context, hidden.rows(range.first + begin, count), logits);
      scorer_.score(context, *row_states_[r], row.first_position + begin, logits);
    }
  }
}

void CudaRunner::sample(const StepLayout& layout, const TensorView& logits) {
  const DeviceSamplingRows rows{buffers_.sampling_rows(layout, side_),
                                lists_[static_cast<size_t>(side_)].data<uint32_t>(),
                                sampling_.features()};
  Ctx context = ctx();
  device_sample(context, logits, rows, table_, results());
}

SampledToken* CudaRunner::results() const {
  return static_cast<SampledToken*>(results_[static_cast<size_t>(side_)].view().raw());
}

void CudaRunner::download(Pending& pending) {
  stream_->launched("a step", cudaEventRecord(pending.computed, stream_->handle()));
  stream_->launched("a step", cudaStreamWaitEvent(downloads_, pending.computed));
  const size_t count = pending.sampled.size();
  if (count > 0)
    copy_on(downloads_, pending.results.data(), results(), count * sizeof(SampledToken));
  stream_->launched("a step", cudaEventRecord(pending.done, downloads_));
}

Result<const StepOutput*> CudaRunner::collect() {
  CHECK(collected_ < launched_, "no step is on its way");
  const DeviceGuard guard(stream_->device().index);
  Pending& pending = pending_[static_cast<size_t>(collected_++ % kDepth)];
  stream_->launched("a step", cudaEventSynchronize(pending.done));
  if (!stream_->status().ok()) {
    return internal_error("step {}: {}", pending.step, stream_->status().message());
  }
  if (pending.timed) add_graph_time(pending);
  output_.step = pending.step;
  output_.sampled.assign(pending.rows, SampledToken{});
  const auto* results = reinterpret_cast<const SampledToken*>(pending.results.data());
  for (size_t i = 0; i < pending.sampled.size(); ++i) {
    output_.sampled[pending.sampled[i].row] = results[i];
    const auto state = states_.find(pending.sampled[i].sequence);
    if (state != states_.end() && results[i].token >= 0)
      state->second.sampling.accept(results[i].token);
  }
  return &output_;
}

}  // namespace lmdeploy::cuda
