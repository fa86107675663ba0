#include "nn/linear.h"

#include <algorithm>

#include "base/check.h"
#include "nn/float_load.h"
#include "nn/matrix_load.h"

namespace lmdeploy {
namespace {

std::string joined_names(const Weights& weights, const std::vector<Projection>& projections,
                         const char* suffix) {
  std::string names;
  for (size_t i = 0; i < projections.size(); ++i) {
    if (i > 0 && projections[i].name == projections[i - 1].name) continue;
    names += (names.empty() ? "" : "+") + projections[i].name;
  }
  return (weights / names / suffix).name();
}

// Rows of a projection that a rank has.
struct RowShare {
  int64_t begin, count;
};
RowShare row_share(const Projection& projection, const Parallel& parallel, Split split) {
  if (split == Split::kColumns) return {0, projection.out};
  if (projection.head_dim == 0) {
    return {parallel.begin(projection.out), parallel.share(projection.out)};
  }
  const int64_t heads = projection.out / projection.head_dim;
  return {parallel.begin_head(heads) * projection.head_dim,
          parallel.share_heads(heads) * projection.head_dim};
}

}  // namespace

std::vector<int32_t> rope_row_order(int64_t rows, int64_t head_dim, int64_t rotary_dim) {
  std::vector<int32_t> order(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t head = r / head_dim * head_dim, within = r % head_dim, half = rotary_dim / 2;
    const int64_t stored = within < rotary_dim ? 2 * (within % half) + within / half : within;
    order[static_cast<size_t>(r)] = static_cast<int32_t>(head + stored);
  }
  return order;
}

std::vector<Projection> stacked(const std::string& name, std::vector<Projection> parts) {
  return stacked_by_group(name, 1, std::move(parts));
}

std::vector<Projection> stacked_by_group(const std::string& name, int64_t groups,
                                         std::vector<Projection> parts) {
  int64_t rows = 0, first = 0;
  for (const Projection& part : parts) rows += part.out;
  for (Projection& part : parts) {
    CHECK(part.out % groups == 0, "{} rows of {} in {} groups", part.out, name, groups);
    part.name = name;
    part.shared = {
        .tensor_rows = rows, .first = first, .run = part.out / groups, .stride = rows / groups};
    first += part.shared.run;
  }
  return parts;
}

Linear::Linear(const Weights& weights, const BuildOptions& options, int64_t in,
               std::vector<Projection> projections, Split split, Bias bias)
    : projections_(std::move(projections)),
      split_(split),
      in_(split == Split::kColumns ? options.parallel.share(in) : in) {
  for (size_t i = 0; i < projections_.size(); ++i) {
    const RowShare share = row_share(projections_[i], options.parallel, split);
    add_runs(static_cast<int>(i), share.begin, share.count);
    out_ += share.count;
  }
  declare_weight(weights, options, in, split);
  if (bias != Bias::kNone) declare_bias(weights, options, split, bias);
}

// Rows [begin, begin + count) of the projection.
void Linear::add_runs(int projection, int64_t begin, int64_t count) {
  const Projection& whole = projections_[static_cast<size_t>(projection)];
  const int64_t run = whole.shared.run > 0 ? whole.shared.run : whole.out;
  for (int64_t row = begin; row < begin + count;) {
    const int64_t within = row % run;
    const int64_t rows = std::min(run - within, begin + count - row);
    runs_.push_back(
        {projection, whole.shared.first + row / run * whole.shared.stride + within, rows});
    row += rows;
  }
}

const Projection& Linear::projection_of(const Run& run) const {
  return projections_[static_cast<size_t>(run.projection)];
}

int64_t Linear::tensor_rows(const Projection& projection) {
  return projection.shared.tensor_rows > 0 ? projection.shared.tensor_rows : projection.out;
}

void Linear::declare_weight(const Weights& weights, const BuildOptions& options, int64_t whole_in,
                            Split split) {
  Load load;
  load.name = joined_names(weights, projections_, "weight");
  for (const Run& run : runs_) {
    const Projection& projection = projection_of(run);
    LoadSource source{(weights / projection.name / "weight").name(),
                      Shape{tensor_rows(projection), whole_in}, run.row_begin, run.rows};
    if (split == Split::kColumns) {
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
  for (const Run& run : runs_) {
    const Projection& projection = projection_of(run);
    load.sources.push_back({(weights / projection.name / "bias").name(),
                            Shape{tensor_rows(projection)}, run.row_begin, run.rows});
  }
  load.store = [this, options, first_rank_adds](std::span<const LoadedSlice> slices) {
    return first_rank_adds ? Status() : store_bias(slices, options);
  };
  if (first_rank_adds) load.bytes = [](std::span<const LoadedSlice>) { return size_t{0}; };
  if (bias == Bias::kIfPresent) load.absent = [] {};
  weights.plan().add(std::move(load));
}

std::vector<int32_t> Linear::row_order(const Run& run, const LoadedSlice& slice) const {
  const Projection& projection = projection_of(run);
  const bool interleaved = projection.interleaved || (slice.baked & kBakedInterleavedRope) != 0;
  if (projection.rotary_dim == 0 || !interleaved) return {};
  return rope_row_order(run.rows, projection.head_dim, projection.rotary_dim);
}

Status Linear::store_weight(std::span<const LoadedSlice> slices, const BuildOptions& options,
                            const std::string& name) {
  std::vector<std::vector<int32_t>> orders;
  for (size_t i = 0; i < slices.size(); ++i) orders.push_back(row_order(runs_[i], slices[i]));
  ASSIGN_OR_RETURN(weight_, load_matrix(slices, orders, options, name));
  return {};
}

Status Linear::store_bias(std::span<const LoadedSlice> slices, const BuildOptions& options) {
  std::vector<float> bias(static_cast<size_t>(out_));
  float* out = bias.data();
  for (size_t i = 0; i < slices.size(); ++i) {
    std::vector<float> stored(static_cast<size_t>(runs_[i].rows));
    RETURN_IF_ERROR(copy_floats(slices[i], stored.data()));
    const std::vector<int32_t> order = row_order(runs_[i], slices[i]);
    for (size_t r = 0; r < stored.size(); ++r) {
      *out++ = stored[order.empty() ? r : static_cast<size_t>(order[r])];
    }
  }
  bias_ = float_tensor(bias, Shape{out_}, options);
  return {};
}

MatmulEpilogue Linear::part_epilogue(const Ctx& ctx, MatmulEpilogue epilogue) const {
  return sums_over_ranks(ctx) && ctx.ranks->rank() != 0 ? MatmulEpilogue::kStore : epilogue;
}

void Linear::forward(Ctx& ctx, const TensorView& x, const TensorView& out,
                     MatmulEpilogue epilogue) const {
  matmul(ctx, x, weight_, bias_, out, part_epilogue(ctx, epilogue));
  if (sums_over_ranks(ctx)) ctx.ranks->all_reduce(ctx.stream, out);
}

void Linear::forward_part(Ctx& ctx, const TensorView& x, const TensorView& out) const {
  CHECK(split_ == Split::kColumns, "outputs cut over ranks are no parts of a sum");
  matmul(ctx, x, weight_, bias_, out, MatmulEpilogue::kStore);
}

void Linear::forward_gated(Ctx& ctx, const TensorView& x, Activation activation, const Linear& down,
                           const TensorView& out, MatmulEpilogue epilogue) const {
  gated_mlp(ctx, x, weight_, bias_, activation, down.weight_, down.bias_, out,
            down.part_epilogue(ctx, epilogue));
  if (down.sums_over_ranks(ctx)) ctx.ranks->all_reduce(ctx.stream, out);
}

void Linear::forward_gated_part(Ctx& ctx, const TensorView& x, Activation activation, const Linear& down,
                                const TensorView& out) const {
  CHECK(down.split_ == Split::kColumns, "outputs cut over ranks are no parts of a sum");
  gated_mlp(ctx, x, weight_, bias_, activation, down.weight_, down.bias_, out, MatmulEpilogue::kStore);
}

}  // namespace lmdeploy
