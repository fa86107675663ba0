// Configurations as they are published, weights left out: each is understood, and the model that is
// built of it declares tensors of the published names and shapes.
#include <gtest/gtest.h>

#include "base/json.h"
#include "checkpoint/hf_config.h"
#include "models/registry.h"

namespace lmdeploy {
namespace {

struct Tensor2d {
  const char* name;
  Shape shape;
};

struct Published {
  const char* name;
  const char* config;  // what matters of config.json
  int64_t max_position;
  bool rope_by_length;
  std::vector<Tensor2d> tensors;
};

const std::vector<Published>& published() {
  static const std::vector<Published> kPublished = {
      {"llama-7b",
       R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,
           "intermediate_size":11008,"num_attention_heads":32,"num_hidden_layers":32,
           "max_position_embeddings":2048,"rms_norm_eps":1e-06,"hidden_act":"silu",
           "vocab_size":32000,"tie_word_embeddings":false})",
       2048, false, {{"model.layers.31.self_attn.k_proj.weight", {4096, 4096}}}},
      {"llama-2-70b",
       R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":8192,
           "intermediate_size":28672,"num_attention_heads":64,"num_key_value_heads":8,
           "num_hidden_layers":80,"max_position_embeddings":4096,"rms_norm_eps":1e-05,
           "rope_scaling":null,"pretraining_tp":1,"vocab_size":32000})",
       4096, false, {{"model.layers.79.self_attn.v_proj.weight", {1024, 8192}}}},
      {"llama-3.1-8b",
       R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","attention_bias":false,
           "hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,
           "num_key_value_heads":8,"num_hidden_layers":32,"max_position_embeddings":131072,
           "rms_norm_eps":1e-05,"rope_theta":500000.0,"mlp_bias":false,"vocab_size":128256,
           "rope_scaling":{"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
                           "original_max_position_embeddings":8192,"rope_type":"llama3"}})",
       131072, false, {{"lm_head.weight", {128256, 4096}}}},
      {"codellama-34b",
       R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":8192,
           "intermediate_size":22016,"num_attention_heads":64,"num_key_value_heads":8,
           "num_hidden_layers":48,"max_position_embeddings":16384,"rms_norm_eps":1e-05,
           "rope_theta":1000000,"vocab_size":32000,"eos_token_id":2})",
       16384, false, {{"model.layers.0.mlp.gate_proj.weight", {22016, 8192}}}},
      {"vicuna-7b-16k",
       R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,
           "intermediate_size":11008,"num_attention_heads":32,"num_key_value_heads":32,
           "num_hidden_layers":32,"max_position_embeddings":4096,"max_sequence_length":16384,
           "rms_norm_eps":1e-05,"rope_scaling":{"factor":4.0,"type":"linear"},"vocab_size":32000})",
       16384, false, {{"model.layers.0.self_attn.q_proj.weight", {4096, 4096}}}},
      {"yi-34b",
       R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":7168,
           "intermediate_size":20480,"num_attention_heads":56,"num_key_value_heads":8,
           "num_hidden_layers":60,"max_position_embeddings":4096,"rms_norm_eps":1e-05,
           "rope_theta":5000000.0,"vocab_size":64000})",
       4096, false, {{"model.layers.0.self_attn.k_proj.weight", {1024, 7168}}}},
      {"yi-6b, first upload",
       R"({"architectures":["YiForCausalLM"],"model_type":"Yi","hidden_size":4096,
           "intermediate_size":11008,"num_attention_heads":32,"num_key_value_heads":4,
           "num_hidden_layers":32,"max_position_embeddings":4096,"rms_norm_eps":1e-05,
           "rope_theta":5000000.0,"vocab_size":64000})",
       4096, false, {{"model.layers.0.ln1.weight", {4096}}}},
      {"qwen1.5-0.5b",
       R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_size":1024,
           "intermediate_size":2816,"num_attention_heads":16,"num_key_value_heads":16,
           "num_hidden_layers":24,"max_position_embeddings":32768,"max_window_layers":21,
           "rms_norm_eps":1e-06,"rope_theta":1000000.0,"sliding_window":32768,
           "use_sliding_window":false,"tie_word_embeddings":true,"vocab_size":151936})",
       32768, false, {{"model.layers.23.self_attn.q_proj.bias", {1024}}}},
      {"qwen2.5-7b-instruct with YaRN of its card",
       R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_size":3584,
           "intermediate_size":18944,"num_attention_heads":28,"num_key_value_heads":4,
           "num_hidden_layers":28,"max_position_embeddings":32768,"max_window_layers":28,
           "rms_norm_eps":1e-06,"rope_theta":1000000.0,"sliding_window":131072,
           "use_sliding_window":false,"tie_word_embeddings":false,"vocab_size":152064,
           "rope_scaling":{"factor":4.0,"original_max_position_embeddings":32768,"type":"yarn"}})",
       131072, false, {{"model.layers.0.self_attn.k_proj.weight", {512, 3584}}}},
      {"internlm-chat-7b",
       R"({"architectures":["InternLMForCausalLM"],"model_type":"internlm","bias":true,
           "hidden_size":4096,"intermediate_size":11008,"num_attention_heads":32,
           "num_hidden_layers":32,"max_position_embeddings":2048,"rms_norm_eps":1e-06,
           "tie_word_embeddings":false,"vocab_size":103168,
           "auto_map":{"AutoModelForCausalLM":"modeling_internlm.InternLMForCausalLM"}})",
       2048, false, {{"model.layers.0.self_attn.o_proj.bias", {4096}}}},
      {"internlm2_5-7b-chat",
       R"({"architectures":["InternLM2ForCausalLM"],"model_type":"internlm2","bias":false,
           "hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,
           "num_key_value_heads":8,"num_hidden_layers":32,"max_position_embeddings":32768,
           "rms_norm_eps":1e-05,"rope_scaling":{"type":"dynamic","factor":2.0},
           "rope_theta":1000000,"vocab_size":92544})",
       65536, true, {{"model.layers.0.attention.wqkv.weight", {6144, 4096}},
                     {"output.weight", {92544, 4096}}}},
      {"internlm3-8b-instruct",
       R"({"architectures":["InternLM3ForCausalLM"],"model_type":"internlm3","bias":false,
           "qkv_bias":false,"head_dim":128,"hidden_size":4096,"intermediate_size":10240,
           "num_attention_heads":32,"num_key_value_heads":2,"num_hidden_layers":48,
           "max_position_embeddings":32768,"rms_norm_eps":1e-05,
           "rope_scaling":{"factor":6.0,"rope_type":"dynamic"},"rope_theta":50000000,
           "vocab_size":128512})",
       196608, true, {{"model.layers.47.self_attn.k_proj.weight", {256, 4096}}}},
      {"qwen-7b-chat",
       R"({"architectures":["QWenLMHeadModel"],"model_type":"qwen","hidden_size":4096,
           "intermediate_size":22016,"kv_channels":128,"layer_norm_epsilon":1e-06,
           "max_position_embeddings":32768,"no_bias":true,"num_attention_heads":32,
           "num_hidden_layers":32,"rotary_emb_base":10000,"rotary_pct":1.0,"seq_length":8192,
           "tie_word_embeddings":false,"use_dynamic_ntk":true,"use_logn_attn":true,
           "vocab_size":151936})",
       32768, true, {{"transformer.h.31.attn.c_attn.weight", {12288, 4096}},
                     {"transformer.h.0.mlp.w1.weight", {11008, 4096}}}},
      {"chatglm3-6b",
       R"({"architectures":["ChatGLMModel"],"model_type":"chatglm","add_bias_linear":false,
           "add_qkv_bias":true,"apply_residual_connection_post_layernorm":false,
           "ffn_hidden_size":13696,"hidden_size":4096,"kv_channels":128,"layernorm_epsilon":1e-05,
           "multi_query_attention":true,"multi_query_group_num":2,"num_attention_heads":32,
           "num_layers":28,"original_rope":true,"padded_vocab_size":65024,"post_layer_norm":true,
           "rmsnorm":true,"seq_length":8192,"tie_word_embeddings":false})",
       8192, false,
       {{"transformer.encoder.layers.27.self_attention.query_key_value.weight", {4608, 4096}},
        {"transformer.encoder.layers.0.mlp.dense_h_to_4h.weight", {27392, 4096}}}},
      {"glm-4-9b-chat",
       R"({"architectures":["ChatGLMModel"],"model_type":"chatglm","add_bias_linear":false,
           "add_qkv_bias":true,"ffn_hidden_size":13696,"hidden_size":4096,"kv_channels":128,
           "layernorm_epsilon":1.5625e-07,"multi_query_attention":true,"multi_query_group_num":2,
           "num_attention_heads":32,"num_hidden_layers":40,"num_layers":40,"original_rope":true,
           "padded_vocab_size":151552,"post_layer_norm":true,"rmsnorm":true,"rope_ratio":500,
           "seq_length":131072,"vocab_size":151552})",
       131072, false, {{"transformer.output_layer.weight", {151552, 4096}}}},
      {"gemma-2b",
       R"({"architectures":["GemmaForCausalLM"],"model_type":"gemma","head_dim":256,
           "hidden_act":"gelu","hidden_size":2048,"intermediate_size":16384,
           "max_position_embeddings":8192,"num_attention_heads":8,"num_hidden_layers":18,
           "num_key_value_heads":1,"rms_norm_eps":1e-06,"rope_theta":10000.0,
           "vocab_size":256000})",
       8192, false, {{"model.layers.17.self_attn.k_proj.weight", {256, 2048}}}},
      {"gemma-2-27b",
       R"({"architectures":["Gemma2ForCausalLM"],"model_type":"gemma2","attn_logit_softcapping":50.0,
           "final_logit_softcapping":30.0,"head_dim":128,"hidden_act":"gelu_pytorch_tanh",
           "hidden_activation":"gelu_pytorch_tanh","hidden_size":4608,"intermediate_size":36864,
           "max_position_embeddings":8192,"num_attention_heads":32,"num_hidden_layers":46,
           "num_key_value_heads":16,"query_pre_attn_scalar":144,"rms_norm_eps":1e-06,
           "rope_theta":10000.0,"sliding_window":4096,"vocab_size":256000})",
       8192, false, {{"model.layers.45.post_feedforward_layernorm.weight", {4608}}}},
      {"phi-3-mini-4k",
       R"({"architectures":["Phi3ForCausalLM"],"model_type":"phi3","hidden_size":3072,
           "intermediate_size":8192,"max_position_embeddings":4096,"num_attention_heads":32,
           "num_hidden_layers":32,"num_key_value_heads":32,
           "original_max_position_embeddings":4096,"rms_norm_eps":1e-05,"rope_scaling":null,
           "rope_theta":10000.0,"sliding_window":2047,"vocab_size":32064})",
       4096, false, {{"model.layers.0.self_attn.qkv_proj.weight", {9216, 3072}},
                     {"model.layers.0.mlp.gate_up_proj.weight", {16384, 3072}}}},
      {"stablelm-3b-4e1t, first upload",
       R"({"architectures":["StableLMEpochForCausalLM"],"model_type":"stablelm_epoch",
           "hidden_act":"silu","hidden_size":2560,"intermediate_size":6912,
           "max_position_embeddings":4096,"norm_eps":1e-05,"num_attention_heads":32,"num_heads":32,
           "num_hidden_layers":32,"num_key_value_heads":32,"rope_pct":0.25,"rope_theta":10000,
           "rotary_scaling_factor":1.0,"tie_word_embeddings":false,"vocab_size":50304})",
       4096, false, {{"model.layers.31.self_attn.k_proj.weight", {2560, 2560}}}},
      {"stablelm-2-12b",
       R"({"architectures":["StableLmForCausalLM"],"model_type":"stablelm","hidden_act":"silu",
           "hidden_size":5120,"intermediate_size":13824,"layer_norm_eps":1e-05,
           "max_position_embeddings":4096,"num_attention_heads":32,"num_hidden_layers":40,
           "num_key_value_heads":8,"partial_rotary_factor":0.25,"qk_layernorm":true,
           "rope_theta":10000,"use_parallel_residual":true,"use_qkv_bias":false,
           "vocab_size":100352})",
       4096, false, {{"model.layers.39.self_attn.v_proj.weight", {1280, 5120}},
                     {"model.layers.39.self_attn.q_layernorm.norms.31.weight", {160}}}},
      {"command-r-v01",
       R"({"architectures":["CohereForCausalLM"],"model_type":"cohere","hidden_act":"silu",
           "hidden_size":8192,"intermediate_size":22528,"layer_norm_eps":1e-05,"logit_scale":0.0625,
           "max_position_embeddings":8192,"model_max_length":131072,"num_attention_heads":64,
           "num_hidden_layers":40,"num_key_value_heads":64,"rope_theta":8000000.0,
           "use_qk_norm":false,"vocab_size":256000})",
       131072, false, {{"model.layers.39.self_attn.q_proj.weight", {8192, 8192}}}},
      {"mixtral-8x7b",
       R"({"architectures":["MixtralForCausalLM"],"model_type":"mixtral","hidden_act":"silu",
           "hidden_size":4096,"intermediate_size":14336,"max_position_embeddings":32768,
           "num_attention_heads":32,"num_experts_per_tok":2,"num_hidden_layers":32,
           "num_key_value_heads":8,"num_local_experts":8,"rms_norm_eps":1e-05,
           "rope_theta":1000000.0,"sliding_window":null,"vocab_size":32000})",
       32768, false, {{"model.layers.0.block_sparse_moe.experts.7.w2.weight", {4096, 14336}}}},
      {"deepseek-v2-lite",
       R"({"architectures":["DeepseekV2ForCausalLM"],"model_type":"deepseek_v2",
           "attention_bias":false,"first_k_dense_replace":1,"hidden_size":2048,
           "intermediate_size":10944,"kv_lora_rank":512,"max_position_embeddings":163840,
           "moe_intermediate_size":1408,"moe_layer_freq":1,"n_group":1,"n_routed_experts":64,
           "n_shared_experts":2,"norm_topk_prob":false,"num_attention_heads":16,
           "num_experts_per_tok":6,"num_hidden_layers":27,"num_key_value_heads":16,
           "q_lora_rank":null,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"rms_norm_eps":1e-06,
           "rope_scaling":{"beta_fast":32,"beta_slow":1,"factor":40,"mscale":0.707,
                           "mscale_all_dim":0.707,"original_max_position_embeddings":4096,
                           "type":"yarn"},
           "rope_theta":10000,"routed_scaling_factor":1.0,"scoring_func":"softmax",
           "topk_group":1,"topk_method":"greedy","v_head_dim":128,"vocab_size":102400})",
       163840, false,
       {{"model.layers.26.self_attn.q_proj.weight", {3072, 2048}},
        {"model.layers.0.mlp.gate_proj.weight", {10944, 2048}},
        {"model.layers.1.mlp.shared_experts.up_proj.weight", {2816, 2048}},
        {"model.layers.1.self_attn.kv_b_proj.weight", {4096, 512}}}},
      {"deepseek-v3",
       R"({"architectures":["DeepseekV3ForCausalLM"],"model_type":"deepseek_v3",
           "attention_bias":false,"first_k_dense_replace":3,"hidden_size":7168,
           "intermediate_size":18432,"kv_lora_rank":512,"max_position_embeddings":163840,
           "moe_intermediate_size":2048,"moe_layer_freq":1,"n_group":8,"n_routed_experts":256,
           "n_shared_experts":1,"norm_topk_prob":true,"num_attention_heads":128,
           "num_experts_per_tok":8,"num_hidden_layers":61,"num_key_value_heads":128,
           "num_nextn_predict_layers":1,"q_lora_rank":1536,"qk_nope_head_dim":128,
           "qk_rope_head_dim":64,"rms_norm_eps":1e-06,
           "rope_scaling":{"beta_fast":32,"beta_slow":1,"factor":40,"mscale":1.0,
                           "mscale_all_dim":1.0,"original_max_position_embeddings":4096,
                           "type":"yarn"},
           "rope_theta":10000,"routed_scaling_factor":2.5,"scoring_func":"sigmoid",
           "topk_group":4,"topk_method":"noaux_tc","v_head_dim":128,"vocab_size":129280})",
       163840, false,
       {{"model.layers.60.self_attn.q_b_proj.weight", {24576, 1536}},
        {"model.layers.3.mlp.gate.e_score_correction_bias", {256}},
        {"model.layers.2.mlp.down_proj.weight", {7168, 18432}},
        {"model.layers.60.self_attn.kv_a_proj_with_mqa.weight", {576, 7168}}}},
  };
  return kPublished;
}

