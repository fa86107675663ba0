// Families with layer norms, parallel blocks, ALiBi, MLPs without gate, or constants of their own.
#include <algorithm>

#include "tests/models/mutations.h"

namespace lmdeploy {
namespace {

Mutate both(Mutate first, Mutate second) {
  return [=](json::object& config, TinyWeights& weights) {
    first(config, weights);
    second(config, weights);
  };
}

Mutate without_key(std::string key) {
  return [=](json::object& config, TinyWeights&) { config.erase(key); };
}

// Blocks of `size` rows in another order: block i of the result is block order[i] of the tensor.
Mutate reorder_blocks(std::string part, int64_t size, std::vector<int64_t> order) {
  return each(std::move(part), [=](TinyTensor& t) {
    permute_rows(t, [&](int64_t r) {
      const int64_t span = size * static_cast<int64_t>(order.size()), block = r % span / size;
      return r / span * span + order[static_cast<size_t>(block)] * size + r % size;
    });
  });
}

// The same of the columns of a matrix.
Mutate reorder_columns(std::string part, int64_t size, std::vector<int64_t> order) {
  return each(std::move(part), [=](TinyTensor& t) {
    const std::vector<float> before = t.values;
    const int64_t columns = t.shape[1];
    for (int64_t i = 0; i < t.shape.numel(); ++i) {
      const int64_t block = i % columns / size;
      const int64_t from = i / columns * columns + order[static_cast<size_t>(block)] * size + i % size;
      t.values[static_cast<size_t>(i)] = before[static_cast<size_t>(from)];
    }
  });
}

// Rows in pairs of neighbours, of each head's first `rotary` ones.
Mutate interleave_rotary(std::string part, int64_t head_dim, int64_t rotary) {
  return each(std::move(part), [=](TinyTensor& t) {
    permute_rows(t, [=](int64_t r) {
      const int64_t within = r % head_dim;
      return within < rotary ? r - within + within % 2 * (rotary / 2) + within / 2 : r;
    });
  });
}

void add_starcoder2(std::vector<Mutation>& all) {
  const auto with = [&](const char* what, Mutate apply) {
    all.push_back({"starcoder2", what, std::move(apply)});
  };
  with("no q bias", fill("q_proj.bias", 0));
  with("no k bias", fill("k_proj.bias", 0));
  with("no v bias", fill("v_proj.bias", 0));
  with("no o bias", erase("o_proj.bias"));
  with("no c_fc bias", erase("c_fc.bias"));
  with("no c_proj bias", erase("c_proj.bias"));
  with("no norm bias", erase("layernorm.bias"));
  with("no final norm bias", erase("model.norm.bias"));
  with("norms exchanged", exchange("input_layernorm.weight", "post_attention_layernorm.weight"));
  with("SiLU for GELU", set("hidden_act", "silu"));
  with("epsilon", set("norm_epsilon", 1e-2));
  with("window one more", set("sliding_window", 17));
  with("window one less", set("sliding_window", 15));
  with("no window", set("sliding_window", nullptr));
  with("kv groups by remainder", regroup_heads(64));
  with("rope base", set("rope_theta", 20000.0));
}

void add_phi(std::vector<Mutation>& all) {
  const auto with = [&](const char* what, Mutate apply) {
    all.push_back({"phi", what, std::move(apply)});
  };
  with("no q bias", fill("q_proj.bias", 0));
  with("no k bias", fill("k_proj.bias", 0));
  with("no v bias", fill("v_proj.bias", 0));
  with("no dense bias", erase("dense.bias"));
  with("no fc1 bias", erase("fc1.bias"));
  with("no fc2 bias", erase("fc2.bias"));
  with("no norm bias", erase("input_layernorm.bias"));
  with("no final norm bias", erase("final_layernorm.bias"));
  with("no bias of the output matrix", erase("lm_head.bias"));
  with("half of a head rotated", set("partial_rotary_factor", 0.5));
  with("all of a head rotated", set("partial_rotary_factor", 1.0));
  with("rotated share not found", set("partial_rotary_factor", nullptr));
  with("rope pairs interleaved",
       both(interleave_rotary("q_proj", 80, 32), interleave_rotary("k_proj", 80, 32)));
  with("SiLU for GELU", set("hidden_act", "silu"));
  with("epsilon", set("layer_norm_eps", 1e-2));
}

void add_stablelm(std::vector<Mutation>& all) {
  const auto with = [&](const char* what, Mutate apply) {
    all.push_back({"stablelm", what, std::move(apply)});
  };
  with("no q bias", fill("q_proj.bias", 0));
  with("no k bias", fill("k_proj.bias", 0));
  with("no v bias", fill("v_proj.bias", 0));
  with("no norm bias", erase("layernorm.bias"));
  with("no final norm bias", erase("model.norm.bias"));
  with("norms exchanged", exchange("input_layernorm.weight", "post_attention_layernorm.weight"));
  with("gate and up exchanged", exchange("gate_proj", "up_proj"));
  with("a pair more of a head rotated", set("partial_rotary_factor", 0.275));
  with("all of a head rotated", set("partial_rotary_factor", 1.0));
  with("rope pairs interleaved",
       both(interleave_rotary("q_proj", 80, 20), interleave_rotary("k_proj", 80, 20)));
  with("kv groups by remainder", regroup_heads(80));
  with("MLP beside attention",
       both(set("use_parallel_residual", true), erase("post_attention_layernorm")));
  with("rope base", set("rope_theta", 20000.0));
  with("tanh GELU for SiLU", set("hidden_act", "gelu_pytorch_tanh"));
  with("epsilon", set("layer_norm_eps", 1e-2));
  const auto beside = [&](const char* what, Mutate apply) {
    all.push_back({"stablelm-parallel", what, std::move(apply)});
  };
  beside("no norms of heads",
         both(set("qk_layernorm", false), both(erase("q_layernorm"), erase("k_layernorm"))));
  beside("no weights in q's norms", fill("q_layernorm", 1));
  beside("no weights in k's norms", fill("k_layernorm", 1));
  beside("two heads' norms of q exchanged", exchange("q_layernorm.norms.0", "q_layernorm.norms.1"));
  beside("two heads' norms of k exchanged", exchange("k_layernorm.norms.0", "k_layernorm.norms.1"));
  beside("a pair more of a head rotated", set("partial_rotary_factor", 0.2625));
  beside("kv groups by remainder", regroup_heads(160));
}

void add_cohere(std::vector<Mutation>& all) {
  const auto with = [&](const char* what, Mutate apply) {
    all.push_back({"cohere", what, std::move(apply)});
  };
  with("rope pairs of halves",
       both(interleave_rotary("q_proj", 64, 64), interleave_rotary("k_proj", 64, 64)));
  with("logits not scaled", set("logit_scale", 1.0));
  with("gate and up exchanged", exchange("gate_proj", "up_proj"));
  with("rope base", set("rope_theta", 20000.0));
  with("norm without weight", fill("input_layernorm", 1));
  with("final norm without weight", fill("model.norm", 1));
  with("epsilon", set("layer_norm_eps", 1e-1));
  with("kv groups by remainder", regroup_heads(64));
  const auto with_norms = [&](const char* what, Mutate apply) {
    all.push_back({"cohere-qk-norm", what, std::move(apply)});
  };
  with_norms("no q norm weight", fill("q_norm", 1));
  with_norms("no k norm weight", fill("k_norm", 1));
  with_norms("no norms", both(set("use_qk_norm", false), both(erase("q_norm"), erase("k_norm"))));
  with_norms("all heads with the first one's weights", reorder_blocks("q_norm", 1, {0, 0, 0, 0}));
  with_norms("norm weights of pairs of halves", each("q_norm", [](TinyTensor& t) {
               const std::vector<float> before = t.values;
               for (size_t i = 0; i < before.size(); ++i) {
                 const size_t within = i % 64;
                 t.values[i] = before[i - within + within % 2 * 32 + within / 2];
               }
             }));
}

void add_olmo2(std::vector<Mutation>& all) {
  const auto with = [&](const char* what, Mutate apply) {
    all.push_back({"olmo2", what, std::move(apply)});
  };
  with("no q norm weight", fill("q_norm", 1));
  with("no k norm weight", fill("k_norm", 1));
  with("all heads with the first one's norm weights", reorder_blocks("q_norm", 64, {0, 0, 0, 0}));
  with("norms exchanged", exchange("post_attention_layernorm", "post_feedforward_layernorm"));
  with("final norm without weight", fill("model.norm", 1));
  with("rope pairs interleaved", interleave_rope(64));
  with("epsilon", set("rms_norm_eps", 1e-1));
}

void add_constants(std::vector<Mutation>& all) {
  const auto granite = [&](const char* what, Mutate apply) {
    all.push_back({"granite", what, std::move(apply)});
  };
  granite("embeddings", set("embedding_multiplier", 11.0));
  granite("embeddings not found", without_key("embedding_multiplier"));
  granite("sublayers", set("residual_multiplier", 0.25));
  granite("sublayers not found", without_key("residual_multiplier"));
  granite("scores by head_dim", set("attention_multiplier", 0.125));
  granite("logits", set("logits_scaling", 7.0));
  granite("logits multiplied", set("logits_scaling", 0.125));
  granite("epsilon", set("rms_norm_eps", 1e-2));
  const auto minicpm = [&](const char* what, Mutate apply) {
    all.push_back({"minicpm", what, std::move(apply)});
  };
  minicpm("embeddings", set("scale_emb", 11));
  minicpm("sublayers", set("scale_depth", 0.8));
  minicpm("hidden state not divided", set("dim_model_base", 256));
  minicpm("rope pairs interleaved", interleave_rope(64));
  minicpm("epsilon", set("rms_norm_eps", 1e-1));
}

void add_falcon(std::vector<Mutation>& all) {
  const auto with = [&](const char* golden, const char* what, Mutate apply) {
    all.push_back({golden, what, std::move(apply)});
  };
  for (const char* golden : {"falcon-7b", "falcon-40b", "falcon-rw"}) {
    with(golden, "SiLU for GELU", set("activation", "silu"));
    with(golden, "epsilon", set("layer_norm_epsilon", 1e-2));
    with(golden, "no final norm bias", erase("ln_f.bias"));
  }
  with("falcon-7b", "k and v exchanged",
       reorder_blocks("query_key_value", 64, {0, 1, 2, 3, 5, 4}));
  with("falcon-7b", "k in front", reorder_blocks("query_key_value", 64, {4, 0, 1, 2, 3, 5}));
  with("falcon-7b", "rope pairs interleaved", interleave_rotary("query_key_value", 64, 64));
  with("falcon-7b", "no norm bias", erase("input_layernorm.bias"));
  with("falcon-7b", "rope base", set("rope_theta", 20000.0));
  with("falcon-40b", "q, k and v one after another",
       reorder_blocks("query_key_value", 64, {0, 1, 4, 5, 2, 6, 3, 7}));
  with("falcon-40b", "k and v exchanged", reorder_blocks("query_key_value", 64, {0, 1, 3, 2}));
  with("falcon-40b", "norms exchanged", exchange("ln_attn", "ln_mlp"));
  with("falcon-rw", "rotation for ALiBi", set("alibi", false));
  with("falcon-rw", "slopes of other heads",
       both(reorder_blocks("query_key_value", 192, {3, 2, 1, 0}),
            reorder_columns("dense.weight", 64, {3, 2, 1, 0})));
  with("falcon-rw", "q, k and v one after another",
       reorder_blocks("query_key_value", 64, {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  with("falcon-rw", "MLP beside attention",
       both(set("parallel_attn", true), erase("post_attention_layernorm")));
  with("falcon-rw", "no q, k, v bias", erase("query_key_value.bias"));
  with("falcon-rw", "no dense bias", erase("dense.bias"));
  with("falcon-rw", "no MLP bias", both(erase("dense_h_to_4h.bias"), erase("dense_4h_to_h.bias")));
}

void add_baichuan(std::vector<Mutation>& all) {
  const auto with = [&](const char* golden, const char* what, Mutate apply) {
    all.push_back({golden, what, std::move(apply)});
  };
  const Mutate alibi =
      both(without_key("max_position_embeddings"), set("model_max_length", 512));
  const Mutate rotation = set("max_position_embeddings", 512);
  const Mutate unit_rows = set("z_loss_weight", 0), plain_rows = without_key("z_loss_weight");
  for (const char* golden : {"baichuan-7b", "baichuan2-7b"}) {
    with(golden, "k and v exchanged", reorder_blocks("W_pack", 256, {0, 2, 1}));
    with(golden, "q, k and v by head",
         reorder_blocks("W_pack", 64, {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11}));
    with(golden, "ALiBi for rotation", alibi);
  }
  for (const char* golden : {"baichuan-13b", "baichuan2-13b"}) {
    with(golden, "k and v exchanged", reorder_blocks("W_pack", 384, {0, 2, 1}));
    with(golden, "rotation for ALiBi", rotation);
    with(golden, "slopes of other heads", both(reorder_blocks("W_pack", 64, {5, 4, 3, 2, 1, 0}),
                                               reorder_columns("o_proj", 64, {5, 4, 3, 2, 1, 0})));
  }
  with("baichuan-7b", "unit rows", unit_rows);
  with("baichuan-13b", "unit rows", unit_rows);
  with("baichuan2-7b", "rows as they are", plain_rows);
  with("baichuan2-13b", "rows as they are", plain_rows);
}

}  // namespace

std::vector<Mutation> dense_mutations() {
  std::vector<Mutation> all;
  add_starcoder2(all);
  add_phi(all);
  add_stablelm(all);
  add_cohere(all);
  add_olmo2(all);
  add_constants(all);
  add_falcon(all);
  add_baichuan(all);
  return all;
}

}  // namespace lmdeploy
