#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <random>
#include <sstream>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "checkpoint/model_path.h"
#include "checkpoint/quantization.h"
#include "engine/device_choice.h"
#include "engine/model_startup.h"
#include "engine/model_text.h"
#include "engine/request_check.h"
#include "engine/session_table.h"
#include "engine/step_loop.h"
#include "engine/text_pool.h"
#include "models/causal_lm.h"

namespace lmdeploy {

namespace {

// The prefix cache's salt of a tenant, a session, a lone request: never equal to each other.
enum class SaltKind : uint64_t { kTenant = 1, kSession = 2, kRequest = 3 };

uint64_t salt_of(SaltKind kind, uint64_t value) {
  return hash_random(static_cast<uint64_t>(kind), value);
}

// Texts of this many bytes for each byte of the longest piece are still read: normalizers shorten text
// (a full-width letter of three bytes becomes one of one).
constexpr size_t kShorteningByNormalizer = 4;

size_t longest_piece(const Tokenizer& tokenizer) {
  size_t longest = 1;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) longest = std::max(longest, tokenizer.piece(id).size());
  return longest;
}

KvLayout kv_layout(const std::vector<KvGroup>& groups, int block_tokens) {
  KvLayout layout;
  layout.block_tokens = block_tokens;
  for (const KvGroup& group : groups) {
    const bool window = group.kind == KvGroup::Kind::kWindow;
    layout.groups.push_back({window ? KvGroupKind::kWindow : KvGroupKind::kFull, group.window});
  }
  return layout;
}

}  // namespace

struct Engine::Impl {
  EngineInfo info;
  EngineOptions options;
  Hooks hooks;
  ModelText text;
  SessionTable sessions;
  std::atomic<RequestId> next_request{1};
  std::atomic<bool> closed{false};
  bool rope_by_length = false;
  size_t most_bytes_per_token = 0;  // of a prompt's text, at the very least
  std::random_device entropy;
  std::mutex entropy_mutex;
  // Destroyed in this order: the loop aborts its requests, then the text pool empties its queue,
  // which may still post to the loop.
  std::unique_ptr<TextPool> text_pool;
  std::unique_ptr<StepLoop> loop;

  ~Impl() {
    if (!loop) return;  // creation failed half way
    closed = true;
    loop->close();
    while (!loop->wait_idle(std::chrono::seconds(1))) {
    }
    text_pool->finish();  // its last tasks may still speak to the loop
    loop.reset();
  }

  uint64_t fresh_seed() {
    std::lock_guard lock(entropy_mutex);
    return uint64_t{entropy()} << 32 | entropy();
  }

  // Who may share KV blocks: with rope frequencies that follow the prompt's length nobody, not even the
  // next turn of the same session.
  uint64_t salt_for(const GenerateRequest& request, RequestId id) const {
    if (rope_by_length) return salt_of(SaltKind::kRequest, id);
    if (options.enable_prefix_caching) return salt_of(SaltKind::kTenant, request.tenant);
    if (request.session) return salt_of(SaltKind::kSession, static_cast<uint64_t>(request.session->id));
    return salt_of(SaltKind::kRequest, id);
  }

  RequestStream::Callbacks callbacks() {
    return {
        [this](RequestId id, int choice, int64_t kept) { loop->stop_choice(id, choice, kept); },
        [this](RequestId id) { loop->cancel(id); },
        [this](RequestStream& stream, const RequestTiming& timing) { request_finished(stream, timing); },
        [this](RequestId id) { loop->ended(id); },
    };
  }

  void request_finished(RequestStream& stream, const RequestTiming& timing) {
    const GenerateRequest& request = stream.request();
    if (request.session) {
      std::vector<int32_t> history = request.prompt;
      history.insert(history.end(), stream.kept_ids().begin(), stream.kept_ids().end());
      sessions.finish(request.session->id, history, request.session->end);
    }
    if (hooks.on_finished) hooks.on_finished(timing);
  }

  Result<AddCommand> check(const GenerateRequest& request, RequestId id);
  Result<AddCommand> prepare(Submission submission);
  void abandon(const std::vector<AddCommand>& commands);
};

