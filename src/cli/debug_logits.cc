// lmdeploy debug logits: a model's numbers for given token ids, to compare with another program's.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <future>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/debug.h"
#include "cli/program.h"
#include "cli/token_ids.h"
#include "engine/engine.h"

namespace lmdeploy::cli {

namespace {

struct DebugLogitsOptions {
  std::string model;
  std::string input_ids;
  int64_t greedy = 0;
  bool json = false;
  EngineOptions engine;
  LogOptions log;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "input-ids",
           .help = "token ids with commas between them; brackets around them may be there",
           .value_name = "IDS"},
          self.input_ids);
    visit({.name = "greedy",
           .help = "also decode this many tokens, the most likely each time",
           .value_name = "N"},
          self.greedy);
    visit({.name = "json", .help = "print one JSON object (the default prints a summary)"},
          self.json);
  }
};

struct Numbers {
  std::vector<TokenOutput> prompt;
  std::vector<float> last_logits;
  std::vector<int32_t> greedy;
  std::string error;
};

Result<Numbers> compute(Engine& engine, std::vector<int32_t> ids, int64_t greedy) {
  GenerateRequest request;
  request.id = "debug-logits";
  request.prompt = std::move(ids);
  request.sampling.greedy = true;
  request.sampling.end_ids_are_plain = true;
  request.sampling.max_new_tokens = greedy;
  request.sampling.skip_special_tokens = false;
  request.prompt_logprobs = true;
  request.last_logits = true;
  Numbers numbers;
  std::promise<void> done;
  const Result<RequestId> id = engine.submit(std::move(request), [&](GenerateOutput&& output) {
    if (!output.prompt_logprobs.empty()) numbers.prompt = std::move(output.prompt_logprobs);
    if (!output.last_logits.empty()) numbers.last_logits = std::move(output.last_logits);
    for (const TokenOutput& token : output.tokens) numbers.greedy.push_back(token.id);
    if (output.finish == FinishReason::kError) numbers.error = output.error;
    if (output.finish.has_value()) done.set_value();
    return true;
  });
  RETURN_IF_ERROR(id.status());
  done.get_future().wait();
  if (!numbers.error.empty()) return internal_error("{}", numbers.error);
  return numbers;
}

// JSON has no NaN and no infinity; they become null.
template <class T>
void append_numbers(std::string& out, const char* key, const std::vector<T>& values) {
  out += fmt::format("\"{}\": [", key);
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ", ";
    out += std::isfinite(static_cast<double>(values[i])) ? fmt::format("{}", values[i]) : "null";
  }
  out += "]";
}

void warn_of_odd_numbers(const std::vector<float>& logits) {
  const auto odd = std::count_if(logits.begin(), logits.end(),
                                 [](float value) { return !std::isfinite(value); });
  if (odd == 0) return;
  std::fprintf(stderr, "%lld of %zu logits are NaN or infinite\n", static_cast<long long>(odd),
               logits.size());
}

void print_json(const Numbers& numbers) {
  std::vector<float> next;
  for (size_t i = 1; i < numbers.prompt.size(); ++i) next.push_back(numbers.prompt[i].logprob);
  std::string out = "{";
  append_numbers(out, "next_logprobs", next);
  out += ", ";
  append_numbers(out, "last_logits", numbers.last_logits);
  out += ", ";
  append_numbers(out, "greedy", numbers.greedy);
  std::puts((out + "}").c_str());
}

void print_summary(const Engine& engine, const Numbers& numbers) {
  double sum = 0;
  for (size_t i = 1; i < numbers.prompt.size(); ++i) sum += numbers.prompt[i].logprob;
  std::printf("prompt tokens: %zu, sum of next-token logprobs: %.6f\n", numbers.prompt.size(), sum);
  std::string ids, text = engine.tokenizer().decode(numbers.greedy, {.skip_special_tokens = false});
  for (int32_t id : numbers.greedy) ids += (ids.empty() ? "" : ",") + std::to_string(id);
  std::printf("greedy: %s\ntext: %s\n(--json prints every number)\n", ids.c_str(), text.c_str());
}

int debug_logits(const DebugLogitsOptions& options) {
  Result<std::vector<int32_t>> ids = parse_token_ids(options.input_ids);
  if (!ids.ok()) return report_failure(ids.status());
  if (options.greedy < 0)
    return report_failure(invalid_argument("--greedy is {}; expected 0 or more", options.greedy));
  const Result<Logger> logger = make_logger(options.log);
  if (!logger.ok()) return report_failure(logger.status());
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(options.model, options.engine, "", *logger);
  if (!engine.ok()) return report_failure(engine.status());
  const Result<Numbers> numbers = compute(**engine, std::move(*ids), options.greedy);
  if (!numbers.ok()) return report_failure(numbers.status());
  warn_of_odd_numbers(numbers->last_logits);
  if (options.json) {
    print_json(*numbers);
  } else {
    print_summary(**engine, *numbers);
  }
  return kExitOk;
}

}  // namespace

void add_debug_logits(Command& debug) {
  Command command =
      debug.subcommand("logits", "Print a model's logits and greedy continuation for token ids.");
  auto options = std::make_shared<DebugLogitsOptions>();
  command.positional("model", kModelHelp, options->model);
  command.options(*options);
  command.options(options->engine);
  command.options(options->log);
  command.run([options] { return debug_logits(*options); });
}

}  // namespace lmdeploy::cli
