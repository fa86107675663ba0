// A small paged cache in scattered pages, poisoned with NaN bits, and the fp64 values put into it.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/paged_kv.h"
#include "tests/kernels/op_test_support.h"
#include "tests/support/kv_block.h"

namespace lmdeploy::test {

struct KvShape {
  int kv_heads = 2;
  int head_dim = 64;
  int block_tokens = 64;
  DType dtype = DType::kF32;
  int latent_dim = 0;  // above 0: V is in K

  int stored_heads() const { return latent_dim > 0 ? kv_heads : 2 * kv_heads; }
};

class PagedKvFixture {
 public:
  PagedKvFixture(KvShape shape, std::vector<int> lengths)
      : shape_(shape), lengths_(std::move(lengths)) {
    int blocks = 0, most = 1;
    for (int length : lengths_) {
      const int needed = (length + shape.block_tokens - 1) / shape.block_tokens;
      blocks += needed;
      most = std::max(most, needed);
    }
    const size_t head_bytes =
        static_cast<size_t>(dtype_bytes(shape.dtype, int64_t{shape.block_tokens} * shape.head_dim));
    const size_t layer_bytes = head_bytes * static_cast<size_t>(shape.stored_heads());
    kv_ = {.page_bytes = 2 * layer_bytes,
           .layer_offset = layer_bytes,  // layer 1 of 2
           .block_tokens = shape.block_tokens,
           .kv_heads = shape.kv_heads,
           .head_dim = shape.head_dim,
           .latent_dim = shape.latent_dim,
           .dtype = shape.dtype};
    pages_ = Tensor(Shape{static_cast<int64_t>(kv_.page_bytes) * (blocks + 2)}, DType::kU8);
    std::memset(pages_.view().raw(), 0xFF, pages_.bytes());
    kv_.pages = pages_.data<std::byte>();
    table_ = Tensor(Shape{static_cast<int64_t>(lengths_.size()), most}, DType::kI32);
    int page = blocks;  // handed out backwards: neighbours in a table are not neighbours in memory
    for (size_t b = 0; b < lengths_.size(); ++b) {
      int32_t* row = table_.view().row<int32_t>(static_cast<int64_t>(b));
      for (int i = 0; i < most; ++i) {
        row[i] = i * shape.block_tokens < lengths_[b] ? page-- : -1;
      }
    }
  }

  const PagedKv& kv() const { return kv_; }
  const Tensor& table() const { return table_; }
  const Tensor& pages() const { return pages_; }
  const std::vector<int>& lengths() const { return lengths_; }

  // Stores K or V (head >= kv_heads: V of head - kv_heads), rounded to the cache's type.
  void put(int sequence, int token, int head, int i, float value) {
    std::byte* block = block_of(sequence, token, head);
    const int at = token % shape_.block_tokens * shape_.head_dim + i;
    if (shape_.dtype == DType::kF32) reinterpret_cast<float*>(block)[at] = value;
    if (shape_.dtype == DType::kF16) reinterpret_cast<f16*>(block)[at] = to_f16(value);
    if (shape_.dtype == DType::kBF16) reinterpret_cast<bf16*>(block)[at] = to_bf16(value);
  }
  float get(int sequence, int token, int head, int i) const {
    const std::byte* block = block_of(sequence, token, head);
    const int at = token % shape_.block_tokens * shape_.head_dim + i;
    if (shape_.dtype == DType::kF32) return reinterpret_cast<const float*>(block)[at];
    if (shape_.dtype == DType::kF16) return to_float(reinterpret_cast<const f16*>(block)[at]);
    return to_float(reinterpret_cast<const bf16*>(block)[at]);
  }
  // K normal with `k_stddev`; V normal plus a per-position offset.
  void fill(double k_stddev) {
    for (size_t b = 0; b < lengths_.size(); ++b) {
      for (int token = 0; token < lengths_[b]; ++token) {
        for (int head = 0; head < shape_.stored_heads(); ++head) {
          const bool is_v = head >= shape_.kv_heads;
          for (int i = 0; i < shape_.head_dim; ++i) {
            const uint64_t at =
                (static_cast<uint64_t>(token) * 64 + static_cast<uint64_t>(head)) * 512 +
                static_cast<uint64_t>(i);
            const double normal = hash_normal(100 + b, at);
            put(static_cast<int>(b), token, head, i,
                static_cast<float>(is_v ? normal + 0.01 * (token % 512) : normal * k_stddev));
          }
        }
      }
    }
  }
  int64_t slot(int sequence, int token) const {
    return int64_t{page(sequence, token)} * shape_.block_tokens + token % shape_.block_tokens;
  }
  // Marks the blocks wholly before `token` as freed, and poisons them.
  void free_before(int sequence, int token) {
    int32_t* row = table_.view().row<int32_t>(sequence);
    for (int i = 0; (i + 1) * shape_.block_tokens <= token; ++i) {
      if (row[i] < 0) continue;
      std::memset(kv_.pages + static_cast<size_t>(row[i]) * kv_.page_bytes, 0xFF, kv_.page_bytes);
      row[i] = -1;
    }
  }

 private:
  int32_t page(int sequence, int token) const {
    return table_.view().row<int32_t>(sequence)[token / shape_.block_tokens];
  }
  std::byte* block_of(int sequence, int token, int head) const {
    return kv_block(kv_, page(sequence, token), head % shape_.stored_heads());
  }

  KvShape shape_;
  std::vector<int> lengths_;
  PagedKv kv_;
  Tensor pages_, table_;
};

}  // namespace lmdeploy::test