class PublishedConfig : public testing::TestWithParam<size_t> {};

TEST_P(PublishedConfig, IsUnderstood) {
  const Published& expected = published()[GetParam()];
  SCOPED_TRACE(expected.name);
  bool multimodal = false;
  ProblemList problems;
  const json::object config = classic_config(
      parse_json(expected.config, expected.name).value().as_object(), multimodal, problems);
  ASSERT_TRUE(problems.empty());
  const auto entry = find_model(std::string(config.at("architectures").as_array()[0].as_string()));
  ASSERT_TRUE(entry.ok()) << entry.status().message();
  ConfigReader reader(config);
  LoadPlan plan;
  const auto model = (*entry)->make(reader, Weights(plan), BuildOptions{});
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->info().max_position, expected.max_position);
  EXPECT_EQ((*model)->info().rope_by_length, expected.rope_by_length);
  for (const Tensor2d& tensor : expected.tensors) {
    bool found = false;
    for (const Load& load : plan.loads()) {
      for (const LoadSource& source : load.sources) {
        if (source.tensor != tensor.name) continue;
        found = true;
        EXPECT_EQ(source.shape, tensor.shape) << tensor.name;
      }
    }
    EXPECT_TRUE(found) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, PublishedConfig, testing::Range(size_t{0}, published().size()));

}  // namespace
}  // namespace lmdeploy