Result<AddCommand> Engine::Impl::check(const GenerateRequest& request, RequestId id) {
  AddCommand command;
  RETURN_IF_ERROR(check_sampling(request.sampling, info.vocab_size));
  RETURN_IF_ERROR(check_prompt(request, info.vocab_size, info.session_len));
  const int64_t room = info.session_len - static_cast<int64_t>(request.prompt.size());
  command.max_new_tokens = std::min(request.sampling.max_new_tokens.value_or(room), room);
  command.salt = salt_for(request, id);
  command.private_salt = command.salt == salt_of(SaltKind::kRequest, id);
  const std::vector<std::vector<int32_t>> bad_words =
      tokenize_bad_words(*text.tokenizer, request.sampling.bad_words);
  const uint64_t seed = request.sampling.seed ? *request.sampling.seed : fresh_seed();
  command.sampling = std::make_shared<const RequestSampling>(
      request.sampling, RequestSampling::Context{request.prompt, info.end_ids, bad_words, seed});
  return command;
}

// With its session marked busy, when it has one.
Result<AddCommand> Engine::Impl::prepare(Submission submission) {
  GenerateRequest& request = submission.request;
  const RequestId id = next_request.fetch_add(1);
  if (request.session) {
    if (request.sampling.n != 1) return invalid_argument("n is {}; a session has one choice", request.sampling.n);
    ASSIGN_OR_RETURN(const std::vector<int32_t> history, sessions.begin(request.session->id));
    request.prompt.insert(request.prompt.begin(), history.begin(), history.end());
  }
  Result<AddCommand> command = check(request, id);
  if (!command.ok()) {
    if (request.session) sessions.abandon(request.session->id);
    return command.status();
  }
  command->stream = std::make_shared<RequestStream>(id, std::move(request), std::move(submission.sink),
                                                    *text.tokenizer, *text_pool, callbacks());
  return command;
}

