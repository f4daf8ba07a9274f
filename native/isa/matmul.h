// Products with a matrix that was packed before: blocks of up to 6 rows by a few vectors, held in registers over the
// whole of K. And with one that is read too seldom to be packed.
//
// Alone on its core a block waits for its multiply-adds. Beside another thread of the same core, as on many rented
// machines, it waits for its instructions, of which it then gets half as many a cycle: hence blocks of the shape that
// needs the fewest, and loops that are unrolled.
#pragma once
#include <utility>

#include "kernels.h"
#include "vector.h"

namespace {

using namespace echoic;

#if ECHOIC_VECTOR_BYTES == 64
constexpr int kAccumulators = 24;
#else
constexpr int kAccumulators = 12;
#endif

template <class T>
constexpr int64_t kPanel = 2 * kLanes<T>;

// Rows of a block, where there are many: 4 by 3 vectors load 7 for 12 multiply-adds, 6 by 2 load 8.
constexpr int kRowsAtOnce = kAccumulators == 24 ? 6 : 4;

constexpr int vectors_at_once(int rows) { return kAccumulators / rows; }

// Panels, of two vectors each, that one block of so many rows takes, or two blocks of an odd number of vectors.
constexpr int panels_at_once(int rows) {
    const int vectors = vectors_at_once(rows);
    return vectors % 2 ? vectors : vectors / 2;
}

// Where a block of a product goes, and what is added to it: read before anything is stored, for all that a compiler knows
// a store may change the product itself.
template <class T>
struct Place {
    T* target;
    int64_t target_stride;
    const T* added;
    int64_t added_stride;
    const T* bias;
    int64_t columns;  // from here on

    Place(const Product<T>& p, int64_t row, int64_t column)
        : target(p.target + row * p.target_stride + column), target_stride(p.target_stride),
          added(p.added ? p.added + row * p.added_stride + column : nullptr), added_stride(p.added_stride),
          bias(p.bias ? p.bias + column : nullptr), columns(p.n - column) {}

    template <int kRows, int kVectors>
    ALWAYS void put(Vec<T> (&sums)[kRows][kVectors]) const {
        constexpr int lanes = kLanes<T>;
        if (columns < kVectors * lanes) {
            T some[kRows * kVectors * lanes];
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
                for (int j = 0; j < kVectors; ++j) store<T>(some + (i * kVectors + j) * lanes, sums[i][j]);
            return put_some(some, kRows, kVectors * lanes);
        }
        if (added)
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
                for (int j = 0; j < kVectors; ++j) sums[i][j] += load(added + i * added_stride + j * lanes);
        if (bias)
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) {
                const Vec<T> one = load(bias + j * lanes);
#pragma GCC unroll 8
                for (int i = 0; i < kRows; ++i) sums[i][j] += one;
            }
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) store<T>(target + i * target_stride + j * lanes, sums[i][j]);
    }

    // The columns of a matrix that ends within a block.
    __attribute__((noinline)) void put_some(const T* sums, int64_t rows, int64_t wide) const {
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t c = 0; c < columns; ++c) {
                T sum = sums[i * wide + c];
                if (added) sum += added[i * added_stride + c];
                if (bias) sum += bias[c];
                target[i * target_stride + c] = sum;
            }
    }
};

// From the vector kFirst of a panel on. kAcross: the source is transposed, kBlock numbers for every k.
template <class T, int kRows, int kVectors, int kFirst, bool kAcross>
void block(const Product<T>& p, int64_t row, int64_t panel) {
    constexpr int lanes = kLanes<T>;
    constexpr int64_t width = kPanel<T>;
    Vec<T> sums[kRows][kVectors] = {};
    const T* x = p.source + (kAcross ? row : row * p.source_stride);
    const T* w = static_cast<const T*>(p.packed) + panel * p.k * width;
    const int64_t next_panel = p.k * width;
#pragma GCC unroll 8
    for (int64_t k = 0; k < p.k; ++k) {
        auto weight = [&](int j) {
            j += kFirst;
            return load(w + j / 2 * next_panel + k * width + j % 2 * lanes);
        };
        auto value = [&](int i) { return same(kAcross ? x[k * kBlock + i] : x[i * p.source_stride + k]); };
        // What there is less of stays in registers
        if constexpr (kRows > 1 && kRows < kVectors) {
            Vec<T> values[kRows];
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i) values[i] = value(i);
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) {
                Vec<T> one = weight(j);
                keep_in_register<T>(one);
#pragma GCC unroll 8
                for (int i = 0; i < kRows; ++i) sums[i][j] += values[i] * one;
            }
        } else {
            Vec<T> weights[kVectors];
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) weights[j] = weight(j);
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i) {
                const Vec<T> one = value(i);
#pragma GCC unroll 16
                for (int j = 0; j < kVectors; ++j) sums[i][j] += one * weights[j];
            }
        }
    }
    Place<T>(p, row, panel * width + kFirst * lanes).put(sums);
}

