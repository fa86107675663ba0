// Linear: out = x W^T + b, for one projection or several of the same input fused into one matrix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/load_plan.h"
#include "kernels/gated_mlp.h"
#include "kernels/matmul.h"
#include "nn/build_options.h"

namespace lmdeploy {

// Which rows of a tensor are a projection's, where it shares the tensor with others: runs of `run`
// rows, the first at row `first`, each `stride` rows behind the one before.
struct SharedRows {
  int64_t tensor_rows = 0;  // of the whole tensor; 0: it is the projection's own
  int64_t first = 0;
  int64_t run = 0;     // 0: all rows in one run
  int64_t stride = 0;  // of no meaning to one run
};

// One part of a fused matrix: rows of `name`.weight [rows, in] (and `name`.bias [rows]) in the
// checkpoint, over all ranks.
struct Projection {
  std::string name;
  int64_t out = 0;
  // Rows are heads of this many rows: a rank takes whole heads, and where there are fewer heads than
  // ranks, neighbours have the same one. 0: plain rows.
  int64_t head_dim = 0;
  // The first rows of a head that are rotated: a checkpoint may store them interleaved
  // (checkpoint.h, kBakedInterleavedRope), and they are put back.
  int64_t rotary_dim = 0;
  SharedRows shared = {};
  bool interleaved = false;  // the model's checkpoints always do (its pairs are neighbours)
};

// Row r of heads of `head_dim` rows, whose first `rotary_dim` were stored as (i, half), is stored
// row order[r] (models.md 4.7: row (half h, i) of a head stands at 2 i + h).
std::vector<int32_t> rope_row_order(int64_t rows, int64_t head_dim, int64_t rotary_dim);

// Projections that stand one after another in the tensor `name` (q, k, v; gate, up): gives each its
// rows in it. Names of `parts` are replaced.
std::vector<Projection> stacked(const std::string& name, std::vector<Projection> parts);
// The same where the tensor has `groups` times a share of each part's rows: [q heads of a group, its
// k head, its v head] for every KV head.
std::vector<Projection> stacked_by_group(const std::string& name, int64_t groups,
                                         std::vector<Projection> parts);

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
  // Of columns split over ranks: out is stored as this rank's part of the sum.
  void forward_part(Ctx& ctx, const TensorView& x, const TensorView& out) const;
  // Of a gate and an up projection: down.forward (or forward_part) of activation(gate x) * (up x).
  void forward_gated(Ctx& ctx, const TensorView& x, Activation activation, const Linear& down,
                     const TensorView& out, MatmulEpilogue epilogue) const;
  void forward_gated_part(Ctx& ctx, const TensorView& x, Activation activation, const Linear& down,
                          const TensorView& out) const;

  // Of this rank.
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  // In memory, once loaded.
  size_t bytes() const { return weight_.storage.bytes() + bias_.bytes(); }

 private:
  // A run of rows that this rank reads.
  struct Run {
    int projection;
    int64_t row_begin, rows;  // in the tensor
  };

  // Whether the ranks' parts of a sum over columns have to be added up.
  bool sums_over_ranks(const Ctx& ctx) const { return split_ == Split::kColumns && ctx.ranks != nullptr; }
  // What this rank does with what `out` has, which the first one brings to the sum.
  MatmulEpilogue part_epilogue(const Ctx& ctx, MatmulEpilogue epilogue) const;
  void declare_weight(const Weights& weights, const BuildOptions& options, int64_t whole_in,
                      Split split);
  void declare_bias(const Weights& weights, const BuildOptions& options, Split split, Bias bias);
  Status store_weight(std::span<const LoadedSlice> slices, const BuildOptions& options,
                      const std::string& name);
  Status store_bias(std::span<const LoadedSlice> slices, const BuildOptions& options);
  void add_runs(int projection, int64_t begin, int64_t count);
  const Projection& projection_of(const Run& run) const;
  // Empty: as they are stored.
  std::vector<int32_t> row_order(const Run& run, const LoadedSlice& slice) const;
  static int64_t tensor_rows(const Projection& projection);

  std::vector<Projection> projections_;
  Split split_;
  std::vector<Run> runs_;  // the sources of the loads, in order
  int64_t in_, out_ = 0;
  PackedMatrix weight_;
  Tensor bias_;  // f32 [out], or empty
};

}  // namespace lmdeploy
