// QkNorm: norms of the query and key projections before the rotation, other than the RMS norm that
// all heads share (AttentionConfig::head_norm).
#pragma once

#include <memory>

#include "nn/norm.h"

namespace lmdeploy {

struct QkNormConfig {
  enum class Kind : uint8_t {
    kWholeRms,       // RMS norm of the whole projection, weight [heads * head_dim] (OLMo 2)
    kHeadLayer,      // layer norm of each head, weight [heads, head_dim] (Cohere)
    kHeadLayerList,  // the same from `name`.norms.H.weight [head_dim] (StableLM)
  };
  Kind kind = Kind::kWholeRms;
  float eps = 1e-5f;
  const char* query = "q_norm";
  const char* key = "k_norm";
};

class QkNorm {
 public:
  virtual ~QkNorm() = default;
  // q, k [T, columns of this rank's heads], in place.
  virtual void forward(Ctx& ctx, const TensorView& q, const TensorView& k) const = 0;
  virtual size_t bytes() const = 0;
};

// What it norms: heads over all ranks, whose first `interleaved` rows the checkpoint has
// interleaved (Projection).
struct QkNormHeads {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int interleaved = 0;
};

// `weights`: where config.query and config.key are.
std::unique_ptr<QkNorm> make_qk_norm(const Weights& weights, const BuildOptions& options,
                                     const QkNormConfig& config, const QkNormHeads& heads);

}  // namespace lmdeploy
