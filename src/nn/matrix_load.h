// Loads of matrices, which modules keep packed (kernels/packed_matrix.h).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "checkpoint/load_plan.h"
#include "kernels/packed_matrix.h"
#include "nn/build_options.h"

namespace lmdeploy {

// The slices as one matrix, packed for the CPU or brought to the device. orders[i] puts the rows of
// slice i in another order; empty: as they are. A transposed slice gives its columns as rows and
// must not be of GGUF blocks. `name` is for messages.
Result<PackedMatrix> load_matrix(std::span<const LoadedSlice> slices,
                                 std::span<const std::vector<int32_t>> orders,
                                 const BuildOptions& options, const std::string& name);

// The same into rows of a matrix that is on the device already.
Status load_rows(std::span<const LoadedSlice> slices, std::span<const std::vector<int32_t>> orders,
                 const BuildOptions& options, const TensorView& rows, const std::string& name);

// Load::bytes of the slices packed as one matrix; 0 where a type cannot be packed, which the load's
// store() says.
size_t packed_load_bytes(std::span<const LoadedSlice> slices, const BuildOptions& options);

}  // namespace lmdeploy
