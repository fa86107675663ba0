#include "models/moe_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace lmdeploy {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 22;

int64_t read_count(ConfigReader& reader, const char* key, int64_t otherwise, int64_t most) {
  if (otherwise == 0) return reader.required_int(key, 1, most);
  const int64_t count = reader.optional_int(key, otherwise);
  if (count >= 1 && count <= most) return count;
  reader.problem(fmt::format("'{}' is {}; expected 1 to {}", key, count, most));
  return 1;
}

void read_groups(ConfigReader& reader, int experts, MoeRouting& routing) {
  const int64_t groups = read_count(reader, "n_group", 1, experts);
  const int64_t kept = read_count(reader, "topk_group", 1, groups);
  if (experts % groups != 0 || experts / groups * kept < routing.top_k) {
    reader.problem(fmt::format(
        "{} experts in n_group {}, of which topk_group {} are kept, do not leave {} to choose",
        experts, groups, kept, routing.top_k));
    return;
  }
  routing.groups = static_cast<int>(groups);
  routing.kept_groups = static_cast<int>(kept);
}

}  // namespace

MoeConfig read_moe_config(ConfigReader& reader, const DecoderConfig& decoder, const MoeKeys& keys) {
  MoeConfig config{.hidden = decoder.hidden, .activation = decoder.activation};
  config.experts =
      static_cast<int>(read_count(reader, keys.experts, keys.default_experts, kMaxExperts));
  config.intermediate = read_count(reader, keys.size, keys.default_size, kMaxSize);
  config.routing.top_k =
      static_cast<int>(read_count(reader, "num_experts_per_tok", keys.default_top_k,
                                  std::min(config.experts, kMaxExpertsPerToken)));
  return config;
}

int64_t read_size(ConfigReader& reader, const char* key, int64_t otherwise) {
  return read_count(reader, key, otherwise, kMaxSize);
}

MoeConfig read_deepseek_moe_config(ConfigReader& reader, const DecoderConfig& decoder) {
  MoeConfig config = read_moe_config(reader, decoder, {.experts = "n_routed_experts"});
  MoeRouting& routing = config.routing;
  const std::string scores = reader.optional_string("scoring_func", "softmax");
  const std::string method = reader.optional_string("topk_method", "greedy");
  const double scale = reader.optional_double("routed_scaling_factor", 1.0, 1e-6, 1e6);
  routing.renormalize = reader.optional_bool("norm_topk_prob", false);
  if (scores == "sigmoid") {
    routing.scores = MoeScores::kSigmoid;
  } else if (scores != "softmax") {
    reader.problem(
        fmt::format("scoring_func '{}' is not supported; known: softmax, sigmoid", scores));
  }
  if (method == "noaux_tc") {
    config.correction = "e_score_correction_bias";
    routing.group_score = MoeGroupScore::kTwoLargest;
  } else if (method != "greedy" && method != "group_limited_greedy") {
    reader.problem(fmt::format(
        "topk_method '{}' is not supported; known: greedy, group_limited_greedy, noaux_tc",
        method));
  }
  if (method != "greedy") read_groups(reader, config.experts, routing);
  // V3 scales what it has renormalized, V2 what it has not.
  const bool scaled = method == "noaux_tc" || !routing.renormalize;
  routing.scale = scaled ? static_cast<float>(scale) : 1.0f;
  const int64_t shared = reader.optional_int("n_shared_experts", 0);
  if (shared < 0 || shared > kMaxExperts) {
    reader.problem(fmt::format("'n_shared_experts' is {}; expected 0 to {}", shared, kMaxExperts));
    return config;
  }
  config.shared_intermediate = shared * config.intermediate;
  return config;
}

std::vector<bool> deepseek_sparse_layers(ConfigReader& reader, int layers) {
  const int64_t first = reader.optional_int("first_k_dense_replace", 0);
  const int64_t every = read_count(reader, "moe_layer_freq", 1, kMaxSize);
  std::vector<bool> sparse;
  for (int layer = 0; layer < layers; ++layer)
    sparse.push_back(layer >= first && layer % every == 0);
  return sparse;
}

std::vector<bool> qwen_sparse_layers(ConfigReader& reader, int layers) {
  const int64_t step = read_count(reader, "decoder_sparse_step", 1, kMaxSize);
  std::vector<bool> sparse;
  for (int layer = 0; layer < layers; ++layer) sparse.push_back((layer + 1) % step == 0);
  const json::array* dense = reader.optional_array("mlp_only_layers");
  if (dense == nullptr) return sparse;
  for (const json::value& layer : *dense) {
    if (layer.is_int64() && layer.as_int64() >= 0 && layer.as_int64() < layers) {
      sparse[static_cast<size_t>(layer.as_int64())] = false;
    } else {
      reader.problem(fmt::format("mlp_only_layers has {}; expected layers 0 to {}",
                                 to_json_text(layer), layers - 1));
    }
  }
  return sparse;
}

Status check_split(const MoeConfig& config, const Parallel& parallel) {
  const bool shared = config.shared_intermediate % parallel.size == 0;
  if (config.intermediate % parallel.size == 0 && shared) return {};
  return unsupported(
      "experts cannot be cut over {} ranks: {} columns of the {} do not divide evenly; use another "
      "--tp",
      parallel.size, shared ? config.intermediate : config.shared_intermediate,
      shared ? "experts' MLPs" : "shared MLP");
}

}  // namespace lmdeploy