void Engine::Impl::abandon(const std::vector<AddCommand>& commands) {
  for (const AddCommand& command : commands) {
    const std::optional<SessionRef>& session = command.stream->request().session;
    if (session) sessions.abandon(session->id);
  }
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

const EngineInfo& Engine::info() const { return impl_->info; }
const Tokenizer& Engine::tokenizer() const { return *impl_->text.tokenizer; }
const ChatTemplate& Engine::chat_template() const { return *impl_->text.chat_template; }
EngineStats Engine::stats() const { return impl_->loop->stats(); }
void Engine::cancel(RequestId id) { impl_->loop->cancel(id); }
Status Engine::end_session(int64_t session) { return impl_->sessions.end(session); }
void Engine::post_text_task(std::function<void()> task) { impl_->text_pool->post_prompt(std::move(task)); }

std::optional<int64_t> Engine::session_tokens(int64_t session) const {
  return impl_->sessions.tokens(session);
}

Result<std::vector<int32_t>> Engine::encode_prompt(std::string_view text, bool add_special_tokens) const {
  const auto least = static_cast<int64_t>(text.size() / impl_->most_bytes_per_token);
  if (least > info().session_len) {
    return invalid_argument(
        "the prompt's {} bytes are at least {} tokens, but this model's window (session_len) holds {} with the "
        "answer; shorten it", text.size(), least, info().session_len);
  }
  return tokenizer().encode(text, {.add_special_tokens = add_special_tokens});
}

Result<std::vector<int32_t>> Engine::encode_chat(ChatRender chat) const {
  ASSIGN_OR_RETURN(const ChatPrompt prompt, make_chat_prompt(chat_template(), std::move(chat)));
  return encode_prompt(prompt.text, prompt.add_special_tokens);
}

Result<RequestId> Engine::submit(GenerateRequest request, OutputSink sink) {
  std::vector<Submission> call;
  call.push_back({std::move(request), std::move(sink)});
  ASSIGN_OR_RETURN(const std::vector<RequestId> ids, submit(std::move(call)));
  return ids.front();
}

Result<std::vector<RequestId>> Engine::submit(std::vector<Submission> call) {
  Impl& impl = *impl_;
  if (impl.closed) return unavailable("the server is shutting down");
  std::vector<AddCommand> commands;
  for (Submission& submission : call) {
    Result<AddCommand> command = impl.prepare(std::move(submission));
    if (!command.ok()) {
      impl.abandon(commands);
      return command.status();
    }
    commands.push_back(std::move(*command));
  }
  int64_t choices = 0;
  for (const AddCommand& command : commands) choices += command.stream->request().sampling.n;
  if (!impl.loop->reserve(choices, impl.options.max_queued_requests)) {
    impl.abandon(commands);
    return resource_exhausted("{} answers are waiting already (--max-queued-requests {}); try again later",
                              impl.loop->queued(), impl.options.max_queued_requests);
  }
  std::vector<RequestId> ids;
  for (AddCommand& command : commands) {
    ids.push_back(command.stream->id());
    impl.loop->add(std::move(command));
  }
  return ids;
}

void Engine::close(std::chrono::milliseconds limit) {
  impl_->closed = true;
  impl_->loop->close();
  impl_->loop->wait_idle(limit);
}

namespace {

// Time for the last answers to leave the process.
constexpr auto kAnswersLeave = std::chrono::seconds(1);
constexpr int kExitDeviceFailure = 70;

void exit_later() {
  std::thread([] {
    std::this_thread::sleep_for(kAnswersLeave);
    std::_Exit(kExitDeviceFailure);
  }).detach();
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(const std::string& model, const EngineOptions& options,
                                               const std::string& chat_template, Logger logger, Hooks hooks) {
  StartupClock startup;
  RETURN_IF_ERROR(check_options(options));
  ASSIGN_OR_RETURN(const std::string path, resolve_model_path(model));
  ASSIGN_OR_RETURN(const Device device, choose_device(options.device));
  const bool dummy = options.load_format == "dummy";
  ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint,
                   Checkpoint::open(path, dummy ? CheckpointParts::kConfigOnly : CheckpointParts::kAll));
  RETURN_IF_ERROR(check_model_format(
      options, path, checkpoint->is_gguf() ? "gguf" : stored_format(checkpoint->config())));
  startup.phase_done("open");

  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->hooks = std::move(hooks);
  ASSIGN_OR_RETURN(impl->text, load_model_text(*checkpoint, chat_template, dummy));
  if (!impl->text.tokenizer_warning.empty()) logger.warning("{}", impl->text.tokenizer_warning);
  logger.info("chat template: {}", impl->text.chat_template_reason);
  if (!impl->text.chat_template_warning.empty()) logger.warning("{}", impl->text.chat_template_warning);
  startup.phase_done("text");

  LoadProgress progress;
  if (impl->hooks.on_load_progress) {
    progress = [&](size_t done, size_t total) {
      impl->hooks.on_load_progress(static_cast<double>(done) / static_cast<double>(std::max<size_t>(total, 1)));
    };
  }
  ASSIGN_OR_RETURN(StartedModel model_runner,
                   start_model(*checkpoint, options, device, progress, logger, startup));
  const ModelInfo& model_info = model_runner.runner->model_info();
  const MemoryPlan& memory = model_runner.memory;
  const int batch = model_runner.options.max_batch_size;

  SchedulerOptions scheduler_options;
  scheduler_options.layout = kv_layout(model_info.kv_groups, options.cache_block_seq_len);
  RETURN_IF_ERROR(validate(scheduler_options.layout));
  scheduler_options.num_blocks = memory.num_blocks;
  scheduler_options.max_batch_size = batch;
  scheduler_options.budget = {model_runner.options.step_tokens, options.num_tokens_per_iter, options.max_prefill_iters};
  scheduler_options.kv_format = static_cast<uint64_t>(model_runner.options.kv_dtype);

  impl->rope_by_length = model_info.rope_by_length;
  impl->most_bytes_per_token = kShorteningByNormalizer * longest_piece(*impl->text.tokenizer);
  EngineInfo& info = impl->info;
  info.model_path = path;
  info.model_name = checkpoint->model_name();
  info.architecture = model_info.architecture;
  info.device = model_runner.device;
  info.session_len = memory.session_len;
  info.vocab_size = model_info.vocab_size;
  info.block_tokens = options.cache_block_seq_len;
  info.num_blocks = memory.num_blocks;
  info.max_batch_size = batch;
  info.weight_bytes = model_info.weight_bytes;
  const size_t cache_bytes = memory.page_bytes * static_cast<size_t>(memory.num_blocks);
  info.kv_bytes_per_token = memory.page_bytes * model_info.kv_groups.size() / static_cast<size_t>(options.cache_block_seq_len);
  info.memory_bytes = info.weight_bytes + cache_bytes;
  info.end_ids = impl->text.end_ids;
  info.sampling_defaults = impl->text.sampling_defaults;
  info.startup_table = fmt::format("{} on {}\n{}{}", info.model_name, info.device, memory.table, startup.table());

  std::istringstream lines(info.startup_table);
  for (std::string line; std::getline(lines, line);) logger.info("{}", line);

  std::unique_ptr<ModelRunner> runner = std::move(model_runner.runner);
  if (impl->hooks.wrap_runner) runner = impl->hooks.wrap_runner(std::move(runner));
  impl->text_pool = std::make_unique<TextPool>(std::clamp(usable_cores() / 4, TextPool::kLeastThreads, 8));
  impl->loop = std::make_unique<StepLoop>(std::make_unique<Scheduler>(scheduler_options),
                                          std::move(runner), impl->text.end_ids, logger,
                                          impl->hooks.on_device_failure ? impl->hooks.on_device_failure : exit_later);
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

}  // namespace lmdeploy
