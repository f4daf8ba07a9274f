// The kernels of every instruction set that the machine has. Functions of one number are within 4 ulp of what the C library
// gives in float64, over the whole range; in float64 they are that library's, so that this is a test of lanes and formulas,
// not of the library. Operations of several numbers, reductions and products are exact for whole numbers and as plain
// loops say. Arrays are no longer than they must be, which the address sanitizer watches.
#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>
#include <tuple>

#include "../engine/dispatch.h"
#include "check.h"

namespace {

using namespace echoic;

constexpr const char* kNames[op_count] = {
#define X(name, arity) #name,
    ECHOIC_POINTWISE(X)
#undef X
};
constexpr double kInfinity = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();

template <class T>
const Kernels<T>& table(const InstructionSet& set) {
    if constexpr (sizeof(T) == 4) return *set.float32;
    else return *set.float64;
}

// In the order of the operations.
constexpr double (*kFunctions[])(double) = {
    [](double x) { return x; },
    [](double x) { return -x; },
    [](double x) { return std::abs(x); },
    [](double x) { return x > 0 ? 1 : x < 0 ? -1 : x; },
    [](double x) { return std::floor(x); },
    [](double x) { return x <= 0 ? 0 : x; },
    [](double x) { return std::exp(x); },
    [](double x) { return std::expm1(x); },
    [](double x) { return std::log(x); },
    [](double x) { return std::log1p(x); },
    [](double x) { return std::sqrt(x); },
    [](double x) { return 1 / std::sqrt(x); },
    [](double x) { return 1 / x; },
    [](double x) { return std::sin(x); },
    [](double x) { return std::cos(x); },
    [](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); },
    [](double x) { return std::tanh(x); },
    [](double x) { return (x <= 0 ? 0 : x) + std::log1p(std::exp(-std::abs(x))); },
    [](double x) { return std::erf(x); },
};
static_assert(std::size(kFunctions) == op_add);

using Several = double (*)(double, double, double);
constexpr Several kOperations[] = {
    [](double a, double b, double) { return a + b; },
    [](double a, double b, double) { return a - b; },
    [](double a, double b, double) { return a * b; },
    [](double a, double b, double) { return a / b; },
    [](double a, double b, double) { return std::isnan(a) || std::isnan(b) ? kNaN : a > b ? a : b; },
    [](double a, double b, double) { return std::isnan(a) || std::isnan(b) ? kNaN : a < b ? a : b; },
    [](double a, double b, double) { return double(a < b); },
    [](double a, double b, double) { return double(a <= b); },
    [](double a, double b, double) { return double(a == b); },
    [](double a, double b, double) { return double(a != b); },
    [](double a, double b, double) { return a * (b * (1 - b)); },
    [](double a, double b, double) { return a * (1 - b * b); },
    [](double a, double b, double) { return b <= 0 ? 0 : a; },
    [](double a, double b, double c) { return a != 0 ? b : c; },
    [](double a, double b, double c) { return a * b + c; },
};
static_assert(std::size(kOperations) == op_take - op_add);
constexpr int kByColumn[] = {op_add, op_sub, op_mul, op_fma};  // what is done by the operations after broadcast
static_assert(std::size(kByColumn) == op_count - op_add_column);

// Units in the last place between a number and what it should be; beyond the largest one, infinity is near to it.
template <class T>
double ulps(T found, double exact) {
    const T rounded = T(exact), largest = std::numeric_limits<T>::max();
    if (found == rounded || (std::isnan(found) && std::isnan(exact))) return 0;
    const int exponent = std::ilogb(std::min(std::abs(rounded), largest));
    const int least = std::numeric_limits<T>::min_exponent - 1;
    const double unit = std::ldexp(1.0, std::max(exponent, least) - (std::numeric_limits<T>::digits - 1));
    auto finite = [&](double x) { return std::clamp(x, -double(largest), double(largest)); };
    const double off = std::abs(finite(found) / unit - finite(exact) / unit);
    return std::isnan(off) ? kInfinity : off;
}

