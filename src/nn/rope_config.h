// RopeConfig: a rotary embedding as a model's configuration describes it, and its frequencies.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config_reader.h"

namespace lmdeploy {

// Bounds of what divides a frequency: far outside of what models have, far inside of what fp32 holds.
constexpr double kLeastRopeFactor = 1e-6, kLargestRopeFactor = 1e6;
// A base of frequencies must be more than 1: the frequencies fall with the dimension.
constexpr double kLeastRopeTheta = 1.001, kLargestRopeTheta = 1e12;

// kDoublings: Qwen v1's dynamic NTK, whose base has one value for each doubling of the context.
enum class RopeType : uint8_t { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLongrope, kDoublings };

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  int rotary_dim = 0;  // leading dimensions of a head that are rotated; even
  double theta = 10000.0;
  double factor = 1.0;
  int64_t max_position = 0;           // max_position_embeddings
  bool max_position_scaled = false;   // a linear factor is in max_position already (Gemma 3)
  // llama3, yarn, longrope, doublings: context of the pretraining.
  int64_t original_max_position = 0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0, beta_slow = 1.0;              // yarn
  bool truncate = true;                                  // yarn: whole dimensions bound the ramp
  std::vector<double> short_factor, long_factor;         // longrope, [rotary_dim / 2]
  float attention_scale = 1.0f;                          // multiplies cos and sin

  // Longest context that the model is meant for with this scaling.
  int64_t usable_positions() const;
  // Whether frequencies depend on the length of a sequence's prompt, so that sequences may differ in
  // them and must not share keys.
  bool by_length() const {
    return type == RopeType::kDynamic || type == RopeType::kLongrope ||
           type == RopeType::kDoublings;
  }
};

// Reads rope_theta, rope_scaling, partial_rotary_factor and max_position_embeddings in their
// classic spelling (checkpoint.h). Every problem (an unknown type, a factor list of the wrong
// length, a number out of its range) goes to `reader`.
RopeConfig read_rope_config(ConfigReader& reader, int head_dim, double default_theta = 10000.0);

// What yarn multiplies by against the flatter softmax of contexts `factor` times as long
// (arXiv 2309.00071 section 3.4), its strength scaled by `mscale`.
double yarn_mscale(double factor, double mscale);

// theta_i [rotary_dim / 2] for a sequence whose rotation is fixed by `length` tokens
// (models.md 1.4): dynamic NTK stretches the base and longrope takes its long factors by it, the
// others do not look.
std::vector<float> rope_frequencies(const RopeConfig& config, int64_t length);

}  // namespace lmdeploy
