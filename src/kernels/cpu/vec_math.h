// exp, sigmoid, tanh, normal tail and sine/cosine of vectors, in fp32, within about 2 ulp of the
// exact value. V is an F32Vec (vec_avx2.h, vec_avx512.h). Polynomials: least squares on Chebyshev
// nodes.
#pragma once

namespace lmdeploy::cpu {

// Below, e^x is 0 here: subnormal numbers cost hundreds of cycles each.
constexpr float kLeastExponent = -87.0f;

// e^x split as 2^n (1 + p): x = n ln 2 + r, p = e^r - 1 for |r| <= ln(2) / 2.
template <class V>
struct ExpParts {
  V n, p;
};

// For x between kLeastExponent and 89.
template <class V>
inline ExpParts<V> exp_parts_within(V x) {
  const V n = (x * V::all(1.44269504f)).round();
  V r = fnma(n, V::all(0.693359375f), x);  // n times 9 bits of ln 2: exact
  r = fnma(n, V::all(-2.12194440e-4f), r);
  V q = V::all(0.00139336525f);
  q = fma(q, r, V::all(0.00836318154f));
  q = fma(q, r, V::all(0.0416664649f));
  q = fma(q, r, V::all(0.16666577f));
  q = fma(q, r, V::all(0.5f));
  return {n, fma(q * r, r, r)};
}

template <class V>
inline ExpParts<V> exp_parts(V x) {
  // Beyond: inf; NaN stays.
  return exp_parts_within(V::max(V::all(kLeastExponent), V::min(V::all(89.0f), x)));
}

template <class V>
inline V exp(V x) {
  const ExpParts<V> e = exp_parts(x);
  const V power = (V::all(1.0f) + e.p).scale_by_power(e.n);
  return V::select_less(x, V::all(kLeastExponent), V::zero(), power);
}

template <class V>
inline V sigmoid(V x) {
  const V least = V::all(kLeastExponent);  // of both signs: the sum below stays finite
  const ExpParts<V> e =
      exp_parts_within(V::max(least, V::min(V::zero() - least, V::zero() - x)));
  return (V::all(1.0f) + (V::all(1.0f) + e.p).scale_by_power(e.n)).reciprocal();
}

// (e^2x - 1) / (e^2x + 1), the numerator without cancellation.
template <class V>
inline V tanh(V x) {
  const V limit = V::all(10.0f);
  const V two_x = V::all(2.0f) * V::max(V::zero() - limit, V::min(limit, x));
  const ExpParts<V> e = exp_parts(two_x);
  const V power = V::all(1.0f).scale_by_power(e.n);
  const V minus_one = fma(power, e.p, power - V::all(1.0f));
  return minus_one / (minus_one + V::all(2.0f));
}

// The upper tail of the normal distribution, erfc(x / sqrt 2) / 2, for x >= 0: with z = x / sqrt 2
// it is e^(-z^2) t P(t) / 2, t = 2 / (2 + z). The exponent is carried in two floats.
template <class V>
inline V normal_tail(V x) {
  const V t = V::all(2.0f) / fma(x, V::all(0.707106781f), V::all(2.0f));
  V p = V::all(0.0161138230f);
  p = fma(p, t, V::all(-0.142662793f));
  p = fma(p, t, V::all(0.471061587f));
  p = fma(p, t, V::all(-0.721241389f));
  p = fma(p, t, V::all(0.45952307f));
  p = fma(p, t, V::all(-0.116423850f));
  p = fma(p, t, V::all(0.23094691f));
  p = fma(p, t, V::all(0.237668728f));
  p = fma(p, t, V::all(0.282953348f));
  p = fma(p, t, V::all(0.282060558f));
  const V half = V::all(0.5f);
  const V square = x * x;
  const V rest = fma(x, x, V::zero() - square) * half;
  const V e = exp(V::zero() - square * half);
  return fnma(e, rest, e) * t * p * half;
}

// Sine and cosine; |x| up to about 1e6 (pi / 2 is subtracted in three parts, exactly in the first).
template <class V>
inline void sine_cosine(V x, V& sine, V& cosine) {
  const V n = (x * V::all(0.636619772f)).round();
  V r = fnma(n, V::all(1.57079637f), x);
  r = fnma(n, V::all(-4.37113883e-8f), r);
  r = fnma(n, V::all(-1.71512451e-15f), r);
  const V z = r * r;
  V s = fma(V::all(-1.95874463e-4f), z, V::all(8.3327463e-3f));
  s = fma(s, z, V::all(-0.166666647f));
  V c = fma(V::all(2.45474867e-5f), z, V::all(-1.38883010e-3f));
  c = fma(c, z, V::all(0.0416666646f));
  V::place_quadrant(n, fma(s * z, r, r), fma(z * z, c, fnma(z, V::all(0.5f), V::all(1.0f))), sine,
                    cosine);
}

}  // namespace lmdeploy::cpu