// Numbers of all signs and exponents, subnormal ones, infinities and NaN: those of float32, and more in float64.
template <class T>
std::vector<T> whole_range() {
    std::vector<T> found;
    auto add = [&](uint64_t bits) { found.push_back(T(std::bit_cast<float>(uint32_t(bits)))); };
    for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += 20011) add(bits);
    for (uint64_t exponent = 0; exponent < 512; ++exponent)
        for (uint64_t fraction : {0, 1, 0x7fffff}) add(exponent << 23 | fraction);
    for (uint64_t near = 0; near < 512; ++near)
        for (uint64_t around : {0x3f7fff00u, 0xbf7fff00u, 0u, 0x80000000u}) add(around + near);
    if constexpr (sizeof(T) == 8)
        for (uint64_t top = 0; top < 1 << 16; ++top) found.push_back(std::bit_cast<double>(top << 48 | top));
    for (int i = -1100; i <= 1100; ++i) found.push_back(T(i) * T(0.1));  // where exp and tanh reach their ends
    return found;
}

// Rows by columns of an operation; a number stands after each row and stays there. The third operand is one row.
template <class T>
std::vector<T> apply(const Kernels<T>& kernels, int op, const std::vector<T> (&operands)[3], int64_t columns) {
    const int64_t rows = int64_t(operands[0].size()) / columns, stride = columns + 1;
    std::vector<T> target(size_t(rows * stride), T(123)), found;
    kernels.pointwise[op](target.data(), stride, operands[0].data(), columns, operands[1].data(), columns,
                          operands[2].data(), 0, rows, columns);
    for (auto row = target.begin(); row != target.end(); row += stride) {
        found.insert(found.end(), row, row + columns);
        CHECK(row[columns] == 123);
    }
    return found;
}

template <class T>
void functions_of_one_number() {
    constexpr int64_t columns = 257;  // the last vector of a row is not full
    std::vector<T> operands[3] = {whole_range<T>(), {}, {}}, &values = operands[0];
    values.resize((values.size() / columns + 1) * columns, T(0.5));
    for (int op = 0; op < op_add; ++op) {
        std::vector<double> exact;
        for (T x : values) exact.push_back(kFunctions[op](x));
        for (const InstructionSet& set : instruction_sets()) {
            const std::vector<T> found = apply(table<T>(set), op, operands, columns);
            double worst = 0, at = 0;
            for (size_t i = 0; i < found.size(); ++i)
                if (const double off = ulps(found[i], exact[i]); off > worst) worst = off, at = values[i];
            if (!CHECK(worst <= 4)) std::fprintf(stderr, "  %s, %s(%.17g): %g ulp\n", set.name, kNames[op], at, worst);
        }
    }
}

// Whole numbers, whose sums and products are exact in every order; with `ends` infinities, NaN and -0 among them.
template <class T>
std::vector<T> whole_numbers(Random& random, int64_t count, bool ends = false) {
    constexpr double odd[] = {kInfinity, -kInfinity, kNaN, -0.0};
    std::vector<T> found;
    for (int64_t i = 0; i < count; ++i)
        found.push_back(ends && random.below(3) == 0 ? T(odd[random.below(4)]) : T(random.below(9) - 4));
    return found;
}

template <class T>
bool alike(const std::vector<T>& a, const std::vector<T>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](T x, T y) {
        return x == y ? std::signbit(x) == std::signbit(y) : std::isnan(x) && std::isnan(y);
    });
}

template <class T>
void operations_of_several_numbers() {
    constexpr int64_t rows = 5;
    Random random(13);
    for (int64_t columns = 1; columns <= 67; ++columns) {
        auto numbers = [&](int64_t rows) { return whole_numbers<T>(random, rows * columns, true); };
        const std::vector<T> operands[3] = {numbers(rows), numbers(rows), numbers(1)};
        const auto& [a, b, c] = operands;
        for (int op = op_add; op < op_count; ++op) {
            if (op == op_take) continue;
            std::vector<T> due;
            for (size_t i = 0; i < a.size(); ++i) {
                const size_t column = i % size_t(columns);
                const int whole = op > op_broadcast ? kByColumn[op - op_add_column] : op;
                const T second = op > op_broadcast ? b[i - column] : b[i];
                due.push_back(op == op_broadcast ? a[i - column]
                                                 : T(kOperations[whole - op_add](a[i], second, c[column])));
            }
            for (const InstructionSet& set : instruction_sets())
                if (!CHECK(alike(apply(table<T>(set), op, operands, columns), due)))
                    std::fprintf(stderr, "  %s, %s of %d\n", set.name, kNames[op], int(columns));
        }
    }
}

