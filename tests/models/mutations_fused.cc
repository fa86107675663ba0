// Mutations of the families whose checkpoints fuse or rename tensors.
#include <cmath>

#include "tests/models/mutations.h"

namespace lmdeploy {
namespace {

// A fused q, k and v of `groups` KV heads as its reader would see it if the rows were all of q, all of
// k, all of v, where they are [query heads, k, v] of every KV head.
Mutate read_as_stacked(std::string part, int64_t groups, int64_t head_dim) {
  return each(std::move(part), [=](TinyTensor& t) {
    const int64_t group_rows = t.shape[0] / groups, query_rows = group_rows - 2 * head_dim;
    permute_rows(t, [=](int64_t r) {
      const int64_t group = r / group_rows, within = r % group_rows;
      if (within < query_rows) return group * query_rows + within;
      const int64_t part_rows = groups * head_dim;  // of k, and of v
      const int64_t of_part = group * head_dim + (within - query_rows) % head_dim;
      return groups * query_rows + (within - query_rows) / head_dim * part_rows + of_part;
    });
  });
}

// Exchanges the halves of the rows: gate and up of a fused tensor.
Mutate exchange_halves(std::string part) {
  return each(std::move(part), [](TinyTensor& t) {
    permute_rows(t, [rows = t.shape[0]](int64_t r) { return (r + rows / 2) % rows; });
  });
}

// Exchanges the last two parts of `rows` rows: k and v of a fused q, k and v.
Mutate exchange_last(std::string part, int64_t rows) {
  return each(std::move(part), [=](TinyTensor& t) {
    permute_rows(t, [=, first = t.shape[0] - 2 * rows](int64_t r) {
      return r < first ? r : first + (r - first + rows) % (2 * rows);
    });
  });
}

// Rotated neighbours (2 i, 2 i + 1) become (i, i + rotary_dim / 2) in the first `rows` rows, which are
// heads of q and k.
Mutate split_rope(std::string part, int64_t rows, int64_t head_dim, int64_t rotary_dim) {
  return each(std::move(part), [=](TinyTensor& t) {
    permute_rows(t, [=](int64_t r) {
      const int64_t within = r % head_dim, half = rotary_dim / 2;
      if (r >= rows || within >= rotary_dim) return r;
      return r - within + within % 2 * half + within / 2;
    });
  });
}

}  // namespace

std::vector<Mutation> fused_mutations() {
  return {
      {"internlm", "no q, k, v bias",
       [](json::object& config, TinyWeights& weights) {
         for (const char* name : {"q_proj.bias", "k_proj.bias", "v_proj.bias"}) {
           erase(name)(config, weights);
         }
       }},
      {"internlm", "no o bias", erase("o_proj.bias")},
      {"internlm-20b", "no dynamic rotation", set("rotary", nullptr)},
      {"internlm-20b", "rope base", set("rotary", json::object{{"base", 10000}, {"type", "dynamic"}})},
      {"internlm2", "wqkv read as q, k, v", read_as_stacked("wqkv", 2, 64)},
      {"internlm2", "gate and up exchanged", exchange("w1", "w3")},
      {"internlm2", "norms exchanged", exchange("attention_norm", "ffn_norm")},
      {"internlm2", "no dynamic rotation", set("rope_scaling", nullptr)},
      {"internlm2", "factor", set_rope("factor", 3.0)},
      {"internlm2", "embedding for output matrix", erase("output.weight")},
      {"internlm3", "no dynamic rotation", set("rope_scaling", nullptr)},
      {"internlm3", "factor", set_rope("factor", 2.0)},
      {"yi-ln", "norms exchanged", exchange("ln1", "ln2")},
      {"qwen", "gate and up exchanged", exchange("w1", "w2")},
      {"qwen", "no bias", fill("c_attn.bias", 0.0f)},
      {"qwen", "k and v exchanged", exchange_last("c_attn", 256)},
      {"qwen", "norms exchanged", exchange("ln_1", "ln_2")},
      {"qwen", "no dynamic rotation", set("use_dynamic_ntk", false)},
      {"qwen", "no logn", set("use_logn_attn", false)},
      {"qwen", "length of the training", set("seq_length", 33)},
      {"qwen", "another doubling", set("seq_length", 64)},
      {"qwen", "rope base", set("rotary_emb_base", 20000)},
      {"qwen-plain", "logn", set("use_logn_attn", true)},
      {"qwen-plain", "dynamic rotation", set("use_dynamic_ntk", true)},
      {"chatglm2", "rope pairs half a head apart", split_rope("query_key_value", 384, 64, 32)},
      {"chatglm2", "no bias", fill("query_key_value.bias", 0.0f)},
      {"chatglm2", "k and v exchanged", exchange_last("query_key_value", 128)},
      {"chatglm2", "gate and up exchanged", exchange_halves("dense_h_to_4h")},
      {"chatglm2", "rope ratio", set("rope_ratio", 2)},
      {"chatglm2-32k", "no rope ratio", set("rope_ratio", 1.0)},
      {"chatglm2-32k", "base stretched", set("_name_or_path", "THUDM/chatglm3-6b-32k")},
      {"glm4-chat", "no rope ratio", set("rope_ratio", 1)},
      {"glm4-chat", "rope pairs half a head apart", split_rope("query_key_value", 384, 64, 32)},
      {"glm", "rope pairs half a head apart", split_rope("q_proj", 256, 64, 32)},
      {"glm", "all of a head rotated", set("partial_rotary_factor", 1.0)},
      {"glm", "no bias", fill("bias", 0.0f)},
      {"glm", "gate and up exchanged", exchange_halves("gate_up_proj")},
      {"glm4", "norms around attention exchanged",
       exchange("input_layernorm", "post_self_attn_layernorm")},
      {"glm4", "norms around the MLP exchanged",
       exchange("post_attention_layernorm", "post_mlp_layernorm")},
      {"glm4", "all of a head rotated", set("partial_rotary_factor", 1.0)},
      {"gemma", "no plus one in the layers' norms", add("layernorm", -1.0f)},
      {"gemma", "no plus one in the final norm", add("model.norm", -1.0f)},
      {"gemma", "embedding not scaled", scale("embed_tokens", 1.0f / std::sqrt(128.0f))},
      {"gemma", "SiLU for GELU", set("hidden_activation", "silu")},
      {"gemma2", "no plus one in the layers' norms", add("layernorm", -1.0f)},
      {"gemma2", "norms around attention exchanged",
       exchange("input_layernorm", "post_attention_layernorm")},
      {"gemma2", "norms around the MLP exchanged", exchange("pre_feedforward", "post_feedforward")},
      {"gemma2", "embedding not scaled", scale("embed_tokens", 1.0f / std::sqrt(128.0f))},
      {"gemma2", "window one more", set("sliding_window", 17)},
      {"gemma2", "window one less", set("sliding_window", 15)},
      {"gemma2", "windows in the odd layers",
       set("layer_types",
           json::array{"full_attention", "sliding_attention", "full_attention"})},
      {"gemma2", "no softcap of scores", set("attn_logit_softcapping", nullptr)},
      {"gemma2", "no softcap of logits", set("final_logit_softcapping", nullptr)},
      {"gemma2", "scale by head_dim", set("query_pre_attn_scalar", 256)},
      {"phi3", "k and v exchanged", exchange_last("qkv_proj", 96)},
      {"phi3", "gate and up exchanged", exchange_halves("gate_up_proj")},
      {"phi3", "window one more", set("sliding_window", 17)},
      {"phi3", "window one less", set("sliding_window", 15)},
      {"phi3", "no window", set("sliding_window", nullptr)},
      {"phi3-longrope", "never long", set("original_max_position_embeddings", 512)},
      {"phi3-longrope", "short and long exchanged",
       [](json::object& config, TinyWeights&) {
         json::object& scaling = config["rope_scaling"].as_object();
         std::swap(scaling["short_factor"], scaling["long_factor"]);
       }},
      {"phi3-longrope", "attention factor", set_rope("attention_factor", 1.0)},
  };
}

}  // namespace lmdeploy
