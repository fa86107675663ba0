// The same tiny model from safetensors and from GGUF, whose converter reorders the rows of Llama's
// q and k and adds one to Gemma's norms: the logits must be equal bit for bit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/checkpoint/file_builders.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

constexpr uint32_t kGgmlF32 = 0;
constexpr int64_t kLlamaHeadDim = 64;

using NamePairs = std::vector<std::pair<std::string, std::string>>;

const NamePairs& llama_names() {
  static const NamePairs kNames = {{"model.embed_tokens.", "token_embd."},
                                   {"model.norm.", "output_norm."},
                                   {"lm_head.", "output."},
                                   {"model.layers.", "blk."},
                                   {".self_attn.q_proj.", ".attn_q."},
                                   {".self_attn.k_proj.", ".attn_k."},
                                   {".self_attn.v_proj.", ".attn_v."},
                                   {".self_attn.o_proj.", ".attn_output."},
                                   {".mlp.gate_proj.", ".ffn_gate."},
                                   {".mlp.up_proj.", ".ffn_up."},
                                   {".mlp.down_proj.", ".ffn_down."},
                                   {".input_layernorm.", ".attn_norm."},
                                   {".post_attention_layernorm.", ".ffn_norm."}};
  return kNames;
}

const NamePairs& gemma_names() {
  static const NamePairs kNames = [] {
    NamePairs names = {{".post_attention_layernorm.", ".post_attention_norm."},
                       {".pre_feedforward_layernorm.", ".ffn_norm."},
                       {".post_feedforward_layernorm.", ".post_ffw_norm."},
                       {".self_attn.q_norm.", ".attn_q_norm."},
                       {".self_attn.k_norm.", ".attn_k_norm."}};
    names.insert(names.end(), llama_names().begin(), llama_names().end());
    return names;
  }();
  return kNames;
}

std::string gguf_name(std::string name, const NamePairs& pairs) {
  for (const auto& [hf, gguf] : pairs) {
    if (const size_t at = name.find(hf); at != std::string::npos) name.replace(at, hf.size(), gguf);
  }
  return name;
}

void add_tensors(GgufBuilder& file, const TinyWeights& weights, const NamePairs& names) {
  for (const auto& [name, tensor] : weights) {
    std::vector<uint64_t> extents;
    for (int axis = tensor.shape.rank(); axis-- > 0;) {
      extents.push_back(static_cast<uint64_t>(tensor.shape[axis]));
    }
    const std::string_view bytes(reinterpret_cast<const char*>(tensor.values.data()),
                                 tensor.values.size() * sizeof(float));
    file.tensor(gguf_name(name, names), extents, kGgmlF32, bytes);
  }
}

GgufBuilder metadata(const Golden& golden, const std::string& architecture) {
  const auto size = [&](const char* key) { return golden.config.at(key).to_number<uint32_t>(); };
  const auto real = [&](const char* key) { return golden.config.at(key).to_number<float>(); };
  const auto key = [&](const char* name) { return architecture + "." + name; };
  GgufBuilder file;
  file.text("general.architecture", architecture);
  file.u32(key("block_count"), size("num_hidden_layers"));
  file.u32(key("context_length"), size("max_position_embeddings"));
  file.u32(key("embedding_length"), size("hidden_size"));
  file.u32(key("feed_forward_length"), size("intermediate_size"));
  file.u32(key("attention.head_count"), size("num_attention_heads"));
  file.u32(key("attention.head_count_kv"), size("num_key_value_heads"));
  if (golden.config.contains("norm_epsilon")) {
    file.f32(key("attention.layer_norm_epsilon"), real("norm_epsilon"));
  } else {
    file.f32(key("attention.layer_norm_rms_epsilon"), real("rms_norm_eps"));
  }
  file.f32(key("rope.freq_base"), real("rope_theta"));
  if (golden.config.contains("head_dim")) {
    file.u32(key("attention.key_length"), size("head_dim"));
    file.u32(key("attention.value_length"), size("head_dim"));
    file.u32(key("rope.dimension_count"), size("head_dim"));
  }
  std::vector<std::string> tokens;
  for (uint32_t id = 0; id < size("vocab_size"); ++id) tokens.push_back("t" + std::to_string(id));
  file.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "llama-bpe");
  file.texts("tokenizer.ggml.tokens", tokens).texts("tokenizer.ggml.merges", {"t 1"});
  file.array<int32_t>("tokenizer.ggml.token_type", 5, std::vector<int32_t>(tokens.size(), 1));
  return file;
}