// Two rows, the second with something odd in one of its columns.
template <class T>
void reductions(const Kernels<T>& kernels) {
    Random random(14);
    for (int64_t columns = 1; columns <= 67; ++columns)
        for (int64_t broken = 0; broken < columns; ++broken)
            for (double odd : {kNaN, kInfinity, -kInfinity}) {
                std::vector<T> both = whole_numbers<T>(random, 2 * columns), sums(4, T(123)), highest(4, T(123));
                std::vector<T> with = whole_numbers<T>(random, 3 * columns), dots(4, T(123));
                both[size_t(columns + broken)] = T(odd);
                T sum[2] = {0, 0}, most[2] = {T(-kInfinity), T(-kInfinity)}, dot[2] = {0, 0};
                for (int64_t i = 0; i < 2 * columns; ++i) {
                    const T x = both[size_t(i)];
                    sum[i / columns] += x;
                    dot[i / columns] += x * with[size_t(i + i / columns)];  // whose rows lie one number apart
                    if (x > most[i / columns]) most[i / columns] = x;
                }
                if (std::isnan(odd)) most[1] = T(odd);
                const auto& [sum_of, max_of, dot_of] = kernels.reductions;
                sum_of(sums.data(), 2, both.data(), columns, both.data(), columns, 2, columns);
                max_of(highest.data(), 2, both.data(), columns, both.data(), columns, 2, columns);
                dot_of(dots.data(), 2, both.data(), columns, with.data(), columns + 1, 2, columns);
                CHECK(alike<T>(sums, {sum[0], 123, sum[1], 123}));
                CHECK(alike<T>(highest, {most[0], 123, most[1], 123}));
                CHECK(alike<T>(dots, {dot[0], 123, dot[1], 123}));
            }
}

// Rows one above the other, of which no more is read than there is.
template <class T>
void reductions_down(const Kernels<T>& kernels) {
    Random random(15);
    for (int64_t columns = 1; columns <= 35; ++columns)
        for (int64_t size : {1, 2, 5})
            for (double odd : {kNaN, kInfinity, -kInfinity}) {
                std::vector<T> rows = whole_numbers<T>(random, size * columns);
                const std::vector<T> with = whole_numbers<T>(random, size * columns);
                rows[size_t((size - 1) * columns + random.below(columns))] = T(odd);
                std::vector<T> sum, most, dot;
                for (int64_t c = 0; c < columns; ++c) {
                    T added = rows[size_t(c)], multiplied = added * with[size_t(c)], highest = added;
                    for (int64_t i = c + columns; i < size * columns; i += columns) {
                        added += rows[size_t(i)], multiplied += rows[size_t(i)] * with[size_t(i)];
                        if (rows[size_t(i)] > highest || std::isnan(rows[size_t(i)])) highest = rows[size_t(i)];
                    }
                    sum.push_back(added), most.push_back(highest), dot.push_back(multiplied);
                }
                const auto& [sum_of, max_of, dot_of] = kernels.reductions_down;
                for (auto [reduce, due] : {std::pair(sum_of, &sum), std::pair(max_of, &most), std::pair(dot_of, &dot)}) {
                    std::vector<T> found(size_t(columns + 1), T(123));
                    reduce(found.data(), rows.data(), with.data(), size, columns);
                    due->push_back(123);
                    CHECK(alike<T>(found, *due));
                }
            }
}

// Every part of what random forms take of two rows.
template <class T>
void takes(const Kernels<T>& kernels) {
    Random random(16);
    for (int i = 0; i < 400; ++i) {
        Form form{};
        int64_t high = form.offset = random.below(3), total = 1;
        for (int d = 0; d < kDimensions; ++d) {
            const bool long_one = d == (i % 2 ? kDimensions - 1 : int(random.below(kDimensions)));
            const int64_t size = form.sizes[d] = 1 + random.below(long_one ? 40 : 3);
            const int64_t stride = form.strides[d] = i % 3 ? random.below(5) - 1 : 1 + random.below(4);
            total *= size, high += std::max(stride, int64_t(0)) * (size - 1);
            form.offset += std::max(-stride, int64_t(0)) * (size - 1), high += std::max(-stride, int64_t(0)) * (size - 1);
        }
        const int64_t width = high + 1;
        const std::vector<T> rows = whole_numbers<T>(random, 2 * width, true);
        const bool whole = random.below(2) == 1;
        const int64_t first = whole ? 0 : random.below(total), count = whole ? total : 1 + random.below(total - first);
        std::vector<T> found(size_t(2 * count + 1), T(123)), due;
        for (int64_t row = 0; row < 2; ++row)
            for (int64_t c = first; c < first + count; ++c) {
                int64_t at = row * width + form.offset, rest = c;
                for (int d = kDimensions - 1; d >= 0; --d)
                    at += rest % form.sizes[d] * form.strides[d], rest /= form.sizes[d];
                due.push_back(rows[size_t(at)]);
            }
        due.push_back(123);
        kernels.take(found.data(), count, rows.data(), width, form, 2, first, count);
        CHECK(alike(found, due));
    }
}

