// lmdeploy chat: talk with a model in the terminal.

#include <unistd.h>

#include <cstdio>
#include <string>

#include "cli/chat_options.h"
#include "cli/compat_options.h"
#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/load_progress.h"
#include "cli/program.h"
#include "cli/repl.h"
#include "cli/terminal_text.h"
#include "engine/engine.h"
#include "engine/model_text.h"
#include "text/builtin_templates.h"

namespace lmdeploy::cli {

namespace {

struct ChatCommand {
  std::string model;
  ChatOptions chat;
  EngineOptions engine;
  ModelCompatOptions compat;
  LogOptions log;
};

SamplingParams sampling_of(const ChatOptions& options, const SamplingDefaults& defaults) {
  SamplingParams sampling;
  sampling.temperature = options.temperature.value_or(defaults.temperature.value_or(0.8));
  sampling.top_p = options.top_p.value_or(defaults.top_p.value_or(0.8));
  sampling.top_k = static_cast<int>(options.top_k.value_or(defaults.top_k.value_or(40)));
  sampling.min_p = defaults.min_p.value_or(0.0);
  sampling.repetition_penalty =
      options.repetition_penalty.value_or(defaults.repetition_penalty.value_or(1.0));
  if (options.seed) sampling.seed = static_cast<uint64_t>(*options.seed);
  sampling.max_new_tokens = options.max_new_tokens;
  return sampling;
}

// One prompt (-p or piped), one answer. Ctrl-C ends the answer and the program.
int answer_once(Conversation& conversation, const std::string& prompt, bool verbose) {
  if (prompt.empty()) return report_failure(invalid_argument("the prompt is empty"));
  InterruptGuard interrupts;
  const Result<Conversation::Reply> reply = conversation.ask(
      prompt, print_model_text, [&] { return interrupts.count() > 0 || std::ferror(stdout) != 0; });
  if (!reply.ok()) return report_failure(reply.status());
  if (!reply->text.ends_with('\n')) std::fputc('\n', stdout);
  if (verbose) print_speed(*reply);
  if (reply->finish == FinishReason::kError) {
    return report_failure(internal_error("{}", reply->error));
  }
  return interrupts.count() > 0 ? kExitInterrupted : kExitOk;
}

std::string read_all_input() {
  std::string text;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), stdin)) > 0;) text.append(buffer, n);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// LMDeploy up to 0.5 took the template's name as --model-name.
std::string template_of(const ChatOptions& options, const Logger& logger) {
  if (!options.chat_template.empty() || options.model_name.empty()) return options.chat_template;
  if (find_builtin_template(options.model_name) != nullptr) return options.model_name;
  logger.warning("--model-name {} is no built-in chat template and changes nothing",
                 options.model_name);
  return {};
}

Result<std::unique_ptr<Engine>> load(ChatCommand& command, const Logger& logger) {
  command.engine.enable_prefix_caching = true;  // a conversation goes on where it stopped
  LoadProgress progress;
  Result<std::unique_ptr<Engine>> engine = Engine::create(
      command.model, command.engine,
      template_with_capability(template_of(command.chat, logger), command.chat.cap), logger,
      {.on_finished = {}, .on_load_progress = [&](double done) { progress.show(done); }});
  progress.finish();
  return engine;
}

int chat(ChatCommand& command) {
  use_utf8_input();
  const Result<Logger> logger = make_logger(command.log);
  if (!logger.ok()) return report_failure(logger.status());
  const Status compatible = check_compat_options(command.compat, *logger);
  if (!compatible.ok()) return report_failure(compatible);
  const Result<std::unique_ptr<Engine>> engine = load(command, *logger);
  if (!engine.ok()) return report_failure(engine.status());
  const ChatOptions& options = command.chat;
  const EngineInfo& info = (*engine)->info();
  Conversation conversation(**engine, sampling_of(options, info.sampling_defaults),
                            options.meta_instruction, options.cap != "chat");
  if (options.prompt) return answer_once(conversation, *options.prompt, options.verbose);
  if (!isatty(STDIN_FILENO)) return answer_once(conversation, read_all_input(), options.verbose);
  run_repl(conversation, {options.double_enter, options.verbose, info.session_len});
  return kExitOk;
}

}  // namespace

void add_chat(Command& root) {
  Command command = root.subcommand(
      "chat", "Talk with a model in the terminal; -p or piped input is one prompt.");
  command.older_spelling("turbomind", {"--backend=turbomind"});
  command.older_spelling("torch", {"--backend=pytorch"});
  auto options = std::make_shared<ChatCommand>();
  command.positional("model", kModelHelp, options->model);
  command.options(options->chat);
  command.options(options->engine);
  command.options(options->compat);
  command.options(options->log);
  command.run([options] { return chat(*options); });
}

}  // namespace lmdeploy::cli