double error_of_gguf(const Golden& golden, const GgufBuilder& file, Stream& stream) {
  TemporaryDirectory directory;
  const auto checkpoint = Checkpoint::open(directory.write("model.gguf", file.build()));
  CHECK(checkpoint.ok(), "{}", checkpoint.status().message());
  size_t planned = 0;
  const auto consent = [&](const ModelInfo& needs) {
    planned = needs.weight_bytes;
    return Status();
  };
  const auto model = load_model(**checkpoint, {.dtype = "auto"}, stream, {}, consent);
  CHECK(model.ok(), "{}", model.status().message());
  EXPECT_EQ((*model)->info().weight_bytes, planned);
  return golden_error(golden, **model, stream, DType::kF32).max;
}

double error_of_safetensors(const Golden& golden, Stream& stream) {
  const auto model = load_tiny(golden.config, golden.weights, "auto", stream);
  CHECK(model.ok(), "{}", model.status().message());
  return golden_error(golden, **model, stream, DType::kF32).max;
}

// HF row (half, i) of a head of 2 * halves rows goes to row 2 i + half.
void interleave(TinyTensor& tensor, int64_t head_dim) {
  const int64_t columns = tensor.shape.rank() == 2 ? tensor.shape[1] : 1;
  const std::vector<float> before = tensor.values;
  for (int64_t r = 0; r < tensor.shape[0]; ++r) {
    const int64_t within = r % head_dim;
    const int64_t to = r - within + 2 * (within % (head_dim / 2)) + within / (head_dim / 2);
    std::copy_n(before.begin() + r * columns, columns, tensor.values.begin() + to * columns);
  }
}

// As the converter of architecture llama does.
void interleave_qk(TinyWeights& weights) {
  for (auto& [name, tensor] : weights) {
    if (name.find("q_proj") != std::string::npos || name.find("k_proj") != std::string::npos) {
      interleave(tensor, kLlamaHeadDim);
    }
  }
}

TEST(GgufRoundTrip, LlamaRowsAndBiasesArePutBack) {
  const std::unique_ptr<Stream> stream = test_stream();
  for (const char* name : {"llama", "llama-bias"}) {
    const Golden golden = read_golden(name);
    TinyWeights converted = golden.weights;
    interleave_qk(converted);
    GgufBuilder file = metadata(golden, "llama");
    add_tensors(file, converted, llama_names());
    EXPECT_EQ(error_of_gguf(golden, file, *stream), error_of_safetensors(golden, *stream)) << name;
  }
}

TEST(GgufRoundTrip, RopeFrequencyDivisorsAreLlama3Scaling) {
  const std::unique_ptr<Stream> stream = test_stream();
  const Golden golden = read_golden("llama-llama3");
  TinyWeights converted = golden.weights;
  interleave_qk(converted);
  // factor 8, low 1, high 4, original length 64 (the golden's config).
  TinyTensor& divisors = converted["rope_freqs.weight"];
  divisors.shape = Shape{32};
  for (int i = 0; i < 32; ++i) {
    const double frequency = std::pow(5000.0, -i / 32.0);
    const double turns = 64.0 * frequency / 6.283185307179586;
    const double smooth = (turns - 1.0) / 3.0;
    const double divisor = turns < 1.0   ? 8.0
                           : turns > 4.0 ? 1.0
                                         : 1.0 / ((1.0 - smooth) / 8.0 + smooth);
    divisors.values.push_back(static_cast<float>(divisor));
  }
  GgufBuilder file = metadata(golden, "llama");
  add_tensors(file, converted, llama_names());
  EXPECT_LE(error_of_gguf(golden, file, *stream), 1e-3);
}

