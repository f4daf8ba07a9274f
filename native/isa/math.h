// exp, log and what is made of them: float32 by polynomials, within 4 ulp over the whole range, infinities and NaN
// included; float64, which serves gradient checks, by the C library.
#pragma once
#include "vector.h"

namespace {

// A whole number n, |n| < 2^22, as kRounder + n: rounding is adding it, and n stands in the last bits. No conversion, so
// a NaN does no harm on the way: what it is multiplied with does not matter.
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

// No more than a limit, and no less; a NaN stays one. One instruction that compilers make of no comparison.
#if defined(__AVX512F__) && ECHOIC_VECTOR_BYTES == 64
constexpr __mmask16 kAll = 0xffff;  // GCC 12 warns of what it has itself for no mask
ALWAYS VecFloat at_most(VecFloat x, float limit) {
    return (VecFloat)_mm512_maskz_min_ps(kAll, (__m512)same(limit), (__m512)x);
}
ALWAYS VecFloat at_least(VecFloat x, float limit) {
    return (VecFloat)_mm512_maskz_max_ps(kAll, (__m512)same(limit), (__m512)x);
}
#elif defined(__AVX2__) && ECHOIC_VECTOR_BYTES == 32
ALWAYS VecFloat at_most(VecFloat x, float limit) { return (VecFloat)_mm256_min_ps((__m256)same(limit), (__m256)x); }
ALWAYS VecFloat at_least(VecFloat x, float limit) { return (VecFloat)_mm256_max_ps((__m256)same(limit), (__m256)x); }
#elif defined(__SSE4_1__) && ECHOIC_VECTOR_BYTES == 16
ALWAYS VecFloat at_most(VecFloat x, float limit) { return (VecFloat)_mm_min_ps((__m128)same(limit), (__m128)x); }
ALWAYS VecFloat at_least(VecFloat x, float limit) { return (VecFloat)_mm_max_ps((__m128)same(limit), (__m128)x); }
#else
ALWAYS VecFloat at_most(VecFloat x, float limit) { return x > limit ? same(limit) : x; }
ALWAYS VecFloat at_least(VecFloat x, float limit) { return x < limit ? same(limit) : x; }
#endif

ALWAYS VecInt bits_of(VecFloat x) {
    VecInt bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
ALWAYS VecFloat from_bits(VecInt bits) {
    VecFloat x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

// 2^(n + more) for kRounder + n, where -126 <= n + more <= 127; unsigned, as the bits of a NaN may overflow.
ALWAYS VecFloat power_of_two(VecFloat shifted, int more = 0) {
    return from_bits((VecInt)(((VecBits)bits_of(shifted) << 23) + (uint32_t(127 + more) << 23)));
}

// x = n ln 2 + r with |r| <= ln 2 / 2; gives e^r - 1, and kRounder + n. The constants of Cody and Waite; the polynomial
// is Cephes', in parts that do not wait for each other.
ALWAYS VecFloat reduced_expm1(VecFloat x, VecFloat& shifted) {
    shifted = x * 1.44269504088896341f + kRounder;
    const VecFloat n = shifted - kRounder;
    VecFloat r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    const VecFloat square = r * r;
    const VecFloat last = r * 1.9875691500e-4f + 1.3981999507e-3f;
    const VecFloat middle = r * 8.3334519073e-3f + 4.1665795894e-2f;
    const VecFloat first = r * 1.6666665459e-1f + 5.0000001201e-1f;
    return ((last * square + middle) * square + first) * square + r;
}

ALWAYS VecFloat exp_of(VecFloat x) {
    const VecFloat bounded = at_least(at_most(x, 89.0f), -104.0f);
    VecFloat shifted;
    const VecFloat grown = reduced_expm1(bounded, shifted) + 1.0f;
    const VecInt whole = bits_of(shifted) - bits_of(same(kRounder)), half = whole >> 1;
    // in two steps for the smallest numbers
    return grown * from_bits((half + 127) << 23) * from_bits((whole - half + 127) << 23);
}

ALWAYS VecFloat expm1_of(VecFloat x) {
    const VecFloat bounded = at_least(at_most(x, 89.0f), -20.0f);
    VecFloat shifted;
    const VecFloat part = reduced_expm1(bounded, shifted), scale = power_of_two(shifted, -1);
    return (scale * part + (scale - 0.5f)) * 2.0f;
}

ALWAYS VecFloat abs_of(VecFloat x) { return from_bits(bits_of(x) & 0x7fffffff); }

// Of a magnitude that has no sign.
ALWAYS VecFloat with_sign(VecFloat magnitude, VecFloat sign) {
    return from_bits(bits_of(magnitude) | (bits_of(sign) & int32_t(0x80000000)));
}

ALWAYS VecFloat tanh_of(VecFloat x) {
    const VecFloat magnitude = at_most(abs_of(x), 10.0f);
    VecFloat shifted;
    const VecFloat part = reduced_expm1(magnitude + magnitude, shifted), scale = power_of_two(shifted);
    const VecFloat grown = scale * part + (scale - 1.0f);
    return with_sign(grown / (grown + 2.0f), x);
}

// 1 / (1 + z), z = e^-x. Held 2^-32 times as large z overflows for no result that is a number above zero.
ALWAYS VecFloat sigmoid_of(VecFloat x) {
    const VecFloat bounded = at_least(at_most(x, 60.0f), -104.0f);
    VecFloat shifted;
    const VecFloat part = reduced_expm1(-bounded, shifted), scale = power_of_two(shifted, -32);
    return 0x1p-32f / (scale * part + (scale + 0x1p-32f));
}

// Natural logarithm (Cephes' polynomial).
ALWAYS VecFloat log_of(VecFloat x) {
    const VecInt tiny = x < 1.17549435e-38f;
    const VecFloat scaled = tiny ? x * 8388608.0f : x;
    VecInt bits;
    __builtin_memcpy(&bits, &scaled, sizeof bits);
    VecInt exponent = ((bits >> 23) & 0xff) - 126;
    bits = (bits & 0x007fffff) | 0x3f000000;
    VecFloat m;
    __builtin_memcpy(&m, &bits, sizeof m);  // in [0.5, 1)
    const VecInt low = m < 0.707106781186547524f;
    exponent += low;  // a true lane is -1
    m = low ? m + m : m;
    m -= 1.0f;
    exponent -= tiny & 23;
    const VecFloat e = __builtin_convertvector(exponent, VecFloat), z = m * m;
    VecFloat p = m * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    VecFloat y = p * m * z;
    y += e * -2.12194440e-4f;
    y -= 0.5f * z;
    VecFloat result = m + y;
    result += e * 0.693359375f;
    result = x == __builtin_inff() ? x : result;
    result = x == 0.0f ? same(-__builtin_inff()) : result;
    return x < 0.0f ? same(__builtin_nanf("")) : (x == x ? result : x);
}

ALWAYS VecFloat log1p_of(VecFloat x) {
    const VecFloat u = 1.0f + x;
    const VecFloat l = log_of(u);
    VecFloat result = l * (x / (u - 1.0f));
    result = u == 1.0f ? x : result;
    result = x == __builtin_inff() ? x : result;
    return u == 0.0f ? same(-__builtin_inff()) : result;
}

ALWAYS VecFloat softplus_of(VecFloat x) {
    const VecFloat z = log1p_of(exp_of(-abs_of(x)));
    return (x < 0.0f ? VecFloat{} : x) + z;
}

// The error function: near zero x + x times a polynomial in x^2, further out 1 - e^-p with a polynomial p in |x|. Both are
// least-squares fits of our own, weighted until their largest errors were level.
ALWAYS VecFloat erf_of(VecFloat x) {
    const VecFloat t = at_most(abs_of(x), 4.0f), s = t * t;
    VecFloat near = s * 7.8891195333e-5f - 8.0208412804e-4f;
    near = near * s + 5.1895353394e-3f;
    near = near * s - 2.6854444592e-2f;
    near = near * s + 1.1283600176e-1f;
    near = near * s - 3.7612627136e-1f;
    near = near * s + 1.283791659e-1f;
    VecFloat far = t * 2.1686849905e-5f - 4.4133637642e-4f;
    far = far * t + 4.2045618701e-3f;
    far = far * t - 2.5208256726e-2f;
    far = far * t + 1.0841857731e-1f;
    far = far * t + 6.3321989311e-1f;
    far = far * t + 1.1295784243f;
    far = far * t - 1.8804022666e-4f;
    return t < 1.0f ? x + x * near : with_sign(1.0f - exp_of(-far), x);
}

ALWAYS VecFloat floor_of(VecFloat x) {
    const VecInt small = abs_of(x) < 8388608.0f;
    const VecFloat safe = small ? x : VecFloat{};
    VecFloat whole = __builtin_convertvector(__builtin_convertvector(safe, VecInt), VecFloat);
    whole = whole > safe ? whole - 1.0f : whole;
    return small ? with_sign(abs_of(whole), x < 0.0f ? same(-1.0f) : x) : x;
}

ALWAYS VecFloat sqrt_of(VecFloat x) {
    return each<float>(x, [](float v) { return __builtin_sqrtf(v); });
}
ALWAYS VecFloat sin_of(VecFloat x) {
    return each<float>(x, [](float v) { return __builtin_sinf(v); });
}
ALWAYS VecFloat cos_of(VecFloat x) {
    return each<float>(x, [](float v) { return __builtin_cosf(v); });
}

#define ECHOIC_BY_LIBRARY(name, function) \
    ALWAYS VecDouble name(VecDouble x) { \
        return each<double>(x, [](double v) { return function(v); }); \
    }
ECHOIC_BY_LIBRARY(exp_of, __builtin_exp)
ECHOIC_BY_LIBRARY(expm1_of, __builtin_expm1)
ECHOIC_BY_LIBRARY(log_of, __builtin_log)
ECHOIC_BY_LIBRARY(log1p_of, __builtin_log1p)
ECHOIC_BY_LIBRARY(tanh_of, __builtin_tanh)
ECHOIC_BY_LIBRARY(erf_of, __builtin_erf)
ECHOIC_BY_LIBRARY(floor_of, __builtin_floor)
ECHOIC_BY_LIBRARY(sqrt_of, __builtin_sqrt)
ECHOIC_BY_LIBRARY(sin_of, __builtin_sin)
ECHOIC_BY_LIBRARY(cos_of, __builtin_cos)
ECHOIC_BY_LIBRARY(abs_of, __builtin_fabs)
#undef ECHOIC_BY_LIBRARY

ALWAYS VecDouble sigmoid_of(VecDouble x) {
    const VecDouble z = exp_of(-abs_of(x));
    return (x < 0.0 ? z : same(1.0)) / (1.0 + z);
}
ALWAYS VecDouble softplus_of(VecDouble x) { return (x < 0.0 ? VecDouble{} : x) + log1p_of(exp_of(-abs_of(x))); }

}  // namespace
