// The peculiarities of latent attention.
#include "tests/models/mutations.h"

namespace lmdeploy {
namespace {

// Rows of the rotated part at the end of every `stride` rows: pairs of neighbours become halves.
Mutate unpair_rope(std::string part, int64_t stride, int64_t rope_dim) {
  return each(part, [=](TinyTensor& tensor) {
    permute_rows(tensor, [=](int64_t row) {
      const int64_t within = row % stride - (stride - rope_dim), half = rope_dim / 2;
      if (within < 0) return row;
      return row - within + 2 * (within % half) + within / half;
    });
  });
}

// Keys and values of every head exchanged in kv_b_proj, as far as they have rows.
Mutate values_before_keys(int64_t keys, int64_t values) {
  return each("kv_b_proj", [=](TinyTensor& tensor) {
    const int64_t stride = keys + values;
    permute_rows(tensor, [=](int64_t row) { return row / stride * stride + (row + keys) % stride; });
  });
}

}  // namespace

std::vector<Mutation> latent_mutations() {
  return {
      {"deepseek-v2-lite", "queries rotated by halves", unpair_rope("q_proj", 48, 16)},
      {"deepseek-v2-lite", "keys rotated by halves", unpair_rope("kv_a_proj_with_mqa", 48, 16)},
      {"deepseek-v2-lite", "values before keys", values_before_keys(32, 24)},
      {"deepseek-v2-lite", "no norm of the latent", fill("kv_a_layernorm", 1.0f)},
      {"deepseek-v2-lite", "no factor of the softmax", set_rope("mscale_all_dim", 0.0)},
      {"deepseek-v2-lite", "a plain rotation",
       [](json::object& config, TinyWeights&) { config.erase("rope_scaling"); }},
      {"deepseek-v2-lite", "scaled experts", set("routed_scaling_factor", 1.5)},
      {"deepseek-v2", "no norm of the query", fill("q_a_layernorm", 1.0f)},
      {"deepseek-v2", "not scaled", set("routed_scaling_factor", 1.0)},
      {"deepseek-v2", "all groups", set("topk_group", 4)},
      {"deepseek-v2", "no groups", set("topk_method", "greedy")},
      {"deepseek-v3", "no correction", fill("e_score_correction_bias", 0.0f)},
      {"deepseek-v3", "softmax scores", set("scoring_func", "softmax")},
      {"deepseek-v3", "not renormalized", set("norm_topk_prob", false)},
      {"deepseek-v3", "all groups", set("topk_group", 4)},
      {"deepseek-v3", "not scaled", set("routed_scaling_factor", 1.0)},
  };
}

}  // namespace lmdeploy