TEST(GgufRoundTrip, GemmaNormsHoldOneMore) {
  const std::unique_ptr<Stream> stream = test_stream();
  Golden golden = read_golden("gemma3");
  // GGUF has no query_pre_attn_scalar: it is the head dimension in all but one size of the model.
  constexpr float kScalar = 200.0f, kHeadDim = 256.0f;
  TinyWeights converted = golden.weights;
  for (auto& [name, tensor] : converted) {
    if (!name.ends_with("norm.weight")) continue;
    for (float& value : tensor.values) value += 1.0f;
    if (!name.ends_with("q_norm.weight")) continue;
    for (float& value : tensor.values) value *= std::sqrt(kHeadDim / kScalar);
  }
  GgufBuilder file = metadata(golden, "gemma3");
  file.u32("gemma3.attention.sliding_window", 16).u32("gemma3.attention.sliding_window_pattern", 3);
  file.f32("gemma3.rope.freq_base_swa", 100.0f);
  add_tensors(file, converted, gemma_names());
  EXPECT_LE(error_of_gguf(golden, file, *stream), 1e-3);
}

// Norms hold one more, as the converters of all Gemmas write them.
void add_one_to_norms(TinyWeights& weights) {
  for (auto& [name, tensor] : weights) {
    if (!name.ends_with("norm.weight")) continue;
    for (float& value : tensor.values) value += 1.0f;
  }
}

TEST(GgufRoundTrip, Gemma) {
  const std::unique_ptr<Stream> stream = test_stream();
  const Golden golden = read_golden("gemma");
  TinyWeights converted = golden.weights;
  add_one_to_norms(converted);
  GgufBuilder file = metadata(golden, "gemma");
  add_tensors(file, converted, llama_names());
  EXPECT_LE(error_of_gguf(golden, file, *stream), 1e-3);
}

TEST(GgufRoundTrip, Gemma2) {
  const std::unique_ptr<Stream> stream = test_stream();
  const Golden golden = read_golden("gemma2");
  // GGUF has no query_pre_attn_scalar: it is the head dimension in all but one size of the model.
  constexpr float kScalar = 144.0f, kHeadDim = 256.0f;
  TinyWeights converted = golden.weights;
  add_one_to_norms(converted);
  for (auto& [name, tensor] : converted) {
    if (name.find("q_proj") == std::string::npos) continue;
    for (float& value : tensor.values) value *= std::sqrt(kHeadDim / kScalar);
  }
  GgufBuilder file = metadata(golden, "gemma2");
  file.u32("gemma2.attention.sliding_window", 16);
  file.f32("gemma2.attn_logit_softcapping", 5.0f).f32("gemma2.final_logit_softcapping", 6.0f);
  add_tensors(file, converted, gemma_names());
  EXPECT_LE(error_of_gguf(golden, file, *stream), 1e-3);
}

TEST(GgufRoundTrip, Phi3) {
  const std::unique_ptr<Stream> stream = test_stream();
  NamePairs names = {{".self_attn.qkv_proj.", ".attn_qkv."}, {".mlp.gate_up_proj.", ".ffn_up."}};
  names.insert(names.end(), llama_names().begin(), llama_names().end());
  const Golden plain = read_golden("phi3");
  GgufBuilder file = metadata(plain, "phi3");
  file.u32("phi3.attention.sliding_window", 16).u32("phi3.rope.dimension_count", 96);
  add_tensors(file, plain.weights, names);
  EXPECT_EQ(error_of_gguf(plain, file, *stream), error_of_safetensors(plain, *stream));

  const Golden longrope = read_golden("phi3-longrope");
  TinyWeights converted = longrope.weights;
  for (const char* kind : {"short", "long"}) {
    TinyTensor& factors = converted[fmt::format("rope_factors_{}.weight", kind)];
    const json::object& scaling = longrope.config.at("rope_scaling").as_object();
    for (const json::value& factor : scaling.at(std::string(kind) + "_factor").as_array()) {
      factors.values.push_back(factor.to_number<float>());
    }
    factors.shape = Shape{static_cast<int64_t>(factors.values.size())};
  }
  GgufBuilder long_file = metadata(longrope, "phi3");
  long_file.u32("phi3.rope.scaling.original_context_length", 64);
  add_tensors(long_file, converted, names);
  EXPECT_LE(error_of_gguf(longrope, long_file, *stream), 1e-3);
}

TEST(GgufRoundTrip, MistralIsALlamaWithAWindow) {
  const std::unique_ptr<Stream> stream = test_stream();
  const Golden golden = read_golden("mistral-window");
  TinyWeights converted = golden.weights;
  interleave_qk(converted);
  GgufBuilder file = metadata(golden, "llama");
  file.u32("llama.attention.sliding_window", 16);
  add_tensors(file, converted, llama_names());
  EXPECT_EQ(error_of_gguf(golden, file, *stream), error_of_safetensors(golden, *stream));
}

