// Workloads of `lmdeploy bench`: which prompts, how many tokens each answer has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/status.h"
#include "text/tokenizer.h"

namespace lmdeploy::cli {

struct BenchRequest {
  std::vector<int32_t> prompt;
  int64_t new_tokens = 0;  // end ids do not stop it earlier
};

// Lengths in tokens.
struct BenchLengths {
  int64_t prompt = 0, output = 0;
};

// Where the requests of a throughput or serving benchmark come from.
struct WorkloadOptions {
  std::string dataset, lengths;
  int64_t num_prompts = 5000;
  int64_t seed = 0;
  std::optional<int64_t> random_input_len, random_output_len;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    constexpr const char* kGroup = "Workload";
    visit({.name = "dataset", .help = "ShareGPT JSON file; its first two turns are prompt and answer",
           .value_name = "FILE", .group = kGroup}, self.dataset);
    visit({.name = "lengths", .help = "JSON list of [prompt tokens, answer tokens]; prompts are distinct random ids",
           .value_name = "FILE", .group = kGroup}, self.lengths);
    visit({.name = "random-input-len", .help = "prompt tokens of every request, random ids",
           .value_name = "TOKENS", .group = kGroup}, self.random_input_len);
    visit({.name = "random-output-len", .help = "answer tokens of every request",
           .value_name = "TOKENS", .group = kGroup}, self.random_output_len);
    visit({.name = "num-prompts", .help = "requests; of a data set, a random choice of so many",
           .aliases = {"n"}, .value_name = "N", .group = kGroup}, self.num_prompts);
    visit({.name = "seed", .help = "of the choice and of the random ids", .value_name = "N", .group = kGroup},
          self.seed);
  }
};

// Distinct prompts of uniform random ids below `vocab_size`.
std::vector<BenchRequest> random_requests(const std::vector<BenchLengths>& lengths, int64_t vocab_size,
                                          uint64_t seed);

// Lists of token ids of a JSON file, each below `vocab_size`.
Result<std::vector<std::vector<int32_t>>> read_prompt_ids(const std::string& path, int64_t vocab_size);

// Prompt r is the beginning of list r, from the first list again after the last; a list that is shorter
// than its prompt's length is an error.
Result<std::vector<BenchRequest>> requests_from_ids(const std::vector<BenchLengths>& lengths,
                                                    const std::vector<std::vector<int32_t>>& ids);

// The requests that the options name: exactly one of --dataset, --lengths and --random-input-len with
// --random-output-len. `tokenizer` is needed for --dataset alone and may be nullptr otherwise.
// ShareGPT rule of the documents: two turns or more; prompt and answer of at least 4 tokens, prompt of
// at most 1,024, both together at most 2,048.
Result<std::vector<BenchRequest>> load_workload(const WorkloadOptions& options, int64_t vocab_size,
                                                const Tokenizer* tokenizer);

}  // namespace lmdeploy::cli
