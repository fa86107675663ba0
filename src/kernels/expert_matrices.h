// ExpertMatrices: one projection of all experts of a layer.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/packed_matrix.h"

namespace lmdeploy {

struct ExpertMatrices {
  int experts = 0;
  int64_t n = 0, k = 0;  // of one expert's matrix
  // CPU: a matrix [n, k] an expert. CUDA: one kRowMajor matrix [experts * n, k], an expert's rows
  // behind those of the one before.
  std::vector<PackedMatrix> parts;

  size_t bytes() const {
    size_t sum = 0;
    for (const PackedMatrix& part : parts) sum += part.storage.bytes();
    return sum;
  }
};

}  // namespace lmdeploy
