// LmHead: hidden states to logits, with the model's own matrix or the embedding's.
#pragma once

#include "nn/embedding_table.h"

namespace lmdeploy {

struct LmHeadConfig {
  int64_t vocab = 0;
  int64_t hidden = 0;
  bool tied = false;  // the embedding is the matrix
  float scale = 1;    // multiplies the logits
  float softcap = 0;  // logits = softcap * tanh(logits / softcap); 0: off
  bool unit_rows = false;  // each row of the model's own matrix is divided by its length
};

// Does not move: its declared load points to it. `embedding` must outlive it.
class LmHead {
 public:
  // Reads `weights`.weight [vocab, hidden] unless tied, and `weights`.bias [vocab] where there is one.
  LmHead(const Weights& weights, const BuildOptions& options, const LmHeadConfig& config,
         const EmbeddingTable& embedding);
  LmHead(const LmHead&) = delete;
  LmHead& operator=(const LmHead&) = delete;

  // hidden f32 [R, hidden], logits f32 [R, vocab].
  void forward(Ctx& ctx, const TensorView& hidden, const TensorView& logits) const;
  // Of its own matrix.
  size_t bytes() const { return own_.storage.bytes() + bias_.bytes(); }

 private:
  void declare_weight(const Weights& weights, const BuildOptions& options,
                      const LmHeadConfig& config);
  void declare_bias(const Weights& weights, const BuildOptions& options,
                    const LmHeadConfig& config);

  Parallel::Rows rows_;  // the logits that this rank computes
  PackedMatrix own_;
  const PackedMatrix* matrix_;
  Tensor bias_;  // f32 [logits of this rank], or empty
  float scale_, softcap_;
};

}  // namespace lmdeploy
