// Declared loads. Parts of a model (nn/) are built from a Weights scope and *declare* what they
// need: which tensors, which slices, and a function that stores them. Nothing is read while
// building. The whole list is then checked at once (every missing, misshapen and never-read tensor
// in one error) and only then executed, in parallel. `--load-format dummy` executes the same list
// from random numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/dummy_weights.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lmdeploy {

// One tensor that a load reads, or a part of it: rows [row_begin, row_begin + row_count) and, for a
// matrix, columns [col_begin, col_begin + col_count). Counts of -1 mean all.
struct LoadSource {
  std::string tensor;  // full Hugging Face name
  Shape shape;         // expected shape of the whole tensor
  int64_t row_begin = 0, row_count = -1;
  int64_t col_begin = 0, col_count = -1;
  bool transposed = false;  // the tensor is [in, out]: its columns are the matrix's rows
};

// The bytes of a LoadSource at execution: `rows` rows of `cols` elements, `row_bytes` apart.
// Dimension 0 is the rows, so a vector of n elements is n rows of 1. May be unaligned. Valid during
// the store call.
struct LoadedSlice {
  DType dtype;
  int64_t rows, cols;
  const std::byte* data;
  size_t row_bytes;
  uint32_t baked;  // of the record (checkpoint.h)
  bool transposed = false;  // of the source; rows and cols are as stored
  // Instead of `data`: how a device makes the values by itself.
  std::optional<DummyValues> dummy = std::nullopt;
  BlockScales scales = {};  // of fp8: dequantize_fp8_row() reads it
};

struct Load {
  std::string name;                 // for messages: "model.layers.0.self_attn.qkv_proj"
  std::vector<LoadSource> sources;  // handed to store in this order
  // Copies, converts or packs into the destination. Runs on a worker thread, concurrently with
  // other loads. A Status says why the data cannot be used (an unsupported dtype).
  std::function<Status(std::span<const LoadedSlice>)> store;
  // When no source exists in the checkpoint the load is skipped and `absent` called instead of
  // failing (a bias that some checkpoints lack). Empty function: the tensors are required.
  std::function<void()> absent;
  // Standard deviation and mean of dummy values: normal(0, 0.02) unless said otherwise.
  float dummy_stddev = 0.02f;
  float dummy_mean = 0.0f;
  // Memory that stays taken after store() of these slices, whose data is not to be read. Empty
  // function: that of the elements in fp32.
  std::function<size_t(std::span<const LoadedSlice>)> bytes;
};

class LoadPlan {
 public:
  void add(Load load) { loads_.push_back(std::move(load)); }
  // A tensor that may exist and is deliberately not read (rotary inv_freq, a tied lm_head): a name,
  // or a pattern with one '*'.
  void ignore(std::string pattern) { ignored_.push_back(std::move(pattern)); }

  // Every problem in one kDataLoss status: tensors that are missing or have another shape than
  // declared; and tensors in the checkpoint that nothing reads.
  Status check(const Checkpoint& checkpoint) const;
  // Memory that the weights will take once execute() (execute_dummy()) is done: the sum over the
  // loads. check() must have passed.
  size_t bytes(const Checkpoint& checkpoint) const;
  size_t dummy_bytes(DType dtype) const;
  // check() must have passed. Loads run in parallel on `pool`; pages are released as they are
  // consumed. `progress(done, total)` is called with bytes, from any worker, at most every 1%.
  Status execute(const Checkpoint& checkpoint, ThreadPool& pool,
                 const std::function<void(size_t, size_t)>& progress = {}) const;
  // The same list from random numbers: element i of tensor NAME is dummy_mean + dummy_stddev *
  // hash_normal(hash_name(NAME), i) in double, rounded to fp32 and then to `dtype` (f32, f16 or
  // bf16). Bit-identical to a checkpoint that tools/hash_random.py writes. Loads that have `absent`
  // are taken as absent.
  // With `on_device` matrices come as a recipe (LoadedSlice::dummy), and loads run on this thread.
  Status execute_dummy(DType dtype, ThreadPool& pool, bool on_device = false) const;

  const std::vector<Load>& loads() const { return loads_; }

 private:
  std::vector<Load> loads_;
  std::vector<std::string> ignored_;
};

// A place in the checkpoint's name tree: Weights(plan) / "model" / "layers" / 3 / "self_attn".
class Weights {
 public:
  explicit Weights(LoadPlan& plan, std::string prefix = {})
      : plan_(&plan), prefix_(std::move(prefix)) {}

  Weights operator/(std::string_view name) const {
    return Weights(*plan_, prefix_.empty() ? std::string(name) : prefix_ + "." + std::string(name));
  }
  Weights operator/(int index) const { return *this / std::to_string(index); }
  const std::string& name() const { return prefix_; }
  LoadPlan& plan() const { return *plan_; }

 private:
  LoadPlan* plan_;
  std::string prefix_;
};

}  // namespace lmdeploy
