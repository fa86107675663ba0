#include "checkpoint/load_plan.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>

#include "base/check.h"
#include "base/random.h"
#include "checkpoint/dummy_weights.h"
#include "checkpoint/problem_list.h"

namespace lmdeploy {

namespace {

// A name, or a pattern with one '*' that stands for anything.
bool matches(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  const std::string_view head = pattern.substr(0, star), tail = pattern.substr(star + 1);
  return name.size() >= head.size() + tail.size() && name.starts_with(head) && name.ends_with(tail);
}

// A source with its extents resolved.
struct Slice {
  int64_t row_begin, rows, col_begin, cols;
  int64_t full_cols;
};

Slice resolve(const LoadSource& source) {
  const Shape& shape = source.shape;
  Slice slice{source.row_begin, source.row_count, source.col_begin, source.col_count, 1};
  const int64_t full_rows = shape.rank() == 0 ? 1 : shape[0];
  for (int axis = 1; axis < shape.rank(); ++axis) slice.full_cols *= shape[axis];
  if (slice.rows < 0) slice.rows = full_rows - slice.row_begin;
  if (slice.cols < 0) slice.cols = slice.full_cols - slice.col_begin;
  CHECK(slice.row_begin >= 0 && slice.rows >= 0 && slice.row_begin + slice.rows <= full_rows,
        "rows [{}, +{}) of {} {}", slice.row_begin, slice.rows, source.tensor, shape.to_string());
  CHECK(slice.col_begin >= 0 && slice.cols >= 0 && slice.col_begin + slice.cols <= slice.full_cols,
        "columns [{}, +{}) of {} {}", slice.col_begin, slice.cols, source.tensor,
        shape.to_string());
  return slice;
}

bool is_absent(const Load& load, const Checkpoint& checkpoint) {
  return load.absent != nullptr &&
         std::none_of(load.sources.begin(), load.sources.end(), [&](const LoadSource& source) {
           return checkpoint.find(source.tensor) != nullptr;
         });
}

void check_source(const Load& load, const LoadSource& source, const Checkpoint& checkpoint,
                  ProblemList& problems) {
  const TensorRecord* record = checkpoint.find(source.tensor);
  if (record == nullptr) {
    problems.add("tensor '{}' is missing (needed by {})", source.tensor, load.name);
    return;
  }
  if (!(record->shape == source.shape)) {
    const std::string origin = record->source == record->name || record->source.empty()
                                   ? std::string()
                                   : fmt::format(" ('{}' in the file)", record->source);
    problems.add("tensor '{}'{} has shape {}; the configuration says {}", source.tensor, origin,
                 record->shape.to_string(), source.shape.to_string());
    return;
  }
  const Slice slice = resolve(source);
  const int64_t block = dtype_info(record->dtype).block_elems;
  if (slice.col_begin % block != 0 || slice.cols % block != 0) {
    problems.add("tensor '{}' is {}: columns [{}, {}) cut its blocks of {}", source.tensor,
                 dtype_name(record->dtype), slice.col_begin, slice.col_begin + slice.cols, block);
  }
}

// What load.store() would be given, but for the data, from tensors of one type.
std::vector<LoadedSlice> dummy_slices(const Load& load, DType dtype) {
  std::vector<LoadedSlice> slices;
  for (const LoadSource& source : load.sources) {
    const Slice slice = resolve(source);
    slices.push_back({dtype, slice.rows, slice.cols, nullptr,
                      static_cast<size_t>(dtype_bytes(dtype, slice.cols)), kBakedNothing,
                      source.transposed});
  }
  return slices;
}

size_t stored_bytes(const Load& load, std::span<const LoadedSlice> slices) {
  if (load.bytes) return load.bytes(slices);
  size_t bytes = 0;
  for (const LoadedSlice& slice : slices) {
    bytes += static_cast<size_t>(slice.rows * slice.cols) * sizeof(float);
  }
  return bytes;
}

const TensorRecord& record_of(const LoadSource& source, const Checkpoint& checkpoint) {
  const TensorRecord* record = checkpoint.find(source.tensor);
  CHECK(record != nullptr && record->shape == source.shape, "{} was not checked", source.tensor);
  return *record;
}

// What load.store() will be given, but for the data.
std::vector<LoadedSlice> planned_slices(const Load& load, const Checkpoint& checkpoint) {
  std::vector<LoadedSlice> slices;
  for (const LoadSource& source : load.sources) {
    const TensorRecord& record = record_of(source, checkpoint);
    const Slice slice = resolve(source);
    slices.push_back({record.dtype, slice.rows, slice.cols, nullptr,
                      static_cast<size_t>(dtype_bytes(record.dtype, slice.full_cols)), record.baked,
                      source.transposed});
    slices.back().scales = record.scales;
    slices.back().scales.first_row = slice.row_begin;
    slices.back().scales.first_column = slice.col_begin;
  }
  return slices;
}

// The same with the data.
std::vector<LoadedSlice> read_slices(const Load& load, const Checkpoint& checkpoint) {
  std::vector<LoadedSlice> slices = planned_slices(load, checkpoint);
  for (size_t i = 0; i < slices.size(); ++i) {
    const TensorRecord& record = record_of(load.sources[i], checkpoint);
    const Slice part = resolve(load.sources[i]);
    const std::byte* rows =
        record.data + static_cast<size_t>(part.row_begin) * slices[i].row_bytes;
    checkpoint.prefault(rows, static_cast<size_t>(part.rows) * slices[i].row_bytes);
    slices[i].data = rows + dtype_bytes(record.dtype, part.col_begin);
  }
  return slices;
}

// How many loads have yet to read each tensor: the last one lets its pages go.
class PageReleaser {
 public:
  PageReleaser(const Checkpoint& checkpoint, const std::vector<const Load*>& loads)
      : checkpoint_(checkpoint) {
    for (const Load* load : loads) {
      for (const LoadSource& source : load->sources) ++uses_[checkpoint.find(source.tensor)];
    }
  }

