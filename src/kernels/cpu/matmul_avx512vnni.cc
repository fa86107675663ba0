#include "kernels/cpu/matmul_int8_panels.h"
#include "kernels/cpu/matmul_vector_avx512.h"

namespace lmdeploy::cpu {

namespace {

struct Avx512Vnni : Avx512Vector {
  static constexpr bool kSignedBytes = false;
  template <int Bits, int Steps>
  static __m512i dot(const __m512i* codes, const int8_t* x, int32_t start) {
    __m512i sum = _mm512_set1_epi32(start);
    for (int s = 0; s < Steps; ++s) sum = _mm512_dpbusd_epi32(sum, codes[s], broadcast4(x + 4 * s));
    return sum;
  }
};

}  // namespace

void int8_panels_avx512vnni(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                            int64_t begin, int64_t end) {
  multiply_int8<Avx512Vnni>(w, x, out, begin, end);
}

}  // namespace lmdeploy::cpu
