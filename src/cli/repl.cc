#include "cli/repl.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/terminal_text.h"

namespace lmdeploy::cli {

namespace {

// A message: one line with its continuations, or the lines up to an empty one; empty after Ctrl-C;
// nullopt when there is no more.
std::optional<std::string> read_message(LineReader& reader, bool double_enter) {
  std::string message;
  for (bool first = true;; first = false) {
    LineReader::Input line = reader.read(first ? ">>> " : "... ");
    if (line.event == LineReader::Event::kCancelled) return std::string();
    if (line.event == LineReader::Event::kEnd) {
      return first ? std::nullopt : std::optional<std::string>(message);
    }
    bool complete = false;
    if (double_enter) {
      const bool command = first && (line.text == "exit" || line.text == "end");
      complete = command || line.text.empty();
    } else {
      complete = !line.text.ends_with('\\');
      if (!complete) line.text.pop_back();
    }
    const bool ends_message = double_enter && line.text.empty();
    if (!ends_message) message += (first ? "" : "\n") + line.text;
    if (complete) return message;
  }
}

void print_ending(const Conversation::Reply& reply, int64_t session_len) {
  if (reply.finish == FinishReason::kAbort) {
    std::printf(" [stopped]");
  } else if (reply.finish == FinishReason::kLength) {
    const bool full = reply.prompt_tokens + reply.generated_tokens >= session_len;
    std::printf(
        "%s", full ? " [the window is full; 'end' starts over]" : " [cut off at --max-new-tokens]");
  }
  std::printf("\n");
  if (reply.finish == FinishReason::kError) std::fprintf(stderr, "%s\n", reply.error.c_str());
}

}  // namespace

void print_speed(const Conversation::Reply& reply) {
  std::fprintf(
      stderr, "[%lld prompt tokens (%lld cached), %lld generated, %.2f s, %.1f tokens/s]\n",
      static_cast<long long>(reply.prompt_tokens), static_cast<long long>(reply.cached_tokens),
      static_cast<long long>(reply.generated_tokens), reply.seconds,
      static_cast<double>(reply.generated_tokens) / std::max(reply.seconds, 1e-9));
}

void run_repl(Conversation& conversation, const ReplOptions& options) {
  std::printf("%s 'exit' leaves, 'end' starts over, Ctrl-C stops an answer.\n",
              options.double_enter ? "Press Enter twice to send."
                                   : "Enter sends, a trailing \\ continues the message.");
  InterruptGuard interrupts;
  LineReader reader(state_file("chat_history"));
  for (;;) {
    const std::optional<std::string> message = read_message(reader, options.double_enter);
    if (!message || *message == "exit") return;
    if (message->find_first_not_of(" \t\n") == std::string::npos) continue;
    if (*message == "end") {
      conversation.reset();
      std::printf("(a new conversation)\n");
      continue;
    }
    interrupts.clear();
    const Result<Conversation::Reply> reply =
        conversation.ask(*message, print_model_text, [&] { return interrupts.count() > 0; });
    if (!reply.ok()) {
      std::fprintf(stderr, "%s\n('end' starts over)\n", reply.status().message().c_str());
      continue;
    }
    print_ending(*reply, options.session_len);
    if (options.verbose) print_speed(*reply);
  }
}

}  // namespace lmdeploy::cli