  void consumed(const TensorRecord* record) {
    if (uses_.find(record)->second.fetch_sub(1) == 1)
      checkpoint_.release(record->data, record->bytes);
  }

  // Pages that hold the end of one tensor and the beginning of the next lie wholly inside neither,
  // and the kernel maps pages around a touched one. Gives back whole runs of neighbours.
  void release_runs() const {
    constexpr ptrdiff_t kLargestGap = 4096;
    std::vector<const TensorRecord*> records;
    for (const auto& [record, uses] : uses_) records.push_back(record);
    std::sort(records.begin(), records.end(),
              [](const TensorRecord* a, const TensorRecord* b) { return a->data < b->data; });
    for (size_t first = 0; first < records.size();) {
      const std::byte* end = records[first]->data + records[first]->bytes;
      size_t next = first + 1;
      while (next < records.size() && records[next]->data - end <= kLargestGap) {
        end = std::max(end, records[next]->data + records[next]->bytes);
        ++next;
      }
      checkpoint_.release(records[first]->data, static_cast<size_t>(end - records[first]->data));
      first = next;
    }
  }

 private:
  const Checkpoint& checkpoint_;
  std::map<const TensorRecord*, std::atomic<int>> uses_;
};

// Calls progress(done, total) each time another whole percent is done.
class Progress {
 public:
  Progress(size_t total, const std::function<void(size_t, size_t)>& report)
      : total_(std::max<size_t>(total, 1)), report_(report) {}
  void add(size_t bytes) {
    const size_t before = done_.fetch_add(bytes);
    const size_t after = before + bytes;
    if (report_ && percent(before) != percent(after)) report_(after, total_);
  }

 private:
  size_t percent(size_t bytes) const {
    return static_cast<size_t>(static_cast<double>(bytes) / static_cast<double>(total_) * 100.0);
  }
  size_t total_;
  std::atomic<size_t> done_{0};
  const std::function<void(size_t, size_t)>& report_;
};

size_t slice_bytes(const LoadedSlice& slice) {
  return static_cast<size_t>(slice.rows * dtype_bytes(slice.dtype, slice.cols));
}

// Runs `run(load)` for every load on the pool, the largest first so that the threads end together,
// and joins what went wrong into one status.
Status run_all(std::vector<const Load*> loads, ThreadPool& pool, std::string_view what,
               const std::function<Status(const Load&)>& run) {
  const auto elements = [](const Load* load) {
    int64_t sum = 0;
    for (const LoadSource& source : load->sources) {
      const Slice slice = resolve(source);
      sum += slice.rows * slice.cols;
    }
    return sum;
  };
  std::stable_sort(loads.begin(), loads.end(),
                   [&](const Load* a, const Load* b) { return elements(a) > elements(b); });
  std::vector<Status> results(loads.size());
  pool.parallel_dynamic(static_cast<int64_t>(loads.size()), [&](int64_t i) {
    results[static_cast<size_t>(i)] = run(*loads[static_cast<size_t>(i)]);
  });
  ProblemList problems;
  StatusCode code = StatusCode::kDataLoss;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].ok()) continue;
    code = results[i].code();
    problems.add("{}: {}", loads[i]->name, results[i].message());
  }
  return problems.status(code, what);
}

}  // namespace