template <class T>
void product(const Kernels<T>& kernels, Random& random, int64_t m, int64_t k, int64_t n, bool transposed, bool adds,
             bool ends) {
    const std::vector<T> x = whole_numbers<T>(random, m * k, ends), w = whole_numbers<T>(random, k * n);
    const std::vector<T> added = whole_numbers<T>(random, m * n), bias = whole_numbers<T>(random, n);
    const int64_t down = transposed ? 1 : n, right = transposed ? k : 1;
    const int64_t panels = (n + kernels.panel - 1) / kernels.panel, half = panels / 2;
    std::vector<T> packed(size_t(panels * kernels.panel * kernels.depth(k)), T(kNaN)), target(size_t(m * (n + 1)), T(123)), due;
    kernels.pack(w.data(), down, right, k, n, 0, n, packed.data());
    for (auto [first, last] : {std::pair(int64_t(0), half), std::pair(half, panels)})
        kernels.matmul({x.data(), k, packed.data(), target.data(), n + 1, adds ? added.data() : nullptr, n,
                        adds == transposed ? bias.data() : nullptr, m, k, n, first, last, nullptr, 0, first > 0});
    for (int64_t r = 0; r < m; ++r, due.push_back(123))
        for (int64_t c = 0; c < n; ++c) {
            T sum = (adds ? added[size_t(r * n + c)] : 0) + (adds == transposed ? bias[size_t(c)] : 0);
            for (int64_t i = 0; i < k; ++i) sum += x[size_t(r * k + i)] * w[size_t(i * down + c * right)];
            due.push_back(sum);
        }
    CHECK(alike(target, due));
    if (!transposed) return;
    std::fill(target.begin(), target.end(), T(123));
    for (auto [first, last] : {std::pair(int64_t(0), half), std::pair(half, panels)})
        kernels.matmul_unpacked({x.data(), k, nullptr, target.data(), n + 1, adds ? added.data() : nullptr, n,
                                 adds ? bias.data() : nullptr, m, k, n, first, last, w.data(), k, false});
    CHECK(alike(target, due));
}

// Rows that come in runs, each of the arrays with distances of its own, one of them backwards.
template <class T>
void product_in_runs(const Kernels<T>& kernels, Random& random, int64_t runs, int64_t run, int64_t k, int64_t n, bool adds, bool ends) {
    const int64_t m = runs * run, wide = run * (k + 3) + 5, panels = (n + kernels.panel - 1) / kernels.panel;
    const std::vector<T> x = whole_numbers<T>(random, runs * wide, ends), w = whole_numbers<T>(random, k * n);
    const std::vector<T> added = whole_numbers<T>(random, runs * (run + 2) * n), bias = whole_numbers<T>(random, n);
    std::vector<T> packed(size_t(panels * kernels.panel * kernels.depth(k)), T(kNaN));
    kernels.pack(w.data(), n, 1, k, n, 0, n, packed.data());
    const int64_t high = run * (n + 1) + (ends ? 0 : 9);  // of the target, whose rows may all lie a fixed distance apart
    std::vector<T> target(size_t(runs * high), T(123)), due(target);
    Product<T> product{x.data(), k + 3, packed.data(), target.data() + (runs - 1) * high, n + 1, adds ? added.data() : nullptr, n,
                       ends ? bias.data() : nullptr, m, k, n, 0, panels, nullptr, 0, false};
    product.run = run, product.source_jump = wide, product.target_jump = -high, product.added_jump = (run + 2) * n;
    if (ends) product.target = target.data(), product.target_jump = high;
    kernels.matmul(product);
    for (int64_t r = 0; r < m; ++r)
        for (int64_t c = 0; c < n; ++c) {
            T sum = ends ? bias[size_t(c)] : 0;
            if (adds) sum += added[size_t(r / run * (run + 2) * n + r % run * n + c)];
            for (int64_t i = 0; i < k; ++i) sum += x[size_t(r / run * wide + r % run * (k + 3) + i)] * w[size_t(i * n + c)];
            due[size_t((ends ? r / run : runs - 1 - r / run) * high + r % run * (n + 1) + c)] = sum;
        }
    CHECK(alike(target, due));
}

