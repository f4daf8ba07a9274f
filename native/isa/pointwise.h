// Pointwise operations over tiles, and reductions over the columns of a row.
#pragma once
#include "kernels.h"
#include "math.h"

namespace {

using namespace echoic;

#define UNARY(name, expression) \
    struct do_##name { \
        template <class T> \
        static ALWAYS Vec<T> apply(Vec<T> a, Vec<T>, Vec<T>) { \
            return expression; \
        } \
    };
#define BINARY(name, expression) \
    struct do_##name { \
        template <class T> \
        static ALWAYS Vec<T> apply(Vec<T> a, Vec<T> b, Vec<T>) { \
            return expression; \
        } \
    };
#define TERNARY(name, expression) \
    struct do_##name { \
        template <class T> \
        static ALWAYS Vec<T> apply(Vec<T> a, Vec<T> b, Vec<T> c) { \
            return expression; \
        } \
    };

UNARY(copy, a)
UNARY(neg, -a)
UNARY(abs, abs_of(a))
UNARY(sign, a > T(0) ? same(T(1)) : (a < T(0) ? same(T(-1)) : a))
UNARY(floor, floor_of(a))
UNARY(relu, a <= T(0) ? Vec<T>{} : a)
UNARY(exp, exp_of(a))
UNARY(expm1, expm1_of(a))
UNARY(log, log_of(a))
UNARY(log1p, log1p_of(a))
UNARY(sqrt, sqrt_of(a))
UNARY(rsqrt, T(1) / sqrt_of(a))
UNARY(reciprocal, T(1) / a)
UNARY(sin, sin_of(a))
UNARY(cos, cos_of(a))
UNARY(sigmoid, sigmoid_of(a))
UNARY(tanh, tanh_of(a))
UNARY(softplus, softplus_of(a))
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a * b)
BINARY(div, a / b)
BINARY(maximum, ((a > b) | (a != a)) ? a : b)
BINARY(minimum, ((a < b) | (a != a)) ? a : b)
BINARY(lt, a < b ? same(T(1)) : Vec<T>{})
BINARY(le, a <= b ? same(T(1)) : Vec<T>{})
BINARY(eq, a == b ? same(T(1)) : Vec<T>{})
BINARY(ne, a != b ? same(T(1)) : Vec<T>{})
BINARY(sigmoid_grad, a * (b * (T(1) - b)))
BINARY(tanh_grad, a * (T(1) - b * b))
BINARY(relu_grad, b <= T(0) ? Vec<T>{} : a)
TERNARY(where, a != T(0) ? b : c)
TERNARY(fma, a * b + c)

// The operands of a row of an operation, and where its result goes. With kColumn the second one is a single number.
template <class T, class F, int kArity, bool kColumn>
struct Row {
    T* to;
    const T *x, *y, *z;
    Vec<T> number;

    ALWAYS Vec<T> at(int64_t i) const {
        Vec<T> vy = number, vz = {};
        if constexpr (kArity > 1 && !kColumn) vy = load(y + i);
        if constexpr (kArity > 2) vz = load(z + i);
        return F::template apply<T>(load(x + i), vy, vz);
    }
    ALWAYS Vec<T> some(int64_t count) const {
        Vec<T> vy = number, vz = {};
        if constexpr (kArity > 1 && !kColumn) vy = load_some(y, count);
        if constexpr (kArity > 2) vz = load_some(z, count);
        return F::template apply<T>(load_some(x, count), vy, vz);
    }
    ALWAYS void all(int64_t columns) const {
#pragma GCC unroll 2
        for (int64_t i = 0; i < columns; i += kLanes<T>) store<T>(to + i, at(i));
    }
};

