#include "tests/models/batch_runner.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace lmdeploy {
namespace {

// The memory behind a Batch.
struct BatchStorage {
  Device device;
  std::vector<int32_t> tokens, positions, rows, query_start{0}, kv_len, rope_len, logit_rows;
  std::vector<std::vector<int32_t>> tables;
  std::vector<std::vector<int64_t>> slots;
  std::vector<Tensor> copies;  // on the device

  template <class T>
  TensorView view_of(std::vector<T>& values, DType dtype, Shape shape) {
    if (device.is_cpu()) return TensorView(values.data(), dtype, shape);
    Tensor& copy = copies.emplace_back(shape, dtype, device);
    device_copy(device, copy.view().raw(), {}, values.data(), copy.bytes());
    return copy;
  }

  Batch view(int max_query, int64_t max_blocks) {
    const int64_t count = static_cast<int64_t>(tokens.size());
    const int64_t sequences = static_cast<int64_t>(kv_len.size());
    Batch batch;
    batch.num_tokens = static_cast<int>(count);
    batch.num_sequences = static_cast<int>(sequences);
    batch.max_query_len = max_query;
    batch.max_kv_len = *std::max_element(kv_len.begin(), kv_len.end());
    batch.token_ids = view_of(tokens, DType::kI32, Shape{count});
    batch.positions = view_of(positions, DType::kI32, Shape{count});
    batch.token_rows = view_of(rows, DType::kI32, Shape{count});
    batch.query_start = view_of(query_start, DType::kI32, Shape{sequences + 1});
    batch.kv_len = view_of(kv_len, DType::kI32, Shape{sequences});
    batch.rope_len = view_of(rope_len, DType::kI32, Shape{sequences});
    const auto wanted = static_cast<int64_t>(logit_rows.size());
    batch.logit_rows = view_of(logit_rows, DType::kI32, Shape{wanted});
    for (size_t g = 0; g < tables.size(); ++g) {
      batch.groups.push_back({view_of(tables[g], DType::kI32, Shape{sequences, max_blocks}),
                              view_of(slots[g], DType::kI64, Shape{count})});
    }
    return batch;
  }
};

}  // namespace