template <class T>
void products_in_runs(const Kernels<T>& kernels, Random& random) {
    for (auto [runs, run] : {std::pair(1, 5), {5, 1}, {4, 3}, {3, 7}, {2, 9}, {3, 16}, {5, 16}, {2, 32}, {3, 40}})
        for (auto [k, n] : {std::pair(3, 7), {33, 64}, {600, 33}})
            for (int how = 0; how < 4; ++how) product_in_runs(kernels, random, runs, run, k, n, how & 1, how & 2);
}

// [K, M] transposed by [K, N], of rows that lie anywhere: gradients of weights.
template <class T>
void outer_products(const Kernels<T>& kernels, Random& random, int64_t k, int64_t m, int64_t n) {
    const std::vector<T> x = whole_numbers<T>(random, k * m), w = whole_numbers<T>(random, k * n);
    std::vector<const T*> left, right;
    for (int64_t i = k - 1; i >= 0; --i) left.push_back(&x[size_t(i * m)]), right.push_back(&w[size_t(i * n)]);
    const int64_t panels = (n + kernels.panel - 1) / kernels.panel, depth = kernels.depth(k), first = m / 3;
    std::vector<T> packed(size_t(panels * kernels.panel * depth), T(kNaN)), target(size_t(m * n), 1), due(target);
    std::vector<T> blocks(size_t((m + kernels.block) * depth), T(kNaN));
    std::vector<T> sizes(left.size(), T(kNaN));
    if (kernels.sizes != nullptr) kernels.sizes(left.data(), k, m, sizes.data());
    CHECK(kernels.pack_rows(right.data(), sizes.data(), k, n, packed.data()));
    CHECK(kernels.deal(left.data(), sizes.data(), k, first, m, blocks.data()));
    for (int64_t column = first; column < m; column += kernels.block) {
        Product<T> product{};
        product.source = blocks.data() + (column - first) * depth;
        product.packed = packed.data();
        product.target = &target[size_t(column * n)];
        product.added = column % 2 ? product.target : nullptr;
        product.target_stride = product.added_stride = n;
        product.m = std::min(kernels.block, m - column), product.k = k, product.n = n;
        product.last_panel = panels;
        kernels.matmul_transposed(product);
        for (int64_t r = column; r < column + product.m; ++r)
            for (int64_t c = 0; c < n; ++c) {
                T sum = column % 2 ? 1 : 0;
                for (int64_t i = 0; i < k; ++i) sum += x[size_t(i * m + r)] * w[size_t(i * n + c)];
                due[size_t(r * n + c)] = sum;
            }
    }
    CHECK(alike(target, due));
    std::vector<T> sums(size_t(m - first), T(kNaN)), sums_due(sums.size(), 0);
    kernels.sum_columns(left.data(), k, first, m, sums.data());
    for (const T* row : left)
        for (int64_t c = first; c < m; ++c) sums_due[size_t(c - first)] += row[c];
    CHECK(alike(sums, sums_due));
}

// To eight significant bits, to the nearer number.
double rounded(double number) {
    int exponent;
    std::frexp(number, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(number, 8 - exponent)), exponent - 8);
}

// Of so many parts: what is multiplied is rounded, or is the sum of two such numbers, whose smaller parts are not multiplied
// with each other, or is what it is. Sums are float32.
void product_of_parts(const Kernels<float>& kernels, Random& random, int parts, int64_t m, int64_t k, int64_t n) {
    const std::vector<float> x = random.numbers<float>(m * k), w = random.numbers<float>(k * n);
    const int64_t panels = (n + kernels.panel - 1) / kernels.panel;
    std::vector<float> packed(size_t(panels * kernels.panel * kernels.depth(k))), target(size_t(m * n), float(kNaN));
    kernels.pack(w.data(), n, 1, k, n, 0, n, packed.data());
    kernels.matmul({x.data(), k, packed.data(), target.data(), n, nullptr, 0, nullptr, m, k, n, 0, panels, nullptr, 0, false});
    for (int64_t r = 0; r < m; ++r)
        for (int64_t c = 0; c < n; ++c) {
            double sum = 0, sizes = 0;
            for (int64_t i = 0; i < k; ++i) {
                const double left = x[size_t(r * k + i)], right = w[size_t(i * n + c)];
                const double a = rounded(left), b = rounded(right);
                const double pairs = a * b + a * rounded(right - b) + rounded(left - a) * b;
                const double product = parts == 1 ? a * b : parts == 2 ? pairs : left * right;
                sum += product, sizes += std::abs(product);
            }
            CHECK(std::abs(target[size_t(r * n + c)] - sum) <= 1e-6 * sizes);
        }
}

