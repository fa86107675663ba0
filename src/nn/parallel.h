// Parallel: this rank's place in a tensor-parallel group. Modules cut their loads by it.
#pragma once

#include <cstdint>

#include "base/check.h"

namespace lmdeploy {

struct Parallel {
  int rank = 0;
  int size = 1;

  // This rank's part of `whole`, which must divide evenly: configurations are checked before
  // modules are built.
  int64_t share(int64_t whole) const {
    CHECK(whole % size == 0, "{} cannot be split over {} ranks", whole, size);
    return whole / size;
  }
  int64_t begin(int64_t whole) const { return share(whole) * rank; }

  // This rank's rows [begin, begin + count) of a matrix whose rows need not divide evenly (a
  // vocabulary).
  struct Rows {
    int64_t begin, count;
  };
  Rows rows_of(int64_t whole) const {
    const int64_t begin = whole * rank / size;
    return {begin, whole * (rank + 1) / size - begin};
  }

  // The same of KV heads: where there are fewer than ranks, size / heads neighbours share one.
  int64_t share_heads(int64_t heads) const { return heads < size ? 1 : share(heads); }
  int64_t begin_head(int64_t heads) const {
    if (heads >= size) return begin(heads);
    CHECK(heads > 0 && size % heads == 0, "{} heads cannot be shared by {} ranks", heads, size);
    return rank / (size / heads);
  }
};

}  // namespace lmdeploy
