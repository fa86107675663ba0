// The peculiarities of mixtures of experts.
#include <algorithm>

#include "tests/models/mutations.h"

namespace lmdeploy {
namespace {

// The first half of the values behind the second, in every matrix of the tensor (its last two
// dimensions) or in the whole of a vector.
void exchange_halves(TinyTensor& tensor) {
  const int rank = tensor.shape.rank();
  const int64_t size = rank < 2 ? tensor.shape[0] : tensor.shape[rank - 2] * tensor.shape[rank - 1];
  for (auto begin = tensor.values.begin(); begin != tensor.values.end(); begin += size) {
    std::rotate(begin, begin + size / 2, begin + size);
  }
}

// The even columns of every row, then the odd ones.
void part_columns(TinyTensor& tensor) {
  const int64_t columns = tensor.shape[tensor.shape.rank() - 1];
  const std::vector<float> before = tensor.values;
  for (size_t i = 0; i < before.size(); ++i) {
    const int64_t column = static_cast<int64_t>(i) % columns;
    const int64_t to = column % 2 * (columns / 2) + column / 2;
    tensor.values[i - static_cast<size_t>(column) + static_cast<size_t>(to)] = before[i];
  }
}

Mutate set_in(std::string part, std::string key, json::value value) {
  return [=](json::object& config, TinyWeights&) { config[part].as_object()[key] = value; };
}

}  // namespace

std::vector<Mutation> moe_mutations() {
  return {
      {"mixtral", "one expert more", set("num_experts_per_tok", 3)},
      {"mixtral", "one expert less", set("num_experts_per_tok", 1)},
      {"mixtral", "gate and up exchanged", exchange("w1", "w3")},
      {"mixtral", "experts exchanged", exchange("experts.0.", "experts.1.")},
      {"mixtral", "experts' outputs exchanged", exchange("experts.2.w2", "experts.5.w2")},
      {"mixtral", "router without weight", fill("block_sparse_moe.gate", 0.0f)},
      {"mixtral", "embedding for output matrix", erase("lm_head")},
      {"mixtral-stacked", "gate and up exchanged", each("gate_up_proj", exchange_halves)},
      {"mixtral-stacked", "window one more", set("sliding_window", 17)},
      {"mixtral-stacked", "window one less", set("sliding_window", 15)},
      {"qwen2-moe", "renormalized", set("norm_topk_prob", true)},
      {"qwen2-moe", "one expert less", set("num_experts_per_tok", 2)},
      {"qwen2-moe", "no gate of the shared MLP", fill("shared_expert_gate", 0.0f)},
      {"qwen2-moe", "no shared MLP", fill("shared_expert.down_proj", 0.0f)},
      {"qwen2-moe", "gate and up of the shared MLP exchanged",
       exchange("shared_expert.gate_proj", "shared_expert.up_proj")},
      {"qwen2-moe", "no bias", fill("bias", 0.0f)},
      {"qwen2-moe-step", "not renormalized", set("norm_topk_prob", false)},
      {"qwen2-moe-step", "experts exchanged", exchange("experts.3.", "experts.7.")},
      {"qwen3-moe", "not renormalized", set("norm_topk_prob", false)},
      {"qwen3-moe", "one expert more", set("num_experts_per_tok", 5)},
      {"qwen3-moe", "gate and up exchanged", exchange("gate_proj", "up_proj")},
      {"qwen3-moe", "no q norm weight", fill("q_norm", 1.0f)},
      {"deepseek-moe", "renormalized", set("norm_topk_prob", true)},
      {"deepseek-moe", "one expert less", set("num_experts_per_tok", 5)},
      {"deepseek-moe", "scaled", set("routed_scaling_factor", 1.5)},
      {"deepseek-moe", "sigmoid scores", set("scoring_func", "sigmoid")},
      {"deepseek-moe", "the best groups alone",
       [](json::object& config, TinyWeights&) {
         config["topk_method"] = "group_limited_greedy";
         config["n_group"] = 4;
         config["topk_group"] = 2;
       }},
      {"deepseek-moe", "no shared MLP", fill("shared_experts.down_proj", 0.0f)},
      {"gpt-oss", "no sinks", fill("sinks", -1e4f)},
      {"gpt-oss", "sinks of other heads", each("sinks", exchange_halves)},
      {"gpt-oss", "window one more", set("sliding_window", 17)},
      {"gpt-oss", "window one less", set("sliding_window", 15)},
      {"gpt-oss", "windows in the other layers",
       [](json::object& config, TinyWeights&) {
         json::array& types = config["layer_types"].as_array();
         std::reverse(types.begin(), types.end());
       }},
      {"gpt-oss", "no router bias", fill("router.bias", 0.0f)},
      {"gpt-oss", "no bias of gate and up", fill("gate_up_proj_bias", 0.0f)},
      {"gpt-oss", "no bias of down", fill("down_proj_bias", 0.0f)},
      {"gpt-oss", "no o bias", fill("o_proj.bias", 0.0f)},
      {"gpt-oss", "gate and up stacked, not interleaved", each("gate_up_proj", part_columns)},
      {"gpt-oss", "one expert less", set("num_experts_per_tok", 3)},
      {"gpt-oss", "ramp truncated", set_rope("truncate", true)},
      {"gpt-oss", "no scaling", set("rope_scaling", nullptr)},
      {"dbrx", "not clipped", set_in("attn_config", "clip_qkv", nullptr)},
      {"dbrx", "clipped elsewhere", set_in("attn_config", "clip_qkv", 2.5)},
      {"dbrx", "not renormalized", set_in("ffn_config", "moe_normalize_expert_weights", nullptr)},
      {"dbrx", "one expert less", set_in("ffn_config", "moe_top_k", 3)},
      {"dbrx", "gate and up exchanged", exchange("mlp.w1", "mlp.v1")},
      {"dbrx", "norms exchanged", exchange("norm_1", "norm_2")},
      {"dbrx", "rope base", set_in("attn_config", "rope_theta", 10000.0)},
  };
}

}  // namespace lmdeploy
