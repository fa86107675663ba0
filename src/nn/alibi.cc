#include "nn/alibi.h"

#include <bit>
#include <cmath>

namespace lmdeploy {

std::vector<float> alibi_slopes(int heads) {
  const int power = static_cast<int>(std::bit_floor(static_cast<unsigned>(heads)));
  std::vector<float> slopes;
  for (int k = 0; k < power; ++k) {
    slopes.push_back(static_cast<float>(std::exp2(-8.0 * (k + 1) / power)));
  }
  for (int k = 0; static_cast<int>(slopes.size()) < heads; ++k) {
    slopes.push_back(static_cast<float>(std::exp2(-8.0 * (2 * k + 1) / (2.0 * power))));
  }
  return slopes;
}

}  // namespace lmdeploy
