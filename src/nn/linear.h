// Linear: out = x W^T + b, for one projection or several of the same input fused into one matrix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/load_plan.h"
#include "kernels/matmul.h"
#include "kernels/matmul_gated.h"
#include "nn/build_options.h"

namespace lmdeploy {

// One tensor of a fused matrix: `name`.weight [out, in] (and `name`.bias [out]) in the checkpoint.
struct Projection {
  std::string name;
  int64_t out = 0;  // rows over all ranks
  // Rows are heads of this many rows whose first `rotary_dim` are rotated: a checkpoint may store
  // those interleaved (checkpoint.h, kBakedInterleavedRope), and they are put back. 0: plain rows.
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;
};

enum class Bias : uint8_t {
  kNone,
  kIfPresent,  // where the checkpoint has it, whatever its configuration says
  kRequired,
};

// How a matrix is cut over the ranks.
enum class Split : uint8_t {
  kRows,     // every rank has its share of each projection's outputs
  kColumns,  // every rank has its share of the inputs; rank 0 adds the bias
};

// Does not move: its declared loads point to it.
class Linear {
 public:
  // `in`: columns over all ranks.
  Linear(const Weights& weights, const BuildOptions& options, int64_t in,
         std::vector<Projection> projections, Split split, Bias bias);
  Linear(const Linear&) = delete;
  Linear& operator=(const Linear&) = delete;

  // x [T, in()], out [T, out()].
  void forward(Ctx& ctx, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue = MatmulEpilogue::kStore) const;
  // Of a gate and an up projection: out [T, out() / 2] = activation(gate x) * (up x).
  void forward_gated(Ctx& ctx, const TensorView& x, Activation activation,
                     const TensorView& out) const;

  // Of this rank.
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  // In memory, once loaded.
  size_t bytes() const { return weight_.storage.bytes() + bias_.bytes(); }

 private:
  void declare_weight(const Weights& weights, const BuildOptions& options, int64_t whole_in,
                      Split split);
  void declare_bias(const Weights& weights, const BuildOptions& options, Split split, Bias bias);
  Status store_weight(std::span<const LoadedSlice> slices, const BuildOptions& options,
                      const std::string& name);
  Status store_bias(std::span<const LoadedSlice> slices, const BuildOptions& options);

  std::vector<Projection> projections_;
  int64_t in_, out_ = 0;
  PackedMatrix weight_;
  Tensor bias_;  // f32 [out], or empty
};

}  // namespace lmdeploy