int32_t arg_max(std::span<const float> values) {
  return static_cast<int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

BatchRunner::BatchRunner(CausalLm& model, Stream& stream, Options options)
    : model_(model),
      scratch_(stream.device()),
      ctx_{stream, scratch_, options.batch_invariant, options.ranks},
      kv_(model.info().kv_groups, options.block_tokens, options.num_blocks, options.kv_dtype,
          stream.device()),
      last_rows_(options.last_rows),
      free_(static_cast<size_t>(options.num_blocks)) {
  std::iota(free_.begin(), free_.end(), 0);
  for (size_t i = free_.size(); i > 1; --i) {
    std::swap(free_[i - 1], free_[hash_random(options.shuffle_seed, i) % i]);
  }
  for (int32_t page : free_) kv_.poison_page(page);
}

void BatchRunner::grow(SequenceState& sequence, int length) {
  sequence.pages.resize(kv_.groups().size());
  const int bt = kv_.block_tokens();
  for (std::vector<int32_t>& pages : sequence.pages) {
    while (static_cast<int>(pages.size()) * bt < length) {
      CHECK(!free_.empty(), "the test's KV cache is full");
      pages.push_back(free_.back());
      free_.pop_back();
    }
  }
}

void BatchRunner::free_behind_windows(SequenceState& sequence) {
  for (size_t g = 0; g < kv_.groups().size(); ++g) {
    const int window = kv_.groups()[g].window;
    if (window == 0) continue;
    for (size_t block = 0; block < sequence.pages[g].size(); ++block) {
      const int last = static_cast<int>(block + 1) * kv_.block_tokens() - 1;
      int32_t& page = sequence.pages[g][block];
      if (page < 0 || last > sequence.length - window) continue;  // the next token may see it
      kv_.poison_page(page);
      free_.insert(free_.begin(), page);
      page = -1;
    }
  }
}

std::vector<std::vector<float>> BatchRunner::step(std::span<const Feed> feeds) {
  BatchStorage storage{.device = ctx_.stream.device()};
  int max_query = 0;
  size_t max_blocks = 0;
  for (const Feed& feed : feeds) {
    SequenceState& sequence = sequences_[feed.sequence];
    const int count = static_cast<int>(feed.tokens.size());
    if (sequence.rope_len == 0) sequence.rope_len = count;
    grow(sequence, sequence.length + count);
    max_query = std::max(max_query, count);
    max_blocks = std::max(max_blocks, sequence.pages[0].size());
  }
  const size_t groups = kv_.groups().size();
  storage.tables.resize(groups);
  storage.slots.resize(groups);
  for (const Feed& feed : feeds) {
    SequenceState& sequence = sequences_[feed.sequence];
    const int end = sequence.length + static_cast<int>(feed.tokens.size());
    for (int32_t token : feed.tokens) {
      const int position = sequence.length++;
      if (feed.wants_logits && (!last_rows_ || position + 1 == end)) {
        storage.logit_rows.push_back(static_cast<int32_t>(storage.tokens.size()));
      }
      storage.tokens.push_back(token);
      storage.positions.push_back(position);
      storage.rows.push_back(static_cast<int32_t>(storage.kv_len.size()));
      for (size_t g = 0; g < groups; ++g) {
        const int64_t page = sequence.pages[g][static_cast<size_t>(position / kv_.block_tokens())];
        storage.slots[g].push_back(page * kv_.block_tokens() + position % kv_.block_tokens());
      }
    }
    for (size_t g = 0; g < groups; ++g) {
      std::vector<int32_t> row = sequence.pages[g];
      row.resize(max_blocks, -1);
      storage.tables[g].insert(storage.tables[g].end(), row.begin(), row.end());
    }
    storage.query_start.push_back(static_cast<int32_t>(storage.tokens.size()));
    storage.kv_len.push_back(sequence.length);
    storage.rope_len.push_back(sequence.rope_len);
  }
  const Batch batch = storage.view(max_query, static_cast<int64_t>(max_blocks));
  const ModelInfo& info = model_.info();
  const Device device = storage.device;
  const int64_t wanted = batch.logit_rows.dim(0);
  Tensor hidden(Shape{wanted, info.hidden_size}, info.activations, device);
  Tensor device_logits(Shape{wanted, info.vocab_size}, DType::kF32, device);
  scratch_.poison();
  model_.forward(ctx_, batch, kv_, hidden);
  ctx_.stream.synchronize();
  scratch_.poison();
  if (wanted > 0) model_.logits(ctx_, hidden, device_logits);
  ctx_.stream.synchronize();
  Tensor logits(device_logits.shape(), DType::kF32);
  device_copy({}, logits.view().raw(), device, device_logits.view().raw(), logits.bytes());
  for (const Feed& feed : feeds) free_behind_windows(sequences_[feed.sequence]);
  std::vector<std::vector<float>> rows;
  for (int64_t r = 0; r < wanted; ++r) {
    const float* row = logits.view().row<float>(r);
    rows.emplace_back(row, row + info.vocab_size);
  }
  return rows;
}

std::vector<std::vector<float>> BatchRunner::step(int sequence, std::vector<int32_t> tokens) {
  const Feed feed{sequence, std::move(tokens)};
  return step({&feed, 1});
}

std::vector<std::vector<float>> BatchRunner::prefill(int sequence, std::span<const int32_t> tokens,
                                                     int chunk) {
  sequences_[sequence].rope_len = static_cast<int>(tokens.size());
  const size_t size = chunk == 0 ? tokens.size() : static_cast<size_t>(chunk);
  std::vector<std::vector<float>> all;
  for (size_t begin = 0; begin < tokens.size(); begin += size) {
    const auto part = tokens.subspan(begin, std::min(size, tokens.size() - begin));
    const Feed feed{sequence, {part.begin(), part.end()},
                    !last_rows_ || begin + part.size() == tokens.size()};
    for (std::vector<float>& row : step({&feed, 1})) {
      all.push_back(std::move(row));
    }
  }
  return all;
}

std::vector<int32_t> BatchRunner::greedy(int sequence, std::vector<float> logits, int count) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) {
    tokens.push_back(arg_max(logits));
    if (i + 1 < count) logits = step(sequence, {tokens.back()}).front();
  }
  return tokens;
}

}  // namespace lmdeploy
