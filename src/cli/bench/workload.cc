#include "cli/bench/workload.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/random.h"

namespace lmdeploy::cli {

namespace {

constexpr JsonLimits kDatasetLimits{.max_depth = 64, .max_bytes = size_t{2} << 30};
constexpr int64_t kLeastTurnTokens = 4, kMostPromptTokens = 1024, kMostTokens = 2048;
constexpr int64_t kLeastSample = 1000;
constexpr int64_t kMostLength = 1 << 24;

// A random choice of `count` of the elements, in random order.
template <class T>
void keep_sample(std::vector<T>& elements, size_t count, uint64_t seed) {
  count = std::min(count, elements.size());
  for (size_t i = 0; i < count; ++i) {
    const size_t left = elements.size() - i;
    std::swap(elements[i], elements[i + hash_random(seed, i) % left]);
  }
  elements.resize(count);
}

Result<std::vector<BenchLengths>> read_lengths(const std::string& path) {
  ASSIGN_OR_RETURN(const json::value file, read_json_file(path, kDatasetLimits));
  std::vector<BenchLengths> lengths;
  const auto number = [](const json::value& value) {
    return value.is_int64() && value.as_int64() >= 1 && value.as_int64() <= kMostLength ? value.as_int64() : 0;
  };
  for (const json::value& pair : file.is_array() ? file.as_array() : json::array()) {
    const bool two = pair.is_array() && pair.as_array().size() == 2;
    const BenchLengths read{two ? number(pair.as_array()[0]) : 0, two ? number(pair.as_array()[1]) : 0};
    if (read.prompt == 0 || read.output == 0) {
      return invalid_argument("{}: entry {} is no pair of lengths; expected [prompt tokens, answer tokens], each from 1 to {}",
                              path, lengths.size(), kMostLength);
    }
    lengths.push_back(read);
  }
  if (lengths.empty()) return invalid_argument("{}: expected a JSON list of [prompt tokens, answer tokens]", path);
  return lengths;
}

// The first two turns' texts of each conversation that has them.
Result<std::vector<std::pair<std::string, std::string>>> read_conversations(const std::string& path) {
  ASSIGN_OR_RETURN(const json::value file, read_json_file(path, kDatasetLimits));
  std::vector<std::pair<std::string, std::string>> turns;
  for (const json::value& entry : file.is_array() ? file.as_array() : json::array()) {
    const json::value* list = entry.is_object() ? find(entry.as_object(), "conversations") : nullptr;
    if (list == nullptr || !list->is_array() || list->as_array().size() < 2) continue;
    const auto text = [&](size_t turn) -> std::string {
      const json::value& value = list->as_array()[turn];
      const json::value* said = value.is_object() ? find(value.as_object(), "value") : nullptr;
      return said != nullptr && said->is_string() ? std::string(said->as_string()) : std::string();
    };
    turns.emplace_back(text(0), text(1));
  }
  if (turns.empty()) {
    return invalid_argument("{}: no conversation of two turns; expected ShareGPT's list of "
                            "{{\"conversations\": [{{\"value\": ...}}, ...]}}", path);
  }
  return turns;
}

Result<std::vector<BenchRequest>> sharegpt_requests(const WorkloadOptions& options, const Tokenizer& tokenizer) {
  ASSIGN_OR_RETURN(auto turns, read_conversations(options.dataset));
  const auto seed = static_cast<uint64_t>(options.seed);
  const int64_t sampled = std::max(options.num_prompts * 6 / 5, kLeastSample);
  if (sampled > static_cast<int64_t>(turns.size())) {
    return invalid_argument("{}: {} conversations of two turns, {} are needed for --num-prompts {}",
                            options.dataset, turns.size(), sampled, options.num_prompts);
  }
  keep_sample(turns, static_cast<size_t>(sampled), seed);
  std::vector<BenchRequest> requests;
  for (const auto& [prompt, answer] : turns) {
    std::vector<int32_t> ids = tokenizer.encode(prompt);
    const auto prompt_tokens = static_cast<int64_t>(ids.size());
    const auto answer_tokens = static_cast<int64_t>(tokenizer.encode(answer).size());
    if (prompt_tokens < kLeastTurnTokens || answer_tokens < kLeastTurnTokens) continue;
    if (prompt_tokens > kMostPromptTokens || prompt_tokens + answer_tokens > kMostTokens) continue;
    requests.push_back({std::move(ids), answer_tokens});
  }
  keep_sample(requests, static_cast<size_t>(options.num_prompts), seed + 1);
  return requests;
}

}  // namespace

std::vector<BenchRequest> random_requests(const std::vector<BenchLengths>& lengths, int64_t vocab_size,
                                          uint64_t seed) {
  std::vector<BenchRequest> requests(lengths.size());
  for (size_t r = 0; r < lengths.size(); ++r) {
    const uint64_t key = hash_random(seed, r);
    requests[r].new_tokens = lengths[r].output;
    requests[r].prompt.resize(static_cast<size_t>(lengths[r].prompt));
    for (size_t i = 0; i < requests[r].prompt.size(); ++i) {
      requests[r].prompt[i] = static_cast<int32_t>(hash_random(key, i) % static_cast<uint64_t>(vocab_size));
    }
  }
  return requests;
}

Result<std::vector<std::vector<int32_t>>> read_prompt_ids(const std::string& path, int64_t vocab_size) {
  ASSIGN_OR_RETURN(const json::value file, read_json_file(path, kDatasetLimits));
  std::vector<std::vector<int32_t>> lists;
  for (const json::value& list : file.is_array() ? file.as_array() : json::array()) {
    if (!list.is_array()) {
      return invalid_argument("{}: entry {} is no list; expected a JSON list of lists of token ids", path, lists.size());
    }
    std::vector<int32_t> ids;
    for (const json::value& id : list.as_array()) {
      if (!id.is_int64() || id.as_int64() < 0 || id.as_int64() >= vocab_size) {
        return invalid_argument("{}: entry {} of list {} is no token id; expected whole numbers from 0 to {}", path,
                                ids.size(), lists.size(), vocab_size - 1);
      }
      ids.push_back(static_cast<int32_t>(id.as_int64()));
    }
    lists.push_back(std::move(ids));
  }
  if (lists.empty()) return invalid_argument("{}: expected a JSON list of lists of token ids", path);
  return lists;
}

Result<std::vector<BenchRequest>> requests_from_ids(const std::vector<BenchLengths>& lengths,
                                                    const std::vector<std::vector<int32_t>>& ids) {
  std::vector<BenchRequest> requests;
  for (size_t r = 0; r < lengths.size(); ++r) {
    const std::vector<int32_t>& list = ids[r % ids.size()];
    if (static_cast<int64_t>(list.size()) < lengths[r].prompt) {
      return invalid_argument("list {} of --prompt-ids has {} ids; a prompt of {} is asked for", r % ids.size(), list.size(),
                              lengths[r].prompt);
    }
    requests.push_back({{list.begin(), list.begin() + lengths[r].prompt}, lengths[r].output});
  }
  return requests;
}

Result<std::vector<BenchRequest>> load_workload(const WorkloadOptions& options, int64_t vocab_size,
                                                const Tokenizer* tokenizer) {
  const bool random = options.random_input_len.has_value() || options.random_output_len.has_value();
  if ((options.dataset.empty() ? 0 : 1) + (options.lengths.empty() ? 0 : 1) + (random ? 1 : 0) != 1) {
    return invalid_argument("give one of --dataset FILE, --lengths FILE, and --random-input-len N with --random-output-len M");
  }
  if (options.num_prompts < 1) return invalid_argument("--num-prompts is {}; expected 1 or more", options.num_prompts);
  const auto seed = static_cast<uint64_t>(options.seed);
  if (!options.dataset.empty()) {
    if (tokenizer == nullptr) return invalid_argument("--dataset needs a tokenizer to count tokens");
    return sharegpt_requests(options, *tokenizer);
  }
  std::vector<BenchLengths> lengths;
  if (random) {
    const int64_t input = options.random_input_len.value_or(0), output = options.random_output_len.value_or(0);
    if (input < 1 || output < 1 || input > kMostLength || output > kMostLength) {
      return invalid_argument("--random-input-len {} and --random-output-len {}: expected both, from 1 to {}", input, output,
                              kMostLength);
    }
    lengths.assign(static_cast<size_t>(options.num_prompts), {input, output});
  } else {
    ASSIGN_OR_RETURN(lengths, read_lengths(options.lengths));
    if (static_cast<int64_t>(lengths.size()) > options.num_prompts) lengths.resize(static_cast<size_t>(options.num_prompts));
  }
  return random_requests(lengths, vocab_size, seed);
}

}  // namespace lmdeploy::cli
