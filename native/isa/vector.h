// Vectors of the width of the instruction set this file is compiled for. Everything is local to the translation
// unit: code compiled for one instruction set must never be linked where another is expected.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__SSE4_1__) && ECHOIC_VECTOR_BYTES >= 16
#include <immintrin.h>
#endif

#ifndef ECHOIC_VECTOR_BYTES
#error "compile with -DECHOIC_VECTOR_BYTES=4, 8, 16, 32 or 64"
#endif

namespace {

template <class T>
struct Types;
template <>
struct Types<float> {
    using Whole = int32_t;
};
template <>
struct Types<double> {
    using Whole = int64_t;
};

constexpr int vector_bytes(int size) { return ECHOIC_VECTOR_BYTES < size ? size : ECHOIC_VECTOR_BYTES; }

template <class T>
constexpr int kLanes = vector_bytes(sizeof(T)) / int(sizeof(T));

typedef float VecFloat __attribute__((vector_size(vector_bytes(4))));
typedef double VecDouble __attribute__((vector_size(vector_bytes(8))));
typedef int32_t VecInt __attribute__((vector_size(vector_bytes(4))));
typedef uint32_t VecBits __attribute__((vector_size(vector_bytes(4))));
typedef int64_t VecLong __attribute__((vector_size(vector_bytes(8))));

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
    using type = VecFloat;
    using whole = VecInt;
};
template <>
struct VecOf<double> {
    using type = VecDouble;
    using whole = VecLong;
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
using Whole = typename VecOf<T>::whole;

#define ALWAYS inline __attribute__((always_inline))

template <class T>
ALWAYS Vec<T> load(const T* from) {
    Vec<T> v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}
template <class T>
ALWAYS void store(T* to, Vec<T> v) {
    __builtin_memcpy(to, &v, sizeof v);
}
template <class T>
ALWAYS Vec<T> load_some(const T* from, int64_t count) {
    Vec<T> v = {};
    __builtin_memcpy(&v, from, size_t(count) * sizeof(T));
    return v;
}
template <class T>
ALWAYS void store_some(T* to, Vec<T> v, int64_t count) {
    __builtin_memcpy(to, &v, size_t(count) * sizeof(T));
}
// Where there are masks these take an instruction each, and no call.
#if ECHOIC_VECTOR_BYTES == 64
template <>
ALWAYS VecFloat load_some<float>(const float* from, int64_t count) {
    return (VecFloat)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), from);
}
template <>
ALWAYS VecDouble load_some<double>(const double* from, int64_t count) {
    return (VecDouble)_mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), from);
}
template <>
ALWAYS void store_some<float>(float* to, VecFloat v, int64_t count) {
    _mm512_mask_storeu_ps(to, __mmask16((1u << count) - 1), (__m512)v);
}
template <>
ALWAYS void store_some<double>(double* to, VecDouble v, int64_t count) {
    _mm512_mask_storeu_pd(to, __mmask8((1u << count) - 1), (__m512d)v);
}
#elif ECHOIC_VECTOR_BYTES == 32 && defined(__AVX2__)
// The first lanes of 32 bits.
ALWAYS __m256i first_lanes(int64_t count) {
    static const int32_t bits[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits + 8 - count));
}
template <>
ALWAYS VecFloat load_some<float>(const float* from, int64_t count) {
    return (VecFloat)_mm256_maskload_ps(from, first_lanes(count));
}
template <>
ALWAYS VecDouble load_some<double>(const double* from, int64_t count) {
    return (VecDouble)_mm256_maskload_pd(from, first_lanes(2 * count));
}
template <>
ALWAYS void store_some<float>(float* to, VecFloat v, int64_t count) {
    _mm256_maskstore_ps(to, first_lanes(count), (__m256)v);
}
template <>
ALWAYS void store_some<double>(double* to, VecDouble v, int64_t count) {
    _mm256_maskstore_pd(to, first_lanes(2 * count), (__m256d)v);
}
#endif
template <class T>
ALWAYS Vec<T> same(T x) {
    return x - Vec<T>{};
}
// Memory is on its way to a cache from here on: to the nearest, or only to the second.
template <bool kNearest>
ALWAYS void fetch(const void* from, size_t bytes) {
    for (size_t line = 0; line < bytes; line += 64)
        __builtin_prefetch(static_cast<const char*>(from) + line, 0, kNearest ? 3 : 2);
}
// Compilers else read a vector from memory again for each of its uses.
template <class T>
ALWAYS void keep_in_register(Vec<T>& v) {
    if constexpr (kLanes<T> > 1) {
#if defined(__x86_64__)
        asm("" : "+v"(v));
#elif defined(__aarch64__)
        asm("" : "+w"(v));
#endif
    }
}
// The lanes of two vectors whose numbers have the bit `apart`, or have it not, exchanged.
template <class T, int kApart, bool kHigh, int... kLane>
ALWAYS Vec<T> exchanged(Vec<T> a, Vec<T> b, std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(
        a, b, (kHigh ? (kLane & kApart ? kLane + kLanes<T> : kLane + kApart)
                     : (kLane & kApart ? kLane - kApart + kLanes<T> : kLane))...);
}
// Rows of a square become its columns: in each round pairs of rows that lie `apart` exchange pieces of that length.
template <class T, int kApart>
ALWAYS void transpose(Vec<T> (&rows)[kLanes<T>]) {
    constexpr auto lanes = std::make_integer_sequence<int, kLanes<T>>{};
#pragma GCC unroll 16
    for (int row = 0; row < kLanes<T>; ++row) {
        if (row & kApart) continue;
        const Vec<T> a = rows[row], b = rows[row + kApart];
        rows[row] = exchanged<T, kApart, false>(a, b, lanes);
        rows[row + kApart] = exchanged<T, kApart, true>(a, b, lanes);
    }
    if constexpr (kApart > 1) transpose<T, kApart / 2>(rows);
}

// A function of one number on every lane: right, and slow.
template <class T, class F>
ALWAYS Vec<T> each(Vec<T> x, F f) {
    Vec<T> y = {};
    for (int i = 0; i < kLanes<T>; ++i) y[i] = f(x[i]);
    return y;
}

}  // namespace
