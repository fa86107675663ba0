// lmdeploy chat: talk with a model in the terminal.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "cli/compat_options.h"
#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/load_progress.h"
#include "cli/program.h"
#include "engine/engine.h"

namespace lmdeploy::cli {

namespace {

struct ChatOptions {
  std::string model;
  std::optional<std::string> prompt;
  bool double_enter = false;
  std::string meta_instruction;
  std::string chat_template;
  std::string cap = "chat";
  std::string model_name;
  int64_t max_new_tokens = 1024;
  std::optional<double> temperature, top_p, repetition_penalty;
  std::optional<int64_t> top_k, seed;
  bool verbose = false;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "prompt", .help = "answer this one prompt and leave", .aliases = {"p"}}, self.prompt);
    visit({.name = "double-enter", .help = "an empty line sends the message, as in LMDeploy's documents; by default Enter "
                                           "sends and a trailing backslash continues the line"}, self.double_enter);
    visit({.name = "meta-instruction", .help = "system prompt; empty takes the template's own", .aliases = {"system"}},
          self.meta_instruction);
    visit({.name = "chat-template", .help = "a built-in name (see 'lmdeploy list'), a .json or .jinja file, or JSON text; "
                                            "empty takes the model's own", .value_name = "T"}, self.chat_template);
    visit({.name = "cap", .help = "chat applies the chat template; completion gives the model your text as it is",
           .choices = {"chat", "completion", "infilling", "python"}}, self.cap);
    visit({.name = "model-name", .help = "chat template by name (older spelling of --chat-template)"}, self.model_name);
    visit({.name = "max-new-tokens", .help = "longest answer", .aliases = {"request-output-len"}, .group = "Sampling"},
          self.max_new_tokens);
    visit({.name = "temperature", .help = "0 always takes the most likely token (default: the model's, or 0.8)",
           .group = "Sampling"}, self.temperature);
    visit({.name = "top-p", .help = "draw from the most likely tokens that together have this probability (default: the "
                                    "model's, or 0.8)", .group = "Sampling"}, self.top_p);
    visit({.name = "top-k", .help = "draw from this many most likely tokens; 0 is all (default: the model's, or 40)",
           .group = "Sampling"}, self.top_k);
    visit({.name = "repetition-penalty", .help = "above 1 makes tokens that came before less likely (default: the model's, "
                                                 "or 1)", .group = "Sampling"}, self.repetition_penalty);
    visit({.name = "seed", .help = "the same seed gives the same answers", .group = "Sampling"}, self.seed);
    visit({.name = "verbose", .help = "print tokens and speed after each answer"}, self.verbose);
  }
};

struct ChatCommand {
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
  sampling.repetition_penalty = options.repetition_penalty.value_or(defaults.repetition_penalty.value_or(1.0));
  if (options.seed) sampling.seed = static_cast<uint64_t>(*options.seed);
  sampling.max_new_tokens = options.max_new_tokens;
  return sampling;
}

