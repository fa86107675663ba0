// Tiny safetensors and GGUF files, made in memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace lmdeploy {

// A safetensors file of this header and data.
inline std::string safetensors_file(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof(length));
  return out.append(header).append(data);
}

// Two tensors: a [2,3] f32 (24 bytes), b [4] bf16 (8 bytes).
inline std::string small_safetensors() {
  return safetensors_file(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})",
      std::string(32, '\1'));
}

// Matrices in fp8, their scales a row, a block of 128 x 128 and of an empty matrix.
inline std::string fp8_safetensors() {
  return safetensors_file(
      R"({"a.weight":{"dtype":"F8_E4M3","shape":[4,3],"data_offsets":[0,12]},)"
      R"("a.weight_scale":{"dtype":"F32","shape":[4,1],"data_offsets":[12,28]},)"
      R"("b.weight":{"dtype":"F8_E4M3","shape":[2,130],"data_offsets":[28,288]},)"
      R"("b.weight_scale_inv":{"dtype":"BF16","shape":[2],"data_offsets":[288,292]},)"
      R"("c.weight":{"dtype":"F8_E4M3","shape":[9223372036854775807,0],"data_offsets":[292,292]},)"
      R"("c.weight_scale":{"dtype":"F32","shape":[1],"data_offsets":[292,296]}})",
      std::string(296, '\1'));
}

class GgufBuilder {
 public:
  uint32_t version = 3;

  template <class T>
  GgufBuilder& value(std::string_view key, uint32_t type, T number) {
    begin(key, type);
    append(values_, number);
    return *this;
  }
  GgufBuilder& u32(std::string_view key, uint32_t number) { return value(key, 4, number); }
  GgufBuilder& f32(std::string_view key, float number) { return value(key, 6, number); }
  GgufBuilder& text(std::string_view key, std::string_view value) {
    begin(key, 8);
    append_text(values_, value);
    return *this;
  }
  GgufBuilder& texts(std::string_view key, const std::vector<std::string>& list) {
    begin(key, 9);
    append(values_, uint32_t{8});
    append(values_, static_cast<uint64_t>(list.size()));
    for (const std::string& item : list) append_text(values_, item);
    return *this;
  }
  template <class T>
  GgufBuilder& array(std::string_view key, uint32_t type, const std::vector<T>& list) {
    begin(key, 9);
    append(values_, type);
    append(values_, static_cast<uint64_t>(list.size()));
    for (T item : list) append(values_, item);
    return *this;
  }
  // An array whose elements are not written: the last value of a file that is cut there.
  GgufBuilder& endless_array(std::string_view key, uint32_t type, uint64_t count) {
    begin(key, 9);
    append(values_, type);
    append(values_, count);
    return *this;
  }
  // What the header says of the numbers of tensors and values; 0: of values the true one.
  GgufBuilder& claim(uint64_t tensors, uint64_t values = 0) {
    tensors_ = tensors;
    if (values > 0) value_count_ = values;
    return *this;
  }
  // Data of `bytes` bytes is placed after what is there, padded to 32. `extents` innermost first.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                      size_t bytes) {
    return tensor(name, extents, type, std::string(bytes, '\2'));
  }
  // With this data.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                      std::string_view data) {
    data_.resize((data_.size() + 31) / 32 * 32);
    tensor_at(name, extents, type, data_.size());
    data_.append(data);
    return *this;
  }
  // A table entry alone.
  GgufBuilder& tensor_at(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                         uint64_t offset) {
    append_text(table_, name);
    append(table_, static_cast<uint32_t>(extents.size()));
    for (uint64_t extent : extents) append(table_, extent);
    append(table_, type);
    append(table_, offset);
    ++tensors_;
    return *this;
  }
  std::string build() const {
    std::string out = "GGUF";
    append(out, version);
    append(out, tensors_);
    append(out, value_count_);
    out += values_ + table_;
    out.resize((out.size() + 31) / 32 * 32);
    return out + data_;
  }

 private:
  template <class T>
  static void append(std::string& out, T number) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &number, sizeof(T));
    out.append(bytes, sizeof(T));
  }
  static void append_text(std::string& out, std::string_view text) {
    append(out, static_cast<uint64_t>(text.size()));
    out.append(text);
  }
  void begin(std::string_view key, uint32_t type) {
    append_text(values_, key);
    append(values_, type);
    ++value_count_;
  }

  std::string values_, table_, data_;
  uint64_t value_count_ = 0, tensors_ = 0;
};

// The metadata of a one-layer model of hidden size 64, two heads.
inline GgufBuilder small_gguf_metadata(const std::string& architecture) {
  GgufBuilder out;
  const auto key = [&](const char* name) { return architecture + "." + name; };
  out.text("general.architecture", architecture).text("general.name", "Tiny Model");
  out.u32(key("block_count"), 1).u32(key("context_length"), 128).u32(key("embedding_length"), 64);
  out.u32(key("feed_forward_length"), 96).u32(key("attention.head_count"), 2);
  out.u32(key("attention.head_count_kv"), 1).f32(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  out.f32(key("rope.freq_base"), 500000.0f);
  out.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "llama-bpe");
  out.texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<eos>"})
      .texts("tokenizer.ggml.merges", {"a b"});
  out.array<int32_t>("tokenizer.ggml.token_type", 5, {1, 1, 1, 3});
  out.u32("tokenizer.ggml.eos_token_id", 3).text("tokenizer.chat_template", "{{ messages }}");
  return out;
}

// With tensors: an embedding of 4 tokens, one q projection in Q4_0, the final norm.
inline std::string small_gguf(const std::string& architecture = "llama") {
  return small_gguf_metadata(architecture)
      .tensor("token_embd.weight", {64, 4}, 0, 64 * 4 * 4)
      .tensor("blk.0.attn_q.weight", {64, 64}, 2, 64 * 2 * 18)
      .tensor("blk.0.ffn_norm.weight", {64}, 0, 256)
      .tensor("output_norm.weight", {64}, 0, 256)
      .build();
}

}  // namespace lmdeploy
