// The ops that stream rows (norms, gated activation, embedding, row gather, soft cap, rope table)
// on a GPU: microseconds and GB/s read and written, over data that does not fit into the L2 cache.
//
//   rows_cuda_bench [bf16|f16|f32]
#include <cstdio>
#include <memory>
#include <string_view>

#include "graph_timer.h"
#include "kernels/embedding.h"
#include "kernels/gated_activation.h"
#include "kernels/gather_rows.h"
#include "kernels/random_normal.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/softcap.h"

namespace lmdeploy {
namespace {

constexpr Device kGpu{DeviceType::kCuda, 0};

class Bench {
 public:
  explicit Bench(DType dtype)
      : dtype_(dtype),
        stream_(make_stream(kGpu, 0, {}).value()),
        arena_(kGpu),
        ctx_{*stream_, arena_} {}

  void norms(int64_t rows, int64_t size) {
    const int copies = copies_for(3 * rows * size);
    const Tensor residual = random(copies * rows, size, dtype_),
                 delta = random(copies * rows, size, dtype_),
                 out = random(copies * rows, size, dtype_), weight = random(1, size, DType::kF32);
    const TensorView w(weight.view().raw(), DType::kF32, Shape{size}, kGpu);
    const auto part = [&](const Tensor& x, int i) { return x.view().rows(i * rows, rows); };
    report("rms_norm", rows, size, 2 * rows * size, time_in_graph(*stream_, copies, [&](int i) {
             rms_norm(ctx_, part(residual, i), w, 1e-5f, part(out, i));
           }));
    report("add_rms_norm", rows, size, 4 * rows * size, time_in_graph(*stream_, copies, [&](int i) {
             add_rms_norm(ctx_, part(residual, i), part(delta, i), w, 1e-5f, part(out, i));
           }));
    report("sandwich_rms_norm", rows, size, 4 * rows * size,
           time_in_graph(*stream_, copies, [&](int i) {
             sandwich_rms_norm(ctx_, part(residual, i), part(delta, i), w, w, 1e-5f, part(out, i));
           }));
  }

  void activation(int64_t rows, int64_t size) {
    const int copies = copies_for(3 * rows * size);
    const Tensor gate_up = random(copies * rows, 2 * size, dtype_),
                 out = random(copies * rows, size, dtype_);
    report("gated_activation silu", rows, size, 3 * rows * size,
           time_in_graph(*stream_, copies, [&](int i) {
             gated_activation(ctx_, gate_up.view().rows(i * rows, rows), Activation::kSilu,
                              out.view().rows(i * rows, rows));
           }));
  }

  // Row r of the ids is 7919 r modulo the table's rows.
  void lookups(int64_t rows, int64_t size) {
    constexpr int64_t kTable = 32000;
    PackedMatrix table;
    table.n = kTable;
    table.k = size;
    table.format = dtype_;
    table.segments = {{0, kTable, dtype_, 0}};
    table.layout = PackedLayout::kRowMajor;
    table.storage = random(kTable, size, dtype_);
    Tensor host(Shape{rows}, DType::kI32), ids(Shape{rows}, DType::kI32, kGpu);
    for (int64_t r = 0; r < rows; ++r)
      host.data<int32_t>()[r] = static_cast<int32_t>(r * 7919 % kTable);
    device_copy(kGpu, ids.view().raw(), Device{}, host.view().raw(), host.bytes());
    const int copies = copies_for(rows * size);
    const Tensor out = random(copies * rows, size, dtype_);
    report("embedding", rows, size, 2 * rows * size, time_in_graph(*stream_, copies, [&](int i) {
             embedding(ctx_, ids, table, 0, 2.0f, out.view().rows(i * rows, rows));
           }));
    report("gather_rows", rows, size, 2 * rows * size, time_in_graph(*stream_, copies, [&](int i) {
             const TensorView x(table.storage.view().raw(), dtype_, Shape{kTable, size}, kGpu);
             gather_rows(ctx_, x, ids, out.view().rows(i * rows, rows));
           }));
    const Tensor inv_freq = random(1, 64, DType::kF32), cos_sin = random(rows, 128, DType::kF32);
    const double seconds = time_in_graph(
        *stream_, 16, [&](int) { rope_cos_sin(ctx_, ids, inv_freq, {}, 1, cos_sin); });
    std::printf("%-22s %5lld x %5d %8.2f us\n", "rope_cos_sin", static_cast<long long>(rows), 128,
                seconds * 1e6);
  }

  void cap(int64_t rows, int64_t size) {
    const int copies = copies_beyond_l2(4.0 * static_cast<double>(rows * size));
    const Tensor x = random(copies * rows, size, DType::kF32);
    const double seconds = time_in_graph(
        *stream_, copies, [&](int i) { softcap(ctx_, x.view().rows(i * rows, rows), 30); });
    print("softcap f32", rows, size, 8.0 * static_cast<double>(rows * size), seconds);
  }

 private:
  double element_bytes() const { return dtype_ == DType::kF32 ? 4 : 2; }
  int copies_for(int64_t elements) const {
    return copies_beyond_l2(static_cast<double>(elements) * element_bytes());
  }
  Tensor random(int64_t rows, int64_t size, DType dtype) {
    Tensor tensor(Shape{rows, size}, dtype, kGpu);
    random_normal(ctx_, {.key = 3, .row_elements = size, .stddev = 1}, tensor);
    stream_->synchronize();
    return tensor;
  }
  void report(const char* op, int64_t rows, int64_t size, int64_t elements, double seconds) const {
    print(op, rows, size, static_cast<double>(elements) * element_bytes(), seconds);
  }
  static void print(const char* op, int64_t rows, int64_t size, double bytes, double seconds) {
    std::printf("%-22s %5lld x %5lld %8.2f us %7.0f GB/s (%3.0f%% of %.2f TB/s)\n", op,
                static_cast<long long>(rows), static_cast<long long>(size), seconds * 1e6,
                bytes / seconds * 1e-9, bytes / seconds / kReadBytesPerSecond * 100,
                kReadBytesPerSecond * 1e-12);
    std::fflush(stdout);
  }

  DType dtype_;
  std::unique_ptr<Stream> stream_;
  Arena arena_;
  Ctx ctx_;
};

}  // namespace
}  // namespace lmdeploy

int main(int count, char** arguments) {
  using lmdeploy::DType;
  const std::string_view type = count > 1 ? arguments[1] : "bf16";
  lmdeploy::Bench bench(type == "f32" ? DType::kF32 : type == "f16" ? DType::kF16 : DType::kBF16);
  for (int64_t rows : {1, 64, 256, 8192}) {
    bench.norms(rows, 4096);
    bench.activation(rows, 14336);
    bench.lookups(rows, 4096);
  }
  for (int64_t rows : {1, 64}) bench.cap(rows, 262144);
  return 0;
}