void print_text(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print_speed(const Conversation::Reply& reply) {
  std::fprintf(stderr, "[%lld prompt tokens (%lld cached), %lld generated, %.2f s, %.1f tokens/s]\n",
               static_cast<long long>(reply.prompt_tokens), static_cast<long long>(reply.cached_tokens),
               static_cast<long long>(reply.generated_tokens), reply.seconds,
               static_cast<double>(reply.generated_tokens) / std::max(reply.seconds, 1e-9));
}

// One prompt (-p or piped), one answer. Ctrl-C ends the answer and the program.
int answer_once(Conversation& conversation, const std::string& prompt, bool verbose) {
  InterruptGuard interrupts;
  const Result<Conversation::Reply> reply =
      conversation.ask(prompt, print_text, [&] { return interrupts.count() > 0; });
  if (!reply.ok()) return report_failure(reply.status());
  if (!reply->text.ends_with('\n')) std::fputc('\n', stdout);
  if (verbose) print_speed(*reply);
  if (reply->finish == FinishReason::kError) return report_failure(internal_error("{}", reply->error));
  return interrupts.count() > 0 ? kExitInterrupted : kExitOk;
}

// A message: one line with continuations, or lines up to an empty one.
std::optional<std::string> read_message(LineReader& reader, bool double_enter) {
  std::string message;
  for (bool first = true;; first = false) {
    std::optional<std::string> line = reader.read(first ? ">>> " : "... ");
    if (!line) return first ? std::nullopt : std::optional<std::string>(message);
    if (double_enter) {
      const bool command = first && (*line == "exit" || *line == "end");
      if (command) return line;
      if (line->empty() && !first) return message;
      if (line->empty()) return std::string();
      message += (message.empty() ? "" : "\n") + *line;
      continue;
    }
    const bool continues = line->ends_with('\\');
    if (continues) line->pop_back();
    message += (first ? "" : "\n") + *line;
    if (!continues) return message;
  }
}

int talk(Conversation& conversation, const ChatOptions& options) {
  std::printf("%s 'exit' leaves, 'end' starts over, Ctrl-C stops an answer.\n",
              options.double_enter ? "An empty line sends." : "Enter sends, a trailing \\ continues the line.");
  LineReader reader(state_file("chat_history"));
  for (;;) {
    InterruptGuard interrupts;
    const std::optional<std::string> message = read_message(reader, options.double_enter);
    if (!message || *message == "exit") return kExitOk;
    if (message->find_first_not_of(" \t\n") == std::string::npos) continue;
    reader.remember(*message);
    if (*message == "end") {
      conversation.reset();
      std::printf("(a new conversation)\n");
      continue;
    }
    interrupts.clear();
    const Result<Conversation::Reply> reply =
        conversation.ask(*message, print_text, [&] { return interrupts.count() > 0; });
    if (!reply.ok()) {
      std::fprintf(stderr, "%s\n(say 'end' to start over)\n", reply.status().message().c_str());
      continue;
    }
    std::printf("%s\n", reply->finish == FinishReason::kAbort ? " [stopped]" : "");
    if (reply->finish == FinishReason::kError) std::fprintf(stderr, "%s\n", reply->error.c_str());
    if (options.verbose) print_speed(*reply);
  }
}

std::string read_all_input() {
  std::string text;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), stdin)) > 0;) text.append(buffer, n);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

int chat(ChatCommand& command) {
  const Result<Logger> logger = make_logger(command.log);
  if (!logger.ok()) return report_failure(logger.status());
  const Status compatible = check_compat_options(command.compat, *logger);
  if (!compatible.ok()) return report_failure(compatible);
  const ChatOptions& options = command.chat;
  if (options.cap == "infilling") {
    return report_failure(unsupported("--cap infilling is not in this version; --cap completion takes a prompt with the "
                                      "model's own infilling marks"));
  }
  command.engine.enable_prefix_caching = true;  // a conversation goes on where it stopped
  LoadProgress progress;
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(options.model, command.engine,
                     options.chat_template.empty() ? options.model_name : options.chat_template, *logger,
                     {.on_finished = {}, .on_load_progress = [&](double done) { progress.show(done); }});
  progress.finish();
  if (!engine.ok()) return report_failure(engine.status());
  Conversation conversation(**engine, sampling_of(options, (*engine)->info().sampling_defaults),
                            options.meta_instruction, options.cap != "chat");
  if (options.prompt) return answer_once(conversation, *options.prompt, options.verbose);
  if (!isatty(STDIN_FILENO)) return answer_once(conversation, read_all_input(), options.verbose);
  return talk(conversation, options);
}

}  // namespace

void add_chat(Command& root) {
  Command command = root.subcommand("chat", "Talk with a model in the terminal; -p or piped input is one prompt.");
  auto options = std::make_shared<ChatCommand>();
  command.positional("model", "directory, .gguf file, or id in the local Hugging Face cache", options->chat.model);
  command.options(options->chat);
  command.options(options->engine);
  command.options(options->compat);
  command.options(options->log);
  command.run([options] { return chat(*options); });
}

}  // namespace lmdeploy::cli
