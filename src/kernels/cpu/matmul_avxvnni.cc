#include "kernels/cpu/matmul_int8_panels.h"
#include "kernels/cpu/matmul_vector_avx2.h"

namespace lmdeploy::cpu {

namespace {

struct AvxVnni : Avx2Vector {
  static constexpr bool kSignedBytes = false;
  template <int Bits, int Steps>
  static __m256i dot(const __m256i* codes, const int8_t* x, int32_t start) {
    __m256i sum = _mm256_set1_epi32(start);
    for (int s = 0; s < Steps; ++s) sum = _mm256_dpbusd_avx_epi32(sum, codes[s], broadcast4(x + 4 * s));
    return sum;
  }
};

}  // namespace

void int8_panels_avxvnni(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                         int64_t begin, int64_t end) {
  multiply_int8<AvxVnni>(w, x, out, begin, end);
}

}  // namespace lmdeploy::cpu
