// How checkpoints store the matrices of experts, and what a rank reads of them.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/load_plan.h"
#include "nn/build_options.h"

namespace lmdeploy {

enum class ExpertForm : uint8_t {
  kSeparate,  // experts.N.GATE.weight [I, H], experts.N.UP.weight, experts.N.DOWN.weight [H, I]
  kStacked,   // experts.GATE [E, 2 I, H]: gate's rows, then up's; experts.DOWN [E, H, I]
  // experts.GATE and experts.UP [E * I, H], and experts.DOWN [E * I, H]: down transposed (DBRX)
  kRows,
  // experts.GATE [E, H, 2 I]: columns gate, up, gate, up, ...; experts.DOWN [E, I, H] (gpt-oss)
  kInputFirst,
  // experts.GATE_blocks [E, 2 I, H / 32, 16] and _scales [E, 2 I, H / 32]: rows gate, up, ...;
  // experts.DOWN_blocks [E, H, I / 32, 16] and _scales (gpt-oss as published: quant/mxfp4.h)
  kMxfp4,
};

struct ExpertNames {
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
};

// The experts of a layer: sizes over all ranks, and this rank's columns of an expert.
struct ExpertShape {
  int experts = 0;
  int64_t hidden = 0, size = 0;  // H, I
  int64_t begin = 0, count = 0;  // the rank has elements [begin, begin + count) of I
};

// Slices that load_matrix takes, and what they point to.
struct ExpertSlices {
  std::vector<LoadedSlice> slices;
  std::vector<std::vector<int32_t>> orders;
  std::vector<std::byte> storage;
};

// Of one form: what a load of an expert's matrix reads, and how that becomes the rank's
// rows gate [count, H] and up [count, H], or down [H, count].
class ExpertReader {
 public:
  // `weights`: where "experts" is.
  ExpertReader(const Weights& weights, ExpertForm form, ExpertNames names, ExpertShape shape);

  std::vector<LoadSource> gate_up_sources(int expert) const;
  std::vector<LoadSource> down_sources(int expert) const;
  Result<ExpertSlices> gate_up(std::span<const LoadedSlice> loaded) const;
  Result<ExpertSlices> down(std::span<const LoadedSlice> loaded) const;
  // The slices without their data, for packed_load_bytes().
  std::vector<LoadedSlice> shapes(bool of_down, DType stored) const;

  // Interleaved forms alone: experts.GATE_bias [E, 2 I] and experts.DOWN_bias [E, H].
  LoadSource gate_up_bias() const;
  LoadSource down_bias() const;

  const ExpertShape& shape() const { return shape_; }
  // "PREFIX.experts", for messages.
  const std::string& name() const { return prefix_; }

 private:
  LoadSource source(const std::string& name, Shape whole, int64_t row_begin, int64_t rows) const;
  LoadSource separate(int expert, const std::string& name, bool of_down) const;
  Result<ExpertSlices> dequantized(std::span<const LoadedSlice> loaded, int64_t first_row,
                                   int64_t rows, int64_t columns) const;

  ExpertForm form_;
  ExpertNames names_;
  ExpertShape shape_;
  std::string prefix_;
};

}  // namespace lmdeploy
