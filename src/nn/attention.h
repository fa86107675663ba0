// Attention: grouped-query self-attention over the paged cache, from the layer's normed input to
// the output projection.
#pragma once

#include <optional>

#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/qk_norm.h"
#include "nn/step.h"

namespace lmdeploy {

// How a checkpoint stores q, k and v.
struct QkvLayout {
  enum class Rows : uint8_t {
    kSeparate,  // three tensors: q_proj, k_proj, v_proj
    kStacked,   // one tensor: all of q, all of k, all of v
    kByKvHead,  // one tensor: for every KV head its query heads, its k, its v
  };
  Rows rows = Rows::kSeparate;
  const char* name = "";  // of the one tensor
};

struct AttentionConfig {
  int64_t hidden = 0;
  int heads = 0;
  int kv_heads = 0;  // divides heads
  int head_dim = 0;
  int rotary_dim = 0;  // leading dimensions of a head that are rotated
  float scale = 0;     // multiplies q.k
  int window = 0;      // tokens a query sees, itself included; 0: all
  float softcap = 0;   // of the scores; 0: off
  size_t rope = 0;     // index into Step.cos_sin
  int64_t logn_length = 0;  // queries beyond it are scaled (kernels/logn_scale.h); 0: off
  bool rope_interleaved = false;    // pairs are neighbours in the checkpoint's rows of q and k
  std::vector<float> alibi_slopes;  // of each head: score += slope * (j - i); empty: off
  Bias qkv_bias = Bias::kIfPresent;
  Bias out_bias = Bias::kIfPresent;
  std::optional<NormConfig> head_norm;  // of each head of q and k before the rotation
  std::optional<QkNormConfig> qk_norm;  // another norm of q and k before the rotation
  float clip = 0;      // q, k and v are cut to +- this before the rotation; 0: off
  bool sinks = false;  // reads `sinks` [heads]: a logit that joins each softmax's denominator
  QkvLayout qkv;
  const char* out_name = "o_proj";
};

class Attention {
 public:
  // Reads q_proj, k_proj, v_proj (or qkv.name), o_proj (or out_name) and, with head_norm, q_norm and
  // k_norm, with qk_norm what that names, under `weights`.
  // `layer`: the model's layer, whose pages it uses.
  Attention(const Weights& weights, const BuildOptions& options, const AttentionConfig& config,
            int layer);

  // x f32 [T, hidden]; out f32 [T, hidden] is stored, or added to.
  void forward(const Step& step, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue) const;
  size_t bytes() const;  // of what is loaded

 private:
  void make_norms(const Weights& weights, const BuildOptions& options);
  void declare_sinks(const Weights& weights, const BuildOptions& options);
  void write_kv(const Step& step, const TensorView& qkv) const;
  void attend(const Step& step, const TensorView& qkv, const TensorView& context) const;
  const BatchKvGroup& group(const Step& step) const;

  AttentionConfig config_;
  int layer_;
  int heads_, kv_heads_;  // of this rank
  Linear qkv_, out_;
  std::optional<RmsNorm> q_norm_, k_norm_;
  std::unique_ptr<QkNorm> qk_norm_;
  Tensor slopes_, sinks_;  // f32 [heads_], or empty
};

}  // namespace lmdeploy