Status LoadPlan::check(const Checkpoint& checkpoint) const {
  ProblemList problems;
  std::set<std::string_view> read, faulty;
  for (const Load& load : loads_) {
    for (const LoadSource& source : load.sources) read.insert(source.tensor);
    if (is_absent(load, checkpoint)) continue;
    for (const LoadSource& source : load.sources) {
      if (faulty.contains(source.tensor)) continue;  // which other slices of it are read says no more
      const size_t before = problems.size();
      check_source(load, source, checkpoint, problems);
      if (problems.size() > before) faulty.insert(source.tensor);
    }
  }
  for (const auto& [name, record] : checkpoint.tensors()) {
    const bool ignored =
        std::any_of(ignored_.begin(), ignored_.end(),
                    [&](const std::string& pattern) { return matches(pattern, name); });
    if (!ignored && !read.contains(name)) {
      problems.add("tensor '{}' {} {} is not part of the model that the configuration describes",
                   name, dtype_name(record.dtype), record.shape.to_string());
    }
  }
  return problems.status(StatusCode::kDataLoss, checkpoint.path());
}

size_t LoadPlan::bytes(const Checkpoint& checkpoint) const {
  size_t bytes = 0;
  for (const Load& load : loads_) {
    if (!is_absent(load, checkpoint)) bytes += stored_bytes(load, planned_slices(load, checkpoint));
  }
  return bytes;
}

size_t LoadPlan::dummy_bytes(DType dtype) const {
  size_t bytes = 0;
  for (const Load& load : loads_) {
    if (load.absent == nullptr) bytes += stored_bytes(load, dummy_slices(load, dtype));
  }
  return bytes;
}

Status LoadPlan::execute(const Checkpoint& checkpoint, ThreadPool& pool,
                         const std::function<void(size_t, size_t)>& progress) const {
  std::vector<const Load*> present;
  size_t total = 0;
  for (const Load& load : loads_) {
    if (is_absent(load, checkpoint)) {
      load.absent();
      continue;
    }
    present.push_back(&load);
    for (const LoadedSlice& slice : planned_slices(load, checkpoint)) total += slice_bytes(slice);
  }
  PageReleaser pages(checkpoint, present);
  Progress done(total, progress);
  const Status status = run_all(present, pool, checkpoint.path(), [&](const Load& load) {
    const std::vector<LoadedSlice> slices = read_slices(load, checkpoint);
    size_t bytes = 0;
    for (const LoadedSlice& slice : slices) bytes += slice_bytes(slice);
    Status stored = load.store(slices);
    for (const LoadSource& source : load.sources) pages.consumed(checkpoint.find(source.tensor));
    done.add(bytes);
    return stored;
  });
  pages.release_runs();
  return status;
}

namespace {

// Stores a load of random values; on a device, a matrix that is not transposed
// (a load with `bytes`: others read their values on the host) is a recipe.
Status store_dummy(const Load& load, DType dtype, bool on_device) {
  std::vector<std::vector<std::byte>> storage;
  std::vector<LoadedSlice> slices = dummy_slices(load, dtype);
  for (size_t i = 0; i < slices.size(); ++i) {
    const LoadSource& source = load.sources[i];
    const Slice slice = resolve(source);
    if (on_device && load.bytes && source.shape.rank() == 2 && !source.transposed) {
      slices[i].dummy = DummyValues{hash_name(source.tensor),
                                    slice.row_begin * slice.full_cols + slice.col_begin,
                                    slice.full_cols, load.dummy_mean, load.dummy_stddev};
      continue;
    }
    storage.push_back(dummy_values(
        source.tensor, dtype, load.dummy_mean, load.dummy_stddev,
        {slice.row_begin, slice.rows, slice.col_begin, slice.cols, slice.full_cols}));
    slices[i].data = storage.back().data();
  }
  return load.store(slices);
}

}  // namespace

Status LoadPlan::execute_dummy(DType dtype, ThreadPool& pool, bool on_device) const {
  if (!is_float(dtype)) {
    return invalid_argument("dummy weights cannot be {}; choose f32, f16 or bf16",
                            dtype_name(dtype));
  }
  std::vector<const Load*> present;
  for (const Load& load : loads_) {
    if (load.absent != nullptr) {
      load.absent();
    } else {
      present.push_back(&load);
    }
  }
  const auto store = [&](const Load& load) { return store_dummy(load, dtype, on_device); };
  if (!on_device) return run_all(present, pool, "dummy weights", store);
  for (const Load* load : present) RETURN_IF_ERROR(store(*load));
  return {};
}

}  // namespace lmdeploy
