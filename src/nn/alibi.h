// ALiBi: attention with linear biases in the place of a rotation.
#pragma once

#include <vector>

namespace lmdeploy {

// Slope of each head (models.md 1.5): for a power of two n, 2^(-8 (k + 1) / n); beyond it, the
// even-numbered slopes of twice that power.
std::vector<float> alibi_slopes(int heads);

}  // namespace lmdeploy
