// Communicator: one rank's end of a tensor-parallel group. Every rank calls the same operations in
// the same order with views of the same shape; results are the same on all ranks, to the bit.
//
// Thread-safety: one thread a rank.
#pragma once

#include <cstdint>

#include "tensor/stream.h"
#include "tensor/tensor.h"

namespace lmdeploy {

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // data [rows, columns] becomes the sum of all ranks' data, added up in the order of the ranks.
  virtual void all_reduce(Stream& stream, const TensorView& data) = 0;

  // data [rows, columns], whose columns [begin, end) this rank has filled and the other ranks the
  // rest: afterwards all have all.
  virtual void all_gather_columns(Stream& stream, const TensorView& data, int64_t begin,
                                  int64_t end) = 0;
};

}  // namespace lmdeploy
