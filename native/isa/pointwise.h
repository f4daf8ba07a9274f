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
UNARY(erf, erf_of(a))
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
    ALWAYS Vec<T> some(int64_t i, int64_t count) const { return load_some(from + i, count); }
};
template <class T>
struct Products {
    const T *from, *with;
    ALWAYS Vec<T> at(int64_t i) const { return load(from + i) * load(with + i); }
    ALWAYS Vec<T> some(int64_t i, int64_t count) const { return load_some(from + i, count) * load_some(with + i, count); }
};

// Some vectors joined, lane i of the result being all lanes of vector i: halves with halves, then quarters ...
template <class T, int kApart, class Join>
ALWAYS Vec<T> joined_lanes(Vec<T> (&rows)[kLanes<T>], Join join) {
    constexpr auto lanes = std::make_integer_sequence<int, kLanes<T>>{};
#pragma GCC unroll 16
    for (int row = 0; row < kApart; ++row) {
        const Vec<T> a = rows[row], b = rows[row + kApart];
        rows[row] = join(exchanged<T, kApart, false>(a, b, lanes), exchanged<T, kApart, true>(a, b, lanes));
    }
    if constexpr (kApart > 1) return joined_lanes<T, kApart / 2>(rows, join);
    return rows[0];
}

template <class T, int... kLane>
ALWAYS Whole<T> numbers_of_lanes(std::integer_sequence<int, kLane...>) {
    return Whole<T>{kLane...};
}

// The columns of a row from the left, in several parts at once: one alone would wait for every result.
template <class T, class Row, class Join>
ALWAYS Vec<T> gathered(Row row, int64_t columns, T nothing, Join join) {
    constexpr int lanes = kLanes<T>, parts = 4;
    if (columns == lanes) return row.at(0);
    Vec<T> found[parts] = {same(nothing), same(nothing), same(nothing), same(nothing)};
    int64_t i = 0;
    for (; i + parts * lanes <= columns; i += parts * lanes)
        for (int p = 0; p < parts; ++p) found[p] = join(found[p], row.at(i + p * lanes));
    for (; i + lanes <= columns; i += lanes) found[0] = join(found[0], row.at(i));
    if (const auto rest = typename Types<T>::Whole(columns - i); rest > 0)
        found[1] = join(found[1], numbers_of_lanes<T>(std::make_integer_sequence<int, lanes>{}) < rest
                                      ? row.some(i, rest) : same(nothing));
    return join(join(found[0], found[1]), join(found[2], found[3]));
}

// Each of some rows becomes one number. Several at once where there are as many as lanes: in the same order.
template <class T, class Rows, class Join>
ALWAYS void reduced(T* target, int64_t target_stride, Rows rows, int64_t count, int64_t columns, T nothing, Join join) {
    constexpr int lanes = kLanes<T>;
    for (int64_t row = 0; row < count; row += lanes) {
        const int64_t some = count - row < lanes ? count - row : lanes;
        Vec<T> each[lanes];
        for (int64_t i = 0; i < some; ++i) each[i] = gathered(rows(row + i), columns, nothing, join);
        for (int64_t i = some; i < lanes; ++i) each[i] = each[0];  // whose results nobody takes
        Vec<T> all = each[0];
        if constexpr (lanes > 1) all = joined_lanes<T, lanes / 2>(each, join);
        if (target_stride == 1)
            store_some<T>(target + row, all, some);
        else
            for (int64_t i = 0; i < some; ++i) target[(row + i) * target_stride] = all[i];
    }
}

template <class T>
void sum_rows(T* target, int64_t target_stride, const T* source, int64_t source_stride, const T*, int64_t, int64_t rows,
              int64_t columns) {
    auto row = [=](int64_t i) { return Numbers<T>{source + i * source_stride}; };
    reduced(target, target_stride, row, rows, columns, T(0), [](auto a, auto b) { return a + b; });
}

template <class T>
void dot_rows(T* target, int64_t target_stride, const T* source, int64_t source_stride, const T* other,
              int64_t other_stride, int64_t rows, int64_t columns) {
    auto row = [=](int64_t i) { return Products<T>{source + i * source_stride, other + i * other_stride}; };
    reduced(target, target_stride, row, rows, columns, T(0), [](auto a, auto b) { return a + b; });
}

// Rows that follow each other, column by column.
template <class T, class At, class Join>
ALWAYS void reduced_down(T* target, At at, int64_t size, int64_t columns, Join join) {
    constexpr int lanes = kLanes<T>;
    for (int64_t c = 0; c < columns; c += lanes) {
        const int64_t count = columns - c < lanes ? columns - c : lanes;
        Vec<T> found = at(c, count);
        int64_t i = 1;
        if (size > 4) {  // four that do not wait for each other
            Vec<T> others[3];
            for (int64_t j = 0; j < 3; ++j) others[j] = at((j + 1) * columns + c, count);
            for (i = 4; i + 4 <= size; i += 4) {
                found = join(found, at(i * columns + c, count));
                for (int64_t j = 0; j < 3; ++j) others[j] = join(others[j], at((i + j + 1) * columns + c, count));
            }
            found = join(join(found, others[0]), join(others[1], others[2]));
        }
        for (; i < size; ++i) found = join(found, at(i * columns + c, count));
        if (count == lanes)
            store<T>(target + c, found);
        else
            store_some<T>(target + c, found, count);
    }
}

template <class T>
ALWAYS Vec<T> load_up_to(const T* from, int64_t count) {
    return count == kLanes<T> ? load(from) : load_some(from, count);
}

template <class T>
void sum_down(T* target, const T* source, const T*, int64_t size, int64_t columns) {
    auto at = [=](int64_t i, int64_t count) { return load_up_to(source + i, count); };
    reduced_down(target, at, size, columns, [](auto a, auto b) { return a + b; });
}

template <class T>
void dot_down(T* target, const T* source, const T* other, int64_t size, int64_t columns) {
    auto at = [=](int64_t i, int64_t count) { return load_up_to(source + i, count) * load_up_to(other + i, count); };
    reduced_down(target, at, size, columns, [](auto a, auto b) { return a + b; });
}

// A NaN is the largest of all.
struct Larger {
    template <class T>
    ALWAYS T operator()(T a, T b) const {
        return ((a > b) | (a != a)) ? a : b;
    }
};

template <class T>
void max_down(T* target, const T* source, const T*, int64_t size, int64_t columns) {
    auto at = [=](int64_t i, int64_t count) { return load_up_to(source + i, count); };
    reduced_down(target, at, size, columns, Larger{});
}

template <class T>
void max_rows(T* target, int64_t target_stride, const T* source, int64_t source_stride, const T*, int64_t, int64_t rows,
              int64_t columns) {
    auto row = [=](int64_t i) { return Numbers<T>{source + i * source_stride}; };
    reduced(target, target_stride, row, rows, columns, -T(__builtin_inff()), Larger{});
}

}  // namespace
