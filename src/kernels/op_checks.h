// What every op.cc does first: CHECK that its views are what the header says, in words that name
// the op, the view, what came and what was expected.
#pragma once

#include <initializer_list>

#include "kernels/ctx.h"

namespace lmdeploy {

constexpr int64_t kAnySize = -1;

// `view` is a `dtype` tensor of shape `dims` (kAnySize matches any) on the stream's device. Rows
// may be strided; the elements of a row are consecutive.
void check_view(Ctx& ctx, const char* op, const char* name, const TensorView& view, DType dtype,
                std::initializer_list<int64_t> dims);

// As check_view, or an empty view.
void check_optional_view(Ctx& ctx, const char* op, const char* name, const TensorView& view,
                         DType dtype, std::initializer_list<int64_t> dims);

// The type that the op's activations have: f32 on the CPU, that of `x` on CUDA, where it is CHECKed to
// be f32, f16 or bf16.
DType activation_dtype(Ctx& ctx, const char* op, const TensorView& x);

// For ops that have no CUDA version.
void check_on_cpu(Ctx& ctx, const char* op);

}  // namespace lmdeploy
