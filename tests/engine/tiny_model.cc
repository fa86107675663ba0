#include "tests/engine/tiny_model.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "base/utf8.h"

namespace lmdeploy::testing {

namespace {

constexpr int kHidden = 64, kHeads = 4, kKvHeads = 2, kHeadDim = 16, kIntermediate = 96;

// safetensors: u64 header size, JSON header, data.
class TensorFile {
 public:
  void add(const std::string& name, std::vector<int64_t> shape, double stddev, double mean = 0) {
    int64_t count = 1;
    for (int64_t dim : shape) count *= dim;
    json::array dims(shape.begin(), shape.end());
    const size_t begin = data_.size() * sizeof(float);
    const uint64_t key = hash_name(name);
    for (int64_t i = 0; i < count; ++i) {
      data_.push_back(static_cast<float>(mean + stddev * hash_normal(key, static_cast<uint64_t>(i))));
    }
    header_[name] = {{"dtype", "F32"}, {"shape", dims},
                     {"data_offsets", {begin, data_.size() * sizeof(float)}}};
  }
  // Elements of everything added so far.
  void fill_with_nan(int64_t first, int64_t count) {
    std::fill_n(data_.begin() + first, count, std::numeric_limits<float>::quiet_NaN());
  }
  void write(const std::string& path) const {
    const std::string header = to_json_text(header_);
    const uint64_t size = header.size();
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&size), sizeof(size));
    out << header;
    out.write(reinterpret_cast<const char*>(data_.data()), static_cast<std::streamsize>(data_.size() * sizeof(float)));
  }

 private:
  json::object header_;
  std::vector<float> data_;
};

void write_weights(const TinyModelOptions& options, const std::string& path) {
  TensorFile file;
  file.add("model.embed_tokens.weight", {kTinyVocab, kHidden}, 1.0);
  if (options.nan_token >= 0) file.fill_with_nan(options.nan_token * kHidden, kHidden);
  file.add("lm_head.weight", {kTinyVocab, kHidden}, 0.4);
  file.add("model.norm.weight", {kHidden}, 0.1, 1.0);
  for (int layer = 0; layer < options.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    file.add(prefix + "input_layernorm.weight", {kHidden}, 0.1, 1.0);
    file.add(prefix + "post_attention_layernorm.weight", {kHidden}, 0.1, 1.0);
    file.add(prefix + "self_attn.q_proj.weight", {kHeads * kHeadDim, kHidden}, 0.25);
    file.add(prefix + "self_attn.k_proj.weight", {kKvHeads * kHeadDim, kHidden}, 0.25);
    file.add(prefix + "self_attn.v_proj.weight", {kKvHeads * kHeadDim, kHidden}, 0.3);
    file.add(prefix + "self_attn.o_proj.weight", {kHidden, kHeads * kHeadDim}, 0.3);
    file.add(prefix + "mlp.gate_proj.weight", {kIntermediate, kHidden}, 0.15);
    file.add(prefix + "mlp.up_proj.weight", {kIntermediate, kHidden}, 0.15);
    file.add(prefix + "mlp.down_proj.weight", {kHidden, kIntermediate}, 0.15);
  }
  file.write(path);
}

void write_config(const TinyModelOptions& options, const std::string& path) {
  json::object config = {
      {"architectures", {options.sliding_window > 0 ? "MistralForCausalLM" : "LlamaForCausalLM"}},
      {"model_type", options.sliding_window > 0 ? "mistral" : "llama"},
      {"hidden_size", kHidden}, {"intermediate_size", kIntermediate}, {"num_hidden_layers", options.layers},
      {"num_attention_heads", kHeads}, {"num_key_value_heads", kKvHeads}, {"head_dim", kHeadDim},
      {"vocab_size", kTinyVocab}, {"max_position_embeddings", options.max_position},
      {"rms_norm_eps", 1e-5}, {"rope_theta", 10000.0}, {"hidden_act", "silu"},
      {"tie_word_embeddings", false}, {"torch_dtype", "float32"}};
  if (options.sliding_window > 0) config["sliding_window"] = options.sliding_window;
  if (options.dynamic_ntk > 0) config["rope_scaling"] = {{"type", "dynamic"}, {"factor", options.dynamic_ntk}};
  std::ofstream(path) << to_json_text(config);
}

// The printable stand-ins of GPT-2's byte-level alphabet.
std::string byte_piece(int byte) {
  const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  char32_t shown = static_cast<char32_t>(byte);
  if (!printable) {
    int before = 0;
    for (int b = 0; b < byte; ++b) {
      if (!((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)) ++before;
    }
    shown = static_cast<char32_t>(256 + before);
  }
  std::string piece;
  utf8_append(piece, shown);
  return piece;
}

void write_tokenizer(const std::string& folder) {
  json::object vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[byte_piece(byte)] = byte;
  json::array added;
  const char* names[] = {"<s>", "</s>", "<|eot|>"};
  for (int i = 0; i < 3; ++i) {
    added.push_back({{"id", kTinyBos + i}, {"content", names[i]}, {"single_word", false}, {"lstrip", false},
                     {"rstrip", false}, {"normalized", false}, {"special", true}});
  }
  json::object byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  json::object tokenizer = {
      {"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added},
      {"normalizer", nullptr}, {"pre_tokenizer", byte_level}, {"post_processor", nullptr}, {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", nullptr},
                 {"end_of_word_suffix", nullptr}, {"fuse_unk", false}, {"byte_fallback", false}, {"ignore_merges", false},
                 {"vocab", vocab}, {"merges", json::array{}}}}};
  std::ofstream(folder + "/tokenizer.json") << to_json_text(tokenizer);
  std::ofstream(folder + "/tokenizer_config.json")
      << R"({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": false, "tokenizer_class": "PreTrainedTokenizerFast",
 "chat_template": "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"})";
}

}  // namespace

TinyModel::TinyModel(const TinyModelOptions& options) {
  static std::atomic<int> counter{0};
  path_ = std::filesystem::temp_directory_path() /
          ("lmdeploy-tiny-" + std::to_string(getpid()) + "-" + std::to_string(counter++));
  std::filesystem::create_directories(path_);
  write_config(options, path_ + "/config.json");
  write_weights(options, path_ + "/model.safetensors");
  write_tokenizer(path_);
}

TinyModel::~TinyModel() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

}  // namespace lmdeploy::testing
