// Loads of matrices, which modules keep packed (kernels/packed_matrix.h).
#pragma once

#include <span>
#include <string>

#include "base/status.h"
#include "checkpoint/load_plan.h"
#include "nn/build_options.h"

namespace lmdeploy {

// Whether a matrix of this type can be packed: kUnsupported names `what` and the type where not.
Status check_matrix_type(DType dtype, const std::string& what);

// Load::bytes of the slices packed as one matrix; 0 where a type cannot be packed, which the load's
// store() says.
size_t packed_load_bytes(std::span<const LoadedSlice> slices, const BuildOptions& options);

}  // namespace lmdeploy