TEST(GgufRoundTrip, QwensAreStoredAsTheyAre) {
  const std::unique_ptr<Stream> stream = test_stream();
  NamePairs names = {{".self_attn.q_norm.", ".attn_q_norm."},
                     {".self_attn.k_norm.", ".attn_k_norm."}};
  names.insert(names.end(), llama_names().begin(), llama_names().end());
  for (const char* name : {"qwen2", "qwen3"}) {
    const Golden golden = read_golden(name);
    GgufBuilder file = metadata(golden, name);
    add_tensors(file, golden.weights, names);
    EXPECT_EQ(error_of_gguf(golden, file, *stream), error_of_safetensors(golden, *stream)) << name;
  }
}

TEST(GgufRoundTrip, Starcoder2) {
  const std::unique_ptr<Stream> stream = test_stream();
  NamePairs names = {{".mlp.c_fc.", ".ffn_up."}, {".mlp.c_proj.", ".ffn_down."}};
  names.insert(names.end(), llama_names().begin(), llama_names().end());
  const Golden golden = read_golden("starcoder2");
  GgufBuilder file = metadata(golden, "starcoder2");
  file.u32("starcoder2.attention.sliding_window", 16);
  add_tensors(file, golden.weights, names);
  EXPECT_EQ(error_of_gguf(golden, file, *stream), error_of_safetensors(golden, *stream));
}

// Tensors NAME.E.wI.weight of all experts E become one NAME.wI.weight [experts, rows, columns].
void stack_experts(TinyWeights& weights, int64_t experts) {
  constexpr std::string_view kFirst = ".experts.0.";
  TinyWeights stacked;
  for (const auto& [name, tensor] : weights) {
    const size_t at = name.find(kFirst);
    if (at == std::string::npos) continue;
    TinyTensor all{Shape{experts, tensor.shape[0], tensor.shape[1]}, {}};
    for (int64_t expert = 0; expert < experts; ++expert) {
      std::string own = name;
      own.replace(at, kFirst.size(), fmt::format(".experts.{}.", expert));
      const std::vector<float>& values = weights.at(own).values;
      all.values.insert(all.values.end(), values.begin(), values.end());
    }
    std::string joined = name;
    stacked[joined.replace(at, kFirst.size(), ".experts.")] = std::move(all);
  }
  std::erase_if(weights, [](const auto& entry) {
    return entry.first.find(".experts.") != std::string::npos;
  });
  weights.merge(stacked);
}

// Today's files have a tensor for all experts, those of 2023 one for each.
TEST(GgufRoundTrip, Mixtral) {
  const std::unique_ptr<Stream> stream = test_stream();
  const Golden golden = read_golden("mixtral");
  const auto error_of = [&](const TinyWeights& weights, NamePairs names) {
    names.emplace_back(".block_sparse_moe.gate.", ".ffn_gate_inp.");
    names.insert(names.end(), llama_names().begin(), llama_names().end());
    GgufBuilder file = metadata(golden, "llama");
    file.u32("llama.expert_count", 8).u32("llama.expert_used_count", 2);
    add_tensors(file, weights, names);
    return error_of_gguf(golden, file, *stream);
  };
  TinyWeights converted = golden.weights;
  interleave_qk(converted);
  NamePairs of_2023;
  for (int expert = 0; expert < 8; ++expert) {
    const auto pair = [&](const char* hf, const char* gguf) {
      of_2023.emplace_back(fmt::format(".block_sparse_moe.experts.{}.{}.", expert, hf),
                           fmt::format(".{}.{}.", gguf, expert));
    };
    pair("w1", "ffn_gate");
    pair("w2", "ffn_down");
    pair("w3", "ffn_up");
  }
  const double expected = error_of_safetensors(golden, *stream);
  EXPECT_EQ(error_of(converted, of_2023), expected);
  stack_experts(converted, 8);
  EXPECT_EQ(error_of(converted, {{".block_sparse_moe.experts.w1.", ".ffn_gate_exps."},
                                 {".block_sparse_moe.experts.w2.", ".ffn_down_exps."},
                                 {".block_sparse_moe.experts.w3.", ".ffn_up_exps."}}),
            expected);
}

}  // namespace
}  // namespace lmdeploy