template <class T, int kRows, int kPanels, bool kAcross>
int64_t panels(const Product<T>& p, int64_t row, int64_t panel) {
    for (; panel + kPanels <= p.last_panel; panel += kPanels)
        if constexpr (2 * kPanels <= vectors_at_once(kRows)) {
            block<T, kRows, 2 * kPanels, 0, kAcross>(p, row, panel);
        } else {
            block<T, kRows, kPanels, 0, kAcross>(p, row, panel);
            block<T, kRows, kPanels, kPanels % 2, kAcross>(p, row, panel + kPanels / 2);
        }
    if constexpr (kPanels > 1) panel = panels<T, kRows, (kPanels + 1) / 2, kAcross>(p, row, panel);
    return panel;
}

// All rows by the panels [first, last) of a group small enough to stay in the nearest cache.
template <class T, int kRows, bool kAcross = false>
void rows_by_panels(const Product<T>& p, int64_t row) {
    panels<T, kRows, panels_at_once(kRows), kAcross>(p, row, p.first_panel);
}

// Blocks of rows that all panels are multiplied with, one after the other: as many as stay in a part of the second
// cache with what becomes of them. Of a matrix that does not stay there every panel is read once alone.
template <class T>
int64_t blocks_at_once(const Product<T>& p, int64_t blocks) {
    constexpr int64_t near = (128 << 10) / sizeof(T), most = (1 << 20) / sizeof(T);
    const int64_t columns = (p.last_panel - p.first_panel) * kPanel<T>;
    if (p.k * columns > most) return blocks;
    const int64_t fitting = near / ((p.k + columns) * kRowsAtOnce);
    return fitting > 0 ? fitting : 1;
}

template <class T>
void matmul(const Product<T>& whole) {
    using Run = void (*)(const Product<T>&, int64_t);
    static constexpr Run run[kBlock + 1] = {nullptr, rows_by_panels<T, 1>, rows_by_panels<T, 2>, rows_by_panels<T, 3>,
                                            rows_by_panels<T, 4>, rows_by_panels<T, 5>, rows_by_panels<T, 6>};
    const int64_t more = whole.m - kBlock;  // than one block may have
    const int64_t blocks = 1 + (more > 0 ? (more + kRowsAtOnce - 1) / kRowsAtOnce : 0);
    Product<T> p = whole;
    const int64_t group = blocks > 1 ? panels_at_once(kRowsAtOnce) : whole.last_panel - whole.first_panel;
    const int64_t near = blocks_at_once(whole, blocks);
    for (int64_t low = 0; low < blocks; low += near)
        for (int64_t panel = whole.first_panel; panel < whole.last_panel; panel += group) {
            p.first_panel = panel;
            p.last_panel = panel + group < whole.last_panel ? panel + group : whole.last_panel;
            for (int64_t b = low; b < low + near && b < blocks; ++b) {
                const int64_t begin = whole.m * b / blocks, end = whole.m * (b + 1) / blocks;
                run[end - begin](p, begin);
            }
        }
}

template <class T>
void matmul_transposed(const Product<T>& p) {
    using Run = void (*)(const Product<T>&, int64_t);
    static constexpr Run run[kBlock + 1] = {
        nullptr, rows_by_panels<T, 1, true>, rows_by_panels<T, 2, true>, rows_by_panels<T, 3, true>,
        rows_by_panels<T, 4, true>, rows_by_panels<T, 5, true>, rows_by_panels<T, 6, true>};
    run[p.m](p, 0);
}