// Small whole numbers are not changed by rounding.
void kernels_of_parts(const Kernels<float>& kernels, int parts, Random& random) {
    for (int64_t m : {1, 2, 5, 15, 16, 17, 31, 32, 33, 50})
        for (auto [k, n] : {std::pair(1, 1), {3, 7}, {31, 33}, {32, 32}, {33, 130}, {512, 40}, {513, 31}, {1100, 67}}) {
            product_of_parts(kernels, random, parts, m, k, n);
            for (int how = 0; how < 8; ++how) product(kernels, random, m, k, n, how & 1, how & 2, how & 4);
        }
    for (auto [k, m, n] : {std::tuple(1, 1, 1), {3, 6, 7}, {16, 13, 33}, {31, 20, 64}, {32, 16, 32}, {65, 49, 130}, {300, 75, 100}})
        outer_products(kernels, random, k, m, n);
    products_in_runs(kernels, random);
}

// Of digits: off by a small part of the largest number of a row times the largest one of a column.
void product_of_digits(const Kernels<float>& kernels, Random& random, int64_t m, int64_t k, int64_t n, bool transposed) {
    std::vector<float> x = random.numbers<float>(m * k), w = random.numbers<float>(k * n);
    // Columns of unlike sizes in the rows, made up for by the weights; rows and columns of unlike sizes
    const int64_t down = transposed ? 1 : n, right = transposed ? k : 1;
    for (int64_t i = 0; i < k; ++i) {
        const float size = i % 7 == 3 ? 1e20f : std::ldexp(1.0f, int(random.below(60)) - 30);  // zeros meet what is huge
        for (int64_t r = 0; r < m; ++r) x[size_t(r * k + i)] *= size;
        for (int64_t c = 0; c < n; ++c) w[size_t(i * down + c * right)] = i % 7 == 3 ? 0 : w[size_t(i * down + c * right)] / size;
    }
    std::vector<double> of_rows, of_columns;
    for (int64_t r = 0; r < m; ++r) {
        of_rows.push_back(std::ldexp(1.0, int(random.below(40)) - 20));
        for (int64_t i = 0; i < k; ++i) x[size_t(r * k + i)] *= float(of_rows.back());
    }
    for (int64_t c = 0; c < n; ++c) {
        of_columns.push_back(c % 5 == 4 ? 0 : std::ldexp(1.0, int(random.below(20)) - 10));
        for (int64_t i = 0; i < k; ++i) w[size_t(i * down + c * right)] *= float(of_columns.back());
    }
    const int64_t panels = (n + kernels.panel - 1) / kernels.panel;
    std::vector<float> packed(size_t(panels * kernels.panel * kernels.depth(k)), float(kNaN)), target(size_t(m * n), float(kNaN));
    kernels.pack(w.data(), down, right, k, n, 0, n, packed.data());
    kernels.matmul({x.data(), k, packed.data(), target.data(), n, nullptr, 0, nullptr, m, k, n, 0, panels, nullptr, 0, false});
    for (int64_t r = 0; r < m; ++r)
        for (int64_t c = 0; c < n; ++c) {
            double sum = 0;
            for (int64_t i = 0; i < k; ++i) sum += double(x[size_t(r * k + i)]) * w[size_t(i * down + c * right)];
            const double size = of_rows[size_t(r)] * of_columns[size_t(c)] * std::sqrt(double(k));
            CHECK(std::abs(target[size_t(r * n + c)] - sum) <= 4e-6 * size);
        }
}

