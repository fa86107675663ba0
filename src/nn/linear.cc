#include "nn/linear.h"

#include "nn/float_load.h"
#include "nn/matrix_load.h"

namespace lmdeploy {
namespace {

// Result row r of heads whose rotary rows were stored as (i, half) is stored row order[r]
// (models.md 4.7: row (half h, i) of a head stands at 2 i + h).
std::vector<int32_t> rope_row_order(int64_t rows, int64_t head_dim, int64_t rotary_dim) {
  std::vector<int32_t> order(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t head = r / head_dim * head_dim, within = r % head_dim, half = rotary_dim / 2;
    const int64_t stored = within < rotary_dim ? 2 * (within % half) + within / half : within;
    order[static_cast<size_t>(r)] = static_cast<int32_t>(head + stored);
  }
  return order;
}

bool needs_reordering(const Projection& projection, const LoadedSlice& slice) {
  return projection.head_dim > 0 && projection.rotary_dim > 0 &&
         (slice.baked & kBakedInterleavedRope) != 0;
}

std::string joined_names(const Weights& weights, const std::vector<Projection>& projections,
                         const char* suffix) {
  std::string names;
  for (const Projection& projection : projections) {
    names += (names.empty() ? "" : "+") + projection.name;
  }
  return (weights / names / suffix).name();
}

}  // namespace

Linear::Linear(const Weights& weights, const BuildOptions& options, int64_t in,
               std::vector<Projection> projections, Split split, Bias bias)
    : projections_(std::move(projections)),
      in_(split == Split::kColumns ? options.parallel.share(in) : in) {
  for (const Projection& projection : projections_) {
    out_ += split == Split::kRows ? options.parallel.share(projection.out) : projection.out;
  }
  declare_weight(weights, options, in, split);
  if (bias != Bias::kNone) declare_bias(weights, options, split, bias);
}

void Linear::declare_weight(const Weights& weights, const BuildOptions& options, int64_t whole_in,
                            Split split) {
  Load load;
  load.name = joined_names(weights, projections_, "weight");
  for (const Projection& projection : projections_) {
    LoadSource source{(weights / projection.name / "weight").name(),
                      Shape{projection.out, whole_in}};
    if (split == Split::kRows) {
      source.row_begin = options.parallel.begin(projection.out);
      source.row_count = options.parallel.share(projection.out);
    } else {
      source.col_begin = options.parallel.begin(whole_in);
      source.col_count = in_;
    }
    load.sources.push_back(std::move(source));
  }
  load.store = [this, options, name = load.name](std::span<const LoadedSlice> slices) {
    return store_weight(slices, options, name);
  };
  load.bytes = [options](std::span<const LoadedSlice> slices) {
    return packed_load_bytes(slices, options);
  };
  weights.plan().add(std::move(load));
}

void Linear::declare_bias(const Weights& weights, const BuildOptions& options, Split split,
                          Bias bias) {
  const bool first_rank_adds = split == Split::kColumns && options.parallel.rank > 0;
  Load load;
  load.name = joined_names(weights, projections_, "bias");
  for (const Projection& projection : projections_) {
    LoadSource source{(weights / projection.name / "bias").name(), Shape{projection.out}};
    if (split == Split::kRows) {
      source.row_begin = options.parallel.begin(projection.out);
      source.row_count = options.parallel.share(projection.out);
    }
    load.sources.push_back(std::move(source));
  }
  load.store = [this, options, first_rank_adds](std::span<const LoadedSlice> slices) {
    return first_rank_adds ? Status() : store_bias(slices, options);
  };
  if (first_rank_adds) load.bytes = [](std::span<const LoadedSlice>) { return size_t{0}; };
  if (bias == Bias::kIfPresent) load.absent = [] {};
  weights.plan().add(std::move(load));
}

Status Linear::store_weight(std::span<const LoadedSlice> slices, const BuildOptions& options,
                            const std::string& name) {
  std::vector<std::vector<int32_t>> orders(slices.size());
  for (size_t i = 0; i < slices.size(); ++i) {
    if (!needs_reordering(projections_[i], slices[i])) continue;
    orders[i] =
        rope_row_order(slices[i].rows, projections_[i].head_dim, projections_[i].rotary_dim);
  }
  ASSIGN_OR_RETURN(weight_, load_matrix(slices, orders, options, name));
  return {};
}

Status Linear::store_bias(std::span<const LoadedSlice> slices, const BuildOptions& options) {
  std::vector<float> bias(static_cast<size_t>(out_));
  float* out = bias.data();
  for (size_t i = 0; i < slices.size(); ++i) {
    const int64_t rows = slices[i].rows * slices[i].cols;
    std::vector<float> stored(static_cast<size_t>(rows));
    RETURN_IF_ERROR(copy_floats(slices[i], stored.data()));
    if (needs_reordering(projections_[i], slices[i])) {
      const std::vector<int32_t> order =
          rope_row_order(rows, projections_[i].head_dim, projections_[i].rotary_dim);
      for (int64_t r = 0; r < rows; ++r) {
        out[r] = stored[static_cast<size_t>(order[static_cast<size_t>(r)])];
      }
    } else {
      std::copy(stored.begin(), stored.end(), out);
    }
    out += rows;
  }
  bias_ = float_tensor(bias, Shape{out_}, options);
  return {};
}

void Linear::forward(Ctx& ctx, const TensorView& x, const TensorView& out,
                     MatmulEpilogue epilogue) const {
  matmul(ctx, x, weight_, bias_, out, epilogue);
}

void Linear::forward_gated(Ctx& ctx, const TensorView& x, Activation activation,
                           const TensorView& out) const {
  matmul_gated(ctx, x, weight_, bias_, activation, out);
}

}  // namespace lmdeploy