template <class T, class F, int kArity, bool kColumn = false>
void pointwise(T* target, int64_t target_stride, const T* a, int64_t a_stride, const T* b, int64_t b_stride,
               const T* c, int64_t c_stride, int64_t rows, int64_t columns) {
    constexpr int lanes = kLanes<T>;
    const int64_t rest = columns % lanes, whole = columns - rest, last = columns - lanes;
    auto of = [&](int64_t row) {
        Row<T, F, kArity, kColumn> one{target + row * target_stride, a + row * a_stride, nullptr, nullptr, {}};
        if constexpr (kArity > 1) one.y = b + row * b_stride;
        if constexpr (kArity > 2) one.z = c + row * c_stride;
        if constexpr (kColumn) one.number = same(*one.y);
        return one;
    };
    if (rest == 0) {
        for (int64_t row = 0; row < rows; ++row) of(row).all(whole);
    } else if (whole > 0) {
        // The last vector begins within the one before, and is made first: the target may be an operand
        for (int64_t row = 0; row < rows; ++row) {
            const auto one = of(row);
            const Vec<T> end = one.at(last);
            one.all(whole);
            store<T>(one.to + last, end);
        }
    } else {
        for (int64_t row = 0; row < rows; ++row) {
            const auto one = of(row);
            store_some<T>(one.to, one.some(rest), rest);
        }
    }
}

// One column, or a number, to many.
template <class T>
void broadcast(T* target, int64_t target_stride, const T* a, int64_t a_stride, const T*, int64_t, const T*, int64_t,
               int64_t rows, int64_t columns) {
    for (int64_t row = 0; row < rows; ++row) {
        const T value = a[row * a_stride];
        for (int64_t i = 0; i < columns; ++i) target[row * target_stride + i] = value;
    }
}

// What a reduction takes of a row: numbers, or their products with another row's.
template <class T>
struct Numbers {
    const T* from;
    ALWAYS Vec<T> at(int64_t i) const { return load(from + i); }
    ALWAYS T one(int64_t i) const { return from[i]; }
};
template <class T>
struct Products {
    const T *from, *with;
    ALWAYS Vec<T> at(int64_t i) const { return load(from + i) * load(with + i); }
    ALWAYS T one(int64_t i) const { return from[i] * with[i]; }
};

// The columns of a row from the left, in several parts at once: one alone would wait for every result.
template <class T, class Row, class Join>
ALWAYS T reduced(Row row, int64_t columns, T nothing, Join join) {
    constexpr int lanes = kLanes<T>, parts = 4;
    Vec<T> found[parts] = {same(nothing), same(nothing), same(nothing), same(nothing)};
    int64_t i = 0;
    for (; i + parts * lanes <= columns; i += parts * lanes)
        for (int p = 0; p < parts; ++p) found[p] = join(found[p], row.at(i + p * lanes));
    for (; i + lanes <= columns; i += lanes) found[0] = join(found[0], row.at(i));
    if (const int64_t rest = columns - i) {
        Vec<T> last = same(nothing);
        for (int64_t lane = 0; lane < rest; ++lane) last[lane] = row.one(i + lane);
        found[1] = join(found[1], last);
    }
    T all[lanes];
    store<T>(all, join(join(found[0], found[1]), join(found[2], found[3])));
    for (int half = lanes / 2; half > 0; half /= 2)
        for (int lane = 0; lane < half; ++lane) all[lane] = join(all[lane], all[lane + half]);
    return all[0];
}

template <class T>
void sum_rows(T* target, int64_t target_stride, const T* source, int64_t source_stride, const T*, int64_t, int64_t rows,
              int64_t columns) {
    auto plus = [](auto a, auto b) { return a + b; };
    for (int64_t row = 0; row < rows; ++row)
        target[row * target_stride] = reduced(Numbers<T>{source + row * source_stride}, columns, T(0), plus);
}

template <class T>
void dot_rows(T* target, int64_t target_stride, const T* source, int64_t source_stride, const T* other,
              int64_t other_stride, int64_t rows, int64_t columns) {
    auto plus = [](auto a, auto b) { return a + b; };
    for (int64_t row = 0; row < rows; ++row) {
        const Products<T> products{source + row * source_stride, other + row * other_stride};
        target[row * target_stride] = reduced(products, columns, T(0), plus);
    }
}

// A NaN is the largest of all.
template <class T>
void max_rows(T* target, int64_t target_stride, const T* source, int64_t source_stride, const T*, int64_t, int64_t rows,
              int64_t columns) {
    auto larger = [](auto a, auto b) { return ((a > b) | (a != a)) ? a : b; };
    for (int64_t row = 0; row < rows; ++row)
        target[row * target_stride] =
            reduced(Numbers<T>{source + row * source_stride}, columns, -T(__builtin_inff()), larger);
}

}  // namespace
