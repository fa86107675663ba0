#include "kernels/op_checks.h"

#include <string>

namespace lmdeploy {

namespace {

bool shape_matches(const Shape& shape, std::initializer_list<int64_t> dims) {
  if (shape.rank() != static_cast<int>(dims.size())) return false;
  int axis = 0;
  for (int64_t dim : dims) {
    const int64_t got = shape[axis++];
    if (dim != kAnySize && got != dim) return false;
  }
  return true;
}

std::string dims_text(std::initializer_list<int64_t> dims) {
  std::string out = "[";
  for (int64_t dim : dims) {
    if (out.size() > 1) out += ", ";
    out += dim == kAnySize ? "*" : std::to_string(dim);
  }
  return out + "]";
}

}  // namespace

void check_view(Ctx& ctx, const char* op, const char* name, const TensorView& view, DType dtype,
                std::initializer_list<int64_t> dims) {
  CHECK(view.dtype() == dtype && shape_matches(view.shape(), dims),
        "{}: {} is {} {}; expected {} {}", op, name, dtype_name(view.dtype()),
        view.shape().to_string(), dtype_name(dtype), dims_text(dims));
  CHECK(view.device() == ctx.stream.device(), "{}: {} is not on the device of the stream", op,
        name);
  CHECK(!view.empty() || view.shape().numel() == 0, "{}: {} has no memory", op, name);
}

void check_optional_view(Ctx& ctx, const char* op, const char* name, const TensorView& view,
                         DType dtype, std::initializer_list<int64_t> dims) {
  if (!view.empty()) check_view(ctx, op, name, view, dtype, dims);
}

DType activation_dtype(Ctx& ctx, const char* op, const TensorView& x) {
  if (ctx.on_cpu()) return DType::kF32;
  CHECK(is_float(x.dtype()),
        "{}: activations of type {}; CUDA has f32, f16 and bf16", op, dtype_name(x.dtype()));
  return x.dtype();
}

void check_on_cpu(Ctx& ctx, const char* op) {
  CHECK(ctx.on_cpu(), "{} has no CUDA kernel in this version; run with --device cpu", op);
}

}  // namespace lmdeploy