// Rows of unlike sizes, large ones at the left where the right ones are small; NaN somewhere is refused.
void sums_of_digits(const Kernels<float>& kernels, Random& random, int64_t k, int64_t m, int64_t n) {
    std::vector<float> x = random.numbers<float>(k * m), w = random.numbers<float>(k * n), sizes(x.size(), float(kNaN));
    std::vector<const float*> left, right;
    for (int64_t i = 0; i < k; ++i) {
        const float size = i % 7 == 3 ? 0 : std::ldexp(1.0f, int(random.below(80)) - 40);  // zeros meet what is huge
        for (int64_t c = 0; c < m; ++c) x[size_t(i * m + c)] *= size;
        for (int64_t c = 0; c < n; ++c) w[size_t(i * n + c)] /= size == 0 ? 1e-12f : size;
        left.push_back(&x[size_t(i * m)]), right.push_back(&w[size_t(i * n)]);
    }
    const int64_t panels = (n + kernels.panel - 1) / kernels.panel, depth = kernels.depth(k);
    std::vector<float> packed(size_t(panels * kernels.panel * depth), float(kNaN)), target(size_t(m * n), float(kNaN));
    std::vector<float> blocks(size_t((m + kernels.block) * depth), float(kNaN));
    kernels.sizes(left.data(), k, m, sizes.data());
    CHECK(kernels.pack_rows(right.data(), sizes.data(), k, n, packed.data()));
    CHECK(kernels.deal(left.data(), sizes.data(), k, 0, m, blocks.data()));
    Product<float> product{blocks.data(), 0, packed.data(), target.data(), n, nullptr, 0, nullptr, m, k, n, 0, panels, nullptr, 0, false};
    kernels.matmul_transposed(product);
    for (int64_t r = 0; r < m; ++r)
        for (int64_t c = 0; c < n; ++c) {
            double sum = 0;
            for (int64_t i = 0; i < k; ++i) sum += double(x[size_t(i * m + r)]) * w[size_t(i * n + c)];
            CHECK(std::abs(target[size_t(r * n + c)] - sum) <= 2e-6 * std::sqrt(double(k)));
        }
    for (float none : {float(kNaN), std::numeric_limits<float>::infinity()}) {
        x[size_t(random.below(k * m))] = none, w[size_t(random.below(k * n))] = none;
        CHECK(!kernels.pack_rows(right.data(), sizes.data(), k, n, packed.data()));
        CHECK(!kernels.deal(left.data(), sizes.data(), k, 0, m, blocks.data()));
    }
}

void kernels_of_digits(const Kernels<float>& kernels, Random& random) {
    for (int64_t m : {1, 2, 5, 15, 16, 17, 31, 32, 33, 50, 70})
        for (auto [k, n] : {std::pair(1, 1), {3, 7}, {31, 33}, {64, 32}, {65, 130}, {512, 40}, {513, 31}, {1100, 67}}) {
            for (bool transposed : {false, true}) product_of_digits(kernels, random, m, k, n, transposed);
            for (int how = 0; how < 8; ++how) product(kernels, random, m, k, n, how & 1, how & 2, how & 4);
        }
    for (auto [k, m, n] : {std::tuple(1, 1, 1), {3, 6, 7}, {16, 13, 33}, {63, 20, 64}, {64, 16, 32}, {65, 49, 130}, {256, 140, 150}}) {
        outer_products(kernels, random, k, m, n);
        sums_of_digits(kernels, random, k, std::min(int64_t(m), kernels.block), n);
    }
    products_in_runs(kernels, random);
}

// The largest size among some numbers, 0 for what counts as zeros, NaN if one is not finite.
double largest(const float* from, int64_t stride, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; ++i) {
        if (!std::isfinite(from[i * stride])) return kNaN;
        most = std::max(most, std::abs(double(from[i * stride])));
    }
    return most < 1e-30 ? 0 : most;
}

// What comes of a row by a column whose numbers become multiples of a unit, and how far off it may be: by half of the
// row's own units, and by a unit of the column where a number lies between two of them.
struct Due {
    double sum, slack;

    void add(const float* row, const float* column, int64_t stride, int64_t count) {
        const double most = largest(row, 1, count), unit = largest(column, stride, count) / 127;
        if (std::isnan(most) || std::isnan(unit)) sum = kNaN;
        for (int64_t i = 0; i < count && most > 0 && unit > 0; ++i) {
            const double units = column[i * stride] / unit, whole = std::nearbyint(units);
            const bool between = std::abs(std::abs(units - whole) - 0.5) < 1e-4;
            sum += row[i] * whole * unit;
            slack += most / 32767 * 0.51 * std::abs(whole * unit) + std::abs(row[i]) * unit * (between ? 1 : 1e-4);
        }
    }
};

