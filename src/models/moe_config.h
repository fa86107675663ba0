// What the configurations of mixtures of experts have in common.
#pragma once

#include "models/decoder_config.h"
#include "models/pre_norm_block.h"
#include "nn/moe.h"

namespace lmdeploy {

// A layer of a model of which some layers have experts.
using SparseBlock = PreNormLayer<RmsNorm, SparseMlp>;

// Where a model class keeps its numbers of experts; values for keys that are left out.
struct MoeKeys {
  const char* experts = "num_experts";
  int64_t default_experts = 0;  // 0: the key is required
  const char* size = "moe_intermediate_size";
  int64_t default_size = 0;
  int64_t default_top_k = 0;
};

// Sizes and num_experts_per_tok; the rule of the router is softmax without more. Problems go to
// `reader`.
MoeConfig read_moe_config(ConfigReader& reader, const DecoderConfig& decoder, const MoeKeys& keys);

// A size that a configuration may leave out; one that is no size is a problem.
int64_t read_size(ConfigReader& reader, const char* key, int64_t otherwise);

// The experts of DeepSeek-MoE, V2 and V3 (models.md 1.7): scoring_func, topk_method, n_group,
// topk_group, norm_topk_prob, routed_scaling_factor and n_shared_experts.
MoeConfig read_deepseek_moe_config(ConfigReader& reader, const DecoderConfig& decoder);
// Whether each layer has experts, by first_k_dense_replace and moe_layer_freq.
std::vector<bool> deepseek_sparse_layers(ConfigReader& reader, int layers);

// Whether each layer has experts in Qwen 2 and 3, by decoder_sparse_step and mlp_only_layers.
std::vector<bool> qwen_sparse_layers(ConfigReader& reader, int layers);

// kUnsupported when the elements of an expert do not divide over the ranks.
Status check_split(const MoeConfig& config, const Parallel& parallel);

}  // namespace lmdeploy
