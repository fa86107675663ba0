#include "nn/head_linear.h"

#include "nn/matrix_load.h"

namespace lmdeploy {

HeadLinear::HeadLinear(const Weights& weights, const BuildOptions& options, int heads,
                       const HeadRows& rows)
    : matrices_{.heads = static_cast<int>(options.parallel.share(heads)),
                .n = rows.transposed ? rows.columns : rows.rows,
                .k = rows.transposed ? rows.rows : rows.columns,
                .parts = {}} {
  const int64_t first = options.parallel.begin(heads);
  for (int h = 0; h < matrices_.heads; ++h) {
    Load load;
    load.name = (weights / rows.tensor / "weight").name();
    LoadSource source{load.name, Shape{heads * rows.stride, rows.columns},
                      (first + h) * rows.stride + rows.first, rows.rows};
    source.transposed = rows.transposed;
    load.sources = {source};
    load.store = [this, h, options, name = load.name](std::span<const LoadedSlice> slices) {
      return store(h, slices, options, name);
    };
    load.bytes = [options](std::span<const LoadedSlice> slices) {
      return packed_load_bytes(slices, options);
    };
    weights.plan().add(std::move(load));
  }
}

Status HeadLinear::store(int head, std::span<const LoadedSlice> slices, const BuildOptions& options,
                         const std::string& name) {
  const bool on_cpu = options.device.is_cpu();
  const std::vector<int32_t> as_stored;
  std::call_once(allocated_, [&] {
    matrices_.parts.resize(on_cpu ? static_cast<size_t>(matrices_.heads) : 1);
    if (on_cpu) return;
    const Shape shape{matrices_.heads * matrices_.n, matrices_.k};
    matrices_.parts[0] =
        row_major_matrix(options.memory->allocate(shape, options.activation_type()));
  });
  if (on_cpu) {
    ASSIGN_OR_RETURN(matrices_.parts[static_cast<size_t>(head)],
                     load_matrix(slices, {&as_stored, 1}, options, name));
    return {};
  }
  const TensorView& all = matrices_.parts[0].storage;
  return load_rows(slices, {&as_stored, 1}, options, all.rows(head * matrices_.n, matrices_.n),
                   name);
}

}  // namespace lmdeploy
