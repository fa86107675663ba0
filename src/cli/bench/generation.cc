// lmdeploy bench generation: speed of fixed prompt and answer lengths at fixed numbers of streams
// (LMDeploy's profile_generation.py).

#include <charconv>
#include <cstdio>

#include "cli/bench/bench.h"
#include "cli/bench/engine_load.h"
#include "cli/bench/limit.h"
#include "cli/program.h"

namespace lmdeploy::cli {

namespace {

struct GenerationOptions {
  std::string model;
  std::vector<std::string> concurrency = {"1", "16", "32", "64"};
  std::vector<std::string> prompt_tokens = {"1", "128", "128", "2048", "2048"};
  std::vector<std::string> completion_tokens = {"128", "128", "2048", "128", "2048"};
  int64_t test_round = 3, warmup_round = 1;
  int64_t seed = 0;
  std::string prompt_ids;
  std::string csv = "profile_generation.csv", output_file;
  BenchSampling sampling;
  EngineOptions engine;
  LogOptions log;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "concurrency", .help = "streams at a time; each number is a run", .aliases = {"c"}, .value_name = "N ..."},
          self.concurrency);
    visit({.name = "prompt-tokens", .help = "prompt lengths, paired with --completion-tokens", .aliases = {"pt"},
           .value_name = "N ..."}, self.prompt_tokens);
    visit({.name = "completion-tokens", .help = "answer lengths, paired with --prompt-tokens", .aliases = {"ct"},
           .value_name = "N ..."}, self.completion_tokens);
    visit({.name = "test-round", .help = "requests of each stream that count", .aliases = {"tr"}, .value_name = "N"},
          self.test_round);
    visit({.name = "warmup-round", .help = "requests of each stream before those", .aliases = {"w"}, .value_name = "N"},
          self.warmup_round);
    visit({.name = "seed", .help = "of the random prompts", .value_name = "N"}, self.seed);
    visit({.name = "prompt-ids", .help = "JSON lists of token ids whose beginnings are the prompts, instead of random ones",
           .value_name = "FILE"}, self.prompt_ids);
    visit({.name = "csv", .help = "table to write; an empty path writes none", .value_name = "FILE"}, self.csv);
    visit({.name = "output-file", .help = "also write every figure as one JSON object", .value_name = "FILE"},
          self.output_file);
  }
};

Result<std::vector<int64_t>> numbers(const std::vector<std::string>& words, const char* option) {
  constexpr int64_t kMost = 1 << 24;
  std::vector<int64_t> out;
  for (const std::string& word : words) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < 1 || value > kMost) {
      return invalid_argument("--{} has '{}'; expected numbers from 1 to {}", option, word, kMost);
    }
    out.push_back(value);
  }
  return out;
}

struct Combination {
  int64_t streams, prompt, completion;
};

Result<std::vector<Combination>> combinations(const GenerationOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> streams, numbers(options.concurrency, "concurrency"));
  ASSIGN_OR_RETURN(const std::vector<int64_t> prompts, numbers(options.prompt_tokens, "prompt-tokens"));
  ASSIGN_OR_RETURN(const std::vector<int64_t> completions, numbers(options.completion_tokens, "completion-tokens"));
  if (prompts.size() != completions.size()) {
    return invalid_argument("--prompt-tokens has {} numbers and --completion-tokens {}; they are pairs", prompts.size(),
                            completions.size());
  }
  if (options.test_round < 1 || options.warmup_round < 0) {
    return invalid_argument("--test-round is {} and --warmup-round {}; expected at least 1 and 0", options.test_round,
                            options.warmup_round);
  }
  std::vector<Combination> out;
  for (const int64_t count : streams) {
    for (size_t i = 0; i < prompts.size(); ++i) out.push_back({count, prompts[i], completions[i]});
  }
  return out;
}

using PromptIds = std::vector<std::vector<int32_t>>;

// Prompts are random without `ids`.
Result<BenchSummary> run_combination(Engine& engine, const GenerationOptions& options, const PromptIds& ids,
                                     const Combination& work, double bandwidth) {
  const auto run = [&](const char* what, int64_t rounds, uint64_t seed) -> Result<BenchSummary> {
    const std::vector<BenchLengths> lengths(static_cast<size_t>(work.streams * rounds), {work.prompt, work.completion});
    std::vector<BenchRequest> requests;
    if (ids.empty()) {
      requests = random_requests(lengths, engine.info().vocab_size, seed);
    } else {
      ASSIGN_OR_RETURN(requests, requests_from_ids(lengths, ids));
    }
    ProgressBar progress(what, static_cast<int64_t>(requests.size()));
    const EngineStats before = engine.stats();
    ASSIGN_OR_RETURN(const std::vector<RequestRecord> records,
                     run_on_engine(engine, requests, work.streams, options.sampling, progress));
    BenchSummary summary = summarize(work.streams, records);
    set_limit(summary, engine.info(), requests, bandwidth);
    set_steps(summary, before, engine.stats());
    return summary;
  };
  const auto seed = static_cast<uint64_t>(options.seed);
  if (options.warmup_round > 0) RETURN_IF_ERROR(run("warm-up", options.warmup_round, ~seed).status());
  return run("measuring", options.test_round, seed);
}

Status bench_generation(const GenerationOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<Combination> works, combinations(options));
  ASSIGN_OR_RETURN(BenchEngine bench, start_bench_engine(options.model, options.engine, options.log));
  PromptIds ids;
  if (!options.prompt_ids.empty()) {
    ASSIGN_OR_RETURN(ids, read_prompt_ids(options.prompt_ids, bench.engine->info().vocab_size));
  }
  std::string csv = kGenerationCsvHeader;
  json::array results;
  for (const Combination& work : works) {
    if (work.prompt + work.completion > bench.engine->info().session_len) {
      std::printf("prompt_tokens: %lld, completion_tokens: %lld: longer than the session of %lld tokens, not run\n",
                  static_cast<long long>(work.prompt), static_cast<long long>(work.completion),
                  static_cast<long long>(bench.engine->info().session_len));
      continue;
    }
    std::printf("\nprompt_tokens: %lld, completion_tokens: %lld", static_cast<long long>(work.prompt),
                static_cast<long long>(work.completion));
    ASSIGN_OR_RETURN(const BenchSummary summary, run_combination(*bench.engine, options, ids, work, bench.bandwidth));
    print_summary(summary);
    csv += generation_csv_row(summary, work.prompt, work.completion, bench.memory_gib());
    json::object result = summary_json(summary);
    result["prompt_length"] = work.prompt;
    result["completion_length"] = work.completion;
    results.push_back(std::move(result));
  }
  RETURN_IF_ERROR(write_report(options.csv, csv));
  return write_report(options.output_file, bench_json("generation", bench, std::move(results)));
}

}  // namespace

void add_bench_generation(Command& bench) {
  Command command = bench.subcommand("generation", "Speed of fixed prompt and answer lengths, in this process.");
  auto options = std::make_shared<GenerationOptions>();
  command.positional("model", kModelHelp, options->model);
  command.options(*options);
  command.options(options->sampling);
  command.options(options->engine);
  command.options(options->log);
  command.run([options] { return finish_bench(bench_generation(*options)); });
}

}  // namespace lmdeploy::cli