void product_int8(const Kernels<float>& kernels, Random& random, int64_t m, int64_t k, int64_t n, bool transposed,
                  bool adds) {
    constexpr int64_t span = 512;
    std::vector<float> x = random.numbers<float>(m * k), w = random.numbers<float>(k * n);
    const std::vector<float> added = random.numbers<float>(m * n), bias = random.numbers<float>(n);
    const bool biased = adds == transposed;
    const int64_t down = transposed ? 1 : n, right = transposed ? k : 1;
    for (int64_t i = 0; i < k; ++i) w[size_t(i * down)] = 0;              // a column of zeros
    for (int64_t i = 0; i < k && m > 1; ++i) x[size_t(k + i)] *= 1e-33f;  // a row that counts as zeros
    if (m > 2) x[size_t(3 * k - 1)] = float(k % 2 ? kNaN : kInfinity);
    if (n > 2) w[size_t((k - 1) * down + 2 * right)] = float(k % 2 ? -kInfinity : kNaN);
    const int64_t panels = (n + kernels.panel - 1) / kernels.panel, half = panels / 2;
    std::vector<char> packed(kernels.int8_bytes(k, n));
    std::vector<float> target(size_t(m * (n + 1)), 123.0f);
    kernels.pack_int8(w.data(), down, right, k, n, packed.data());
    for (auto [first, last] : {std::pair(int64_t(0), half), std::pair(half, panels)})
        kernels.matmul_int8({x.data(), k, packed.data(), target.data(), n + 1, adds ? added.data() : nullptr, n,
                             biased ? bias.data() : nullptr, m, k, n, first, last, nullptr, 0, first > 0});
    for (int64_t r = 0; r < m; ++r) {
        for (int64_t c = 0; c < n; ++c) {
            const double start = (adds ? added[size_t(r * n + c)] : 0) + (biased ? bias[size_t(c)] : 0);
            Due due{start, 1e-5};
            for (int64_t low = 0; low < k; low += span)
                due.add(&x[size_t(r * k + low)], &w[size_t(low * down + c * right)], down, std::min(span, k - low));
            const double found = target[size_t(r * (n + 1) + c)];
            CHECK(std::isnan(due.sum) ? std::isnan(found) : std::abs(found - due.sum) <= due.slack);
        }
        CHECK(target[size_t(r * (n + 1) + n)] == 123);
    }
}

template <class T>
void every_kernel() {
    functions_of_one_number<T>();
    operations_of_several_numbers<T>();
    for (const InstructionSet& set : instruction_sets()) {
        const int before = failures();
        Random random(15);
        reductions(table<T>(set));
        reductions_down(table<T>(set));
        takes(table<T>(set));
        for (int64_t m = 1; m <= 14; ++m)
            for (auto [k, n] : {std::pair(1, 1), {3, 7}, {7, 63}, {40, 3}, {16, 129}, {5, 48}, {2, 130}, {4, 257}})
                for (int how = 0; how < 8; ++how) product(table<T>(set), random, m, k, n, how & 1, how & 2, how & 4);
        for (auto [k, m, n] : {std::tuple(1, 1, 1), {3, 6, 7}, {16, 13, 33}, {31, 20, 64}, {32, 16, 32}, {65, 49, 130}})
            outer_products(table<T>(set), random, k, m, n);
        products_in_runs(table<T>(set), random);
        // More rows than are taken at once, and a matrix too large to be read again for others
        for (auto [m, k, n] : {std::tuple(100, 300, 300), {31, 1000, 600}})
            for (int how : {1, 6}) product(table<T>(set), random, m, k, n, how & 1, how & 2, how & 4);
        if constexpr (sizeof(T) == sizeof(float))
            for (int64_t m : {1, 2, 3, 5, 6, 8, 13})
                for (auto [k, n] : {std::pair(1, 1), {3, 7}, {40, 3}, {16, 129}, {512, 48}, {513, 17}, {1100, 67}})
                    for (int how = 0; how < 4; ++how) product_int8(*set.float32, random, m, k, n, how & 1, how & 2);
        if constexpr (sizeof(T) == sizeof(float))
            for (int parts : {1, 2, 3})
                if (set.of_parts != nullptr) kernels_of_parts(*set.of_parts(parts), parts, random);
        if constexpr (sizeof(T) == sizeof(float))
            if (set.of_digits != nullptr) kernels_of_digits(*set.of_digits(), random);
        if (failures() != before) std::fprintf(stderr, "  %s, %d bytes a number\n", set.name, int(sizeof(T)));
    }
}

}  // namespace

void test_kernels() {
    every_kernel<float>();
    every_kernel<double>();
}