// A few rows by a few columns, along K.
template <class T, int kRows, int kColumns>
void dots(const Product<T>& p, int64_t row, int64_t column) {
    constexpr int lanes = kLanes<T>;
    Vec<T> sums[kRows][kColumns] = {};
    const T *x = p.source + row * p.source_stride, *w = p.columns + column * p.column_stride;
    int64_t k = 0;
    for (; k + lanes <= p.k; k += lanes) {
        auto weight = [&](int c) { return load(w + c * p.column_stride + k); };
        auto value = [&](int r) { return load(x + r * p.source_stride + k); };
        // What there is less of stays in registers
        constexpr int kept = kRows < kColumns ? kRows : kColumns;
        Vec<T> near[kept];
#pragma GCC unroll 8
        for (int i = 0; i < kept; ++i) {
            near[i] = kRows < kColumns ? value(i) : weight(i);
            keep_in_register<T>(near[i]);
        }
#pragma GCC unroll 8
        for (int j = 0; j < kRows * kColumns / kept; ++j) {
            Vec<T> one = kRows < kColumns ? weight(j) : value(j);
            if constexpr (kept > 1) keep_in_register<T>(one);
#pragma GCC unroll 8
            for (int i = 0; i < kept; ++i) (kRows < kColumns ? sums[i][j] : sums[j][i]) += one * near[i];
        }
    }
    if (const int64_t rest = p.k - k)
        for (int c = 0; c < kColumns; ++c) {
            const Vec<T> weights = load_some(w + c * p.column_stride + k, rest);
            for (int r = 0; r < kRows; ++r) sums[r][c] += load_some(x + r * p.source_stride + k, rest) * weights;
        }
    for (int r = 0; r < kRows; ++r)
        for (int c = 0; c < kColumns; ++c) {
            T lane[lanes];
            store<T>(lane, sums[r][c]);
            for (int half = lanes / 2; half > 0; half /= 2)
                for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
            if (p.added) lane[0] += p.added[(row + r) * p.added_stride + column + c];
            if (p.bias) lane[0] += p.bias[column + c];
            p.target[(row + r) * p.target_stride + column + c] = lane[0];
        }
}

template <class T, int kRows>
void rows_by_columns(const Product<T>& p, int64_t row) {
    constexpr int columns = kRows == 1 ? 8 : kRows <= 3 ? 4 : 2;
    const int64_t last = p.last_panel * kPanel<T> < p.n ? p.last_panel * kPanel<T> : p.n;
    int64_t column = p.first_panel * kPanel<T>;
    for (; column + columns <= last; column += columns) dots<T, kRows, columns>(p, row, column);
    for (; column < last; ++column) dots<T, kRows, 1>(p, row, column);
}

template <class T>
void matmul_unpacked(const Product<T>& whole) {
    using Run = void (*)(const Product<T>&, int64_t);
    static constexpr Run run[kBlock + 1] = {nullptr, rows_by_columns<T, 1>, rows_by_columns<T, 2>, rows_by_columns<T, 3>,
                                            rows_by_columns<T, 4>, rows_by_columns<T, 5>, rows_by_columns<T, 6>};
    Product<T> p = whole;
    const int64_t group = whole.m > kBlock ? 1 : whole.last_panel - whole.first_panel;
    for (int64_t panel = whole.first_panel; panel < whole.last_panel; panel += group) {
        p.first_panel = panel, p.last_panel = panel + group;
        for (int64_t row = 0; row < p.m; row += kBlock) run[p.m - row < kBlock ? p.m - row : kBlock](p, row);
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

// A panel of a matrix whose columns lie contiguously, a square at a time.
template <class T>
void pack_columns(const T* source, int64_t column_stride, int64_t k, T* packed) {
    constexpr int lanes = kLanes<T>;
    constexpr int64_t width = kPanel<T>;
    int64_t i = 0;
    if constexpr (lanes > 1)
        for (; i + lanes <= k; i += lanes) {
            // As much of the next panel: a processor does not foresee where columns go on
            const char* soon = reinterpret_cast<const char*>(source + width * (column_stride + i));
            for (size_t line = 0; line < lanes * width * sizeof(T); line += 64) __builtin_prefetch(soon + line, 0, 2);
            for (int64_t first = 0; first < width; first += lanes) {
                Vec<T> square[lanes];
                for (int c = 0; c < lanes; ++c) square[c] = load(source + (first + c) * column_stride + i);
                transpose<T, lanes / 2>(square);
                for (int r = 0; r < lanes; ++r) store<T>(packed + (i + r) * width + first, square[r]);
            }
        }
    for (; i < k; ++i)
        for (int64_t c = 0; c < width; ++c) packed[i * width + c] = source[c * column_stride + i];
}

template <class T>
void pack(const T* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, T* packed) {
    constexpr int64_t width = kPanel<T>;
    for (int64_t first = 0; first < n; first += width) {
        const int64_t columns = n - first < width ? n - first : width;
        if (row_stride == 1 && columns == width) {  // a transposed matrix
            pack_columns(source + first * column_stride, column_stride, k, packed);
        } else {
            for (int64_t i = 0; i < k; ++i)
                for (int64_t c = 0; c < width; ++c)
                    packed[i * width + c] = c < columns ? source[i * row_stride + (first + c) * column_stride] : T(0);
        }
        packed += k * width;
    }
}

}  // namespace
