// EmbeddingTable: the token embedding; also the output matrix of models that tie the two.
#pragma once

#include "checkpoint/load_plan.h"
#include "kernels/packed_matrix.h"
#include "nn/build_options.h"
#include "nn/step.h"

namespace lmdeploy {

// Does not move: its declared load points to it.
class EmbeddingTable {
 public:
  // Reads `weights`.weight [vocab, hidden]. `scale` multiplies every looked up row. With
  // `scale_rounded` it is first rounded to the table's type where that is bf16 or f16, as Gemma's own
  // code does.
  EmbeddingTable(const Weights& weights, const BuildOptions& options, int64_t vocab, int64_t hidden,
                 float scale = 1.0f, bool scale_rounded = true);
  EmbeddingTable(const EmbeddingTable&) = delete;
  EmbeddingTable& operator=(const EmbeddingTable&) = delete;

  // out f32 [T, hidden] of the batch's token ids.
  void forward(const Step& step, const TensorView& out) const;
  // The rows of this rank: Parallel::rows_of(vocab).
  const PackedMatrix& matrix() const { return table_; }
  size_t bytes() const { return table_.storage.bytes(); }

 private:
  Parallel::Rows rows_;  // ids of this rank
  float scale_;
  PackedMatrix table_;
};

}  // namespace lmdeploy
