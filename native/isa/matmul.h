// Products with a matrix that was packed before: blocks of up to 8 rows by a few vectors, held in registers over the
// whole of K. And with one that is read too seldom to be packed.
//
// Alone on its core a block waits for its multiply-adds. Beside another thread of the same core, as on many rented
// machines, it waits for its instructions, of which it then gets half as many a cycle: hence blocks of the shape that
// needs the fewest, and loops that are unrolled.
#pragma once
#include "kernels.h"
#include "vector.h"

namespace {

using namespace echoic;

// Registers for sums; rows of a block, at most, and where there are many: with the fewest instructions for a multiply-add.
#if ECHOIC_VECTOR_BYTES == 64
constexpr int kAccumulators = 24, kMostRows = 8, kRowsAtOnce = 6;
#else
constexpr int kAccumulators = 12, kMostRows = 6, kRowsAtOnce = 4;
#endif

constexpr int kBlock = 6;  // rows of a transposed source

// Steps of k between a row of weights that is used and one that is fetched, where weights come from afar.
constexpr int64_t kSoon = 8;

// Blocks of rows from which on they come from afar, too: those of many steps.
constexpr int64_t kManyBlocks = 6;

template <class T>
constexpr int64_t kPanel = 2 * kLanes<T>;

// Vectors of a block. Panels often lie whole pages apart, and a line of each goes to the same few places of the first
// cache: hence a limit.
constexpr int vectors_at_once(int rows) {
    constexpr int most = kAccumulators == 24 ? 8 : 12;
    return kAccumulators / rows < most ? kAccumulators / rows : most;
}

// Panels, of two vectors each, that one block of so many rows takes, or two blocks of an odd number of vectors.
constexpr int panels_at_once(int rows) {
    const int vectors = vectors_at_once(rows);
    return vectors % 2 ? vectors : vectors / 2;
}

// How far a row lies from the first, in what has such a distance from row to row and from run to run.
template <class T>
ALWAYS int64_t row_at(const Product<T>& p, int64_t row, int64_t stride, int64_t jump) {
    return p.run == 0 || jump == p.run * stride ? row * stride : row / p.run * jump + row % p.run * stride;
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

    Place() = default;
    Place(const Product<T>& p, int64_t row, int64_t column)
        : target(p.target + row_at(p, row, p.target_stride, p.target_jump) + column), target_stride(p.target_stride),
          added(p.added ? p.added + row_at(p, row, p.added_stride, p.added_jump) + column : nullptr),
          added_stride(p.added_stride),
          bias(p.bias ? p.bias + column : nullptr), columns(p.n - column) {}

    template <int kRows, int kVectors>
    ALWAYS void put(Vec<T> (&sums)[kRows][kVectors]) const {
        constexpr int lanes = kLanes<T>;
        if (columns < kVectors * lanes) {
            T some[kRows * kVectors * lanes];
#pragma GCC unroll 16
            for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
                for (int j = 0; j < kVectors; ++j) store<T>(some + (i * kVectors + j) * lanes, sums[i][j]);
            return put_some(some, kRows, kVectors * lanes);
        }
        if (added)
#pragma GCC unroll 16
            for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
                for (int j = 0; j < kVectors; ++j) sums[i][j] += load(added + i * added_stride + j * lanes);
        if (bias)
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) {
                const Vec<T> one = load(bias + j * lanes);
#pragma GCC unroll 16
                for (int i = 0; i < kRows; ++i) sums[i][j] += one;
            }
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) store<T>(target + i * target_stride + j * lanes, sums[i][j]);
    }

    // The columns of a matrix that ends within a block.
    __attribute__((noinline)) void put_some(const T* sums, int64_t rows, int64_t wide) const {
        constexpr int lanes = kLanes<T>;
        const int64_t rest = columns % lanes, whole = columns - rest;
        for (int64_t i = 0; i < rows; ++i) {
            const T *from = sums + i * wide, *more = added ? added + i * added_stride : nullptr;
            T* to = target + i * target_stride;
            for (int64_t c = 0; c < whole; c += lanes) {
                Vec<T> sum = load(from + c);
                if (more) sum += load(more + c);
                if (bias) sum += load(bias + c);
                store<T>(to + c, sum);
            }
            if (rest == 0) continue;
            Vec<T> sum = load(from + whole);
            if (more) sum += load_some(more + whole, rest);
            if (bias) sum += load_some(bias + whole, rest);
            store_some<T>(to + whole, sum, rest);
        }
    }
};

// What a block reads: rows and weights from the nearest caches; weights from afar, which are fetched ahead; or weights and
// a source that is transposed, kBlock numbers for every k. A row of weights that is less than a line of the cache is not
// fetched: it was no faster.
enum class Reading { near, far, across };
constexpr Reading kFromAfar = ECHOIC_VECTOR_BYTES == 64 ? Reading::far : Reading::near;

// From the vector kFirst of a panel on.
template <class T, int kRows, int kVectors, int kFirst, Reading kReading>
void block(const Product<T>& p, int64_t row, int64_t panel) {
    constexpr int lanes = kLanes<T>;
    constexpr int64_t width = kPanel<T>;
    constexpr bool kAcross = kReading == Reading::across;
    Vec<T> sums[kRows][kVectors] = {};
    const T* x = p.source + (kAcross ? row : row_at(p, row, p.source_stride, p.source_jump));
    const T* w = static_cast<const T*>(p.packed) + panel * p.k * width;
    const int64_t next_panel = p.k * width;
#pragma GCC unroll 8
    for (int64_t k = 0; k < p.k; ++k) {
        auto weight = [&](int j) {
            j += kFirst;
            const T* at = w + j / 2 * next_panel + k * width + j % 2 * lanes;
            if constexpr (kReading == Reading::far) __builtin_prefetch(at + kSoon * width);
            return load(at);
        };
        auto value = [&](int i) { return same(kAcross ? x[k * kBlock + i] : x[i * p.source_stride + k]); };
        // What there is less of stays in registers
        if constexpr (kRows > 1 && kRows < kVectors) {
            Vec<T> values[kRows];
#pragma GCC unroll 16
            for (int i = 0; i < kRows; ++i) values[i] = value(i);
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) {
                Vec<T> one = weight(j);
                keep_in_register<T>(one);
#pragma GCC unroll 16
                for (int i = 0; i < kRows; ++i) sums[i][j] += values[i] * one;
            }
        } else {
            Vec<T> weights[kVectors];
#pragma GCC unroll 16
            for (int j = 0; j < kVectors; ++j) weights[j] = weight(j);
#pragma GCC unroll 16
            for (int i = 0; i < kRows; ++i) {
                const Vec<T> one = value(i);
#pragma GCC unroll 16
                for (int j = 0; j < kVectors; ++j) sums[i][j] += one * weights[j];
            }
        }
    }
    Place<T>(p, row, panel * width + kFirst * lanes).put(sums);
}

template <class T, int kRows, int kPanels, Reading kReading>
int64_t panels(const Product<T>& p, int64_t row, int64_t panel) {
    for (; panel + kPanels <= p.last_panel; panel += kPanels)
        if constexpr (2 * kPanels <= vectors_at_once(kRows)) {
            block<T, kRows, 2 * kPanels, 0, kReading>(p, row, panel);
        } else {
            block<T, kRows, kPanels, 0, kReading>(p, row, panel);
            block<T, kRows, kPanels, kPanels % 2, kReading>(p, row, panel + kPanels / 2);
        }
    if constexpr (kPanels > 1) panel = panels<T, kRows, (kPanels + 1) / 2, kReading>(p, row, panel);
    return panel;
}

// All rows by the panels [first, last) of a group small enough to stay in the nearest cache.
template <class T, int kRows, Reading kReading>
void rows_by_panels(const Product<T>& p, int64_t row) {
    panels<T, kRows, panels_at_once(kRows), kReading>(p, row, p.first_panel);
}

// rows_by_panels for each number of rows.
template <class T, int kMost>
struct Runs {
    void (*of[kMost])(const Product<T>&, int64_t row);
};
template <class T, Reading kReading, int... kRow>
constexpr Runs<T, sizeof...(kRow)> runs_of(std::integer_sequence<int, kRow...>) {
    return {{rows_by_panels<T, kRow + 1, kReading>...}};
}
template <class T, Reading kReading, int kMost>
constexpr Runs<T, kMost> runs = runs_of<T, kReading>(std::make_integer_sequence<int, kMost>{});

// Whether a matrix is too large to stay in the second cache beside other things.
template <class T>
bool comes_from_afar(const Product<T>& p) {
    return p.k * (p.last_panel - p.first_panel) * kPanel<T> * int64_t(sizeof(T)) + p.between > kSecondCache;
}

// Blocks of rows that all panels are multiplied with, one after the other: as many as stay in a part of the second
// cache with what becomes of them. Of a matrix that does not stay there every panel is read once alone.
template <class T>
int64_t blocks_at_once(const Product<T>& p, int64_t blocks) {
    constexpr int64_t near = (128 << 10) / sizeof(T);
    if (comes_from_afar(p)) return blocks;
    const int64_t fitting = near / ((p.k + (p.last_panel - p.first_panel) * kPanel<T>) * kRowsAtOnce);
    return fitting > 0 ? fitting : 1;
}

// Rows are on their way from here on. They lie too far apart for a processor to foresee the next ones.
template <class T>
void fetch_rows(const Product<T>& p, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
        fetch<false>(p.source + row_at(p, row, p.source_stride, p.source_jump), size_t(p.k) * sizeof(T));
}

template <class T>
void matmul(const Product<T>& whole) {
    const auto& run = comes_from_afar(whole) ? runs<T, kFromAfar, kMostRows> : runs<T, Reading::near, kMostRows>;
    const int64_t of_run = whole.run == 0 ? whole.m : whole.run, more = of_run - kMostRows;  // than one block may have
    const int64_t blocks_of_run = 1 + (more > 0 ? (more + kRowsAtOnce - 1) / kRowsAtOnce : 0);
    const int64_t blocks = blocks_of_run * (whole.m / of_run);
    const int64_t together = blocks_at_once(whole, blocks);
    const int64_t group = panels_at_once(blocks_of_run > 1 ? kRowsAtOnce : int(of_run));
    const int64_t groups = (whole.last_panel - whole.first_panel + group - 1) / group;
    auto first_row = [&](int64_t b) {
        b = b < blocks ? b : blocks;
        return b / blocks_of_run * of_run + b % blocks_of_run * of_run / blocks_of_run;
    };
    Product<T> p = whole;
    for (int64_t low = 0; low < blocks; low += together)
        for (int64_t g = 0; g < groups; ++g) {
            p.first_panel = whole.first_panel + (whole.backwards ? groups - 1 - g : g) * group;
            p.last_panel = p.first_panel + group < whole.last_panel ? p.first_panel + group : whole.last_panel;
            for (int64_t b = low; b < low + together && b < blocks; ++b) {
                const int64_t begin = first_row(b), end = first_row(b + 1);
                if (g == 0 && blocks >= kManyBlocks) fetch_rows(p, end, first_row(b + 2));
                run.of[end - begin - 1](p, begin);
            }
        }
}

template <class T>
void matmul_transposed(const Product<T>& p) {
    runs<T, Reading::across, kBlock>.of[p.m - 1](p, 0);
}

// A row that lies too far from the one before for the processor to foresee it is on its way from here on.
template <class T>
ALWAYS void fetch_row(const T* const* rows, int64_t k, int64_t row, int64_t begin, int64_t end) {
    constexpr int64_t ahead = 8;
    fetch<true>(rows[row + ahead < k ? row + ahead : k - 1] + begin, size_t(end - begin) * sizeof(T));
}

template <class T>
bool deal(const T* const* rows, const T*, int64_t k, int64_t begin, int64_t end, T* blocks) {
    constexpr int64_t wide = 8;  // take fewer instructions than kBlock; what is too much the next row writes again
    const int64_t whole = (end - begin) / kBlock, rest = (end - begin) % kBlock;
    for (int64_t row = 0; row < k; ++row) {
        fetch_row(rows, k, row, begin, end);
        const T* from = rows[row] + begin;
        T* to = blocks + row * kBlock;
        const int64_t widely = row + 1 < k ? whole - 1 : 0;
        int64_t b = 0;
        for (; b < widely; ++b) __builtin_memcpy(to + b * k * kBlock, from + b * kBlock, wide * sizeof(T));
        for (; b < whole; ++b) __builtin_memcpy(to + b * k * kBlock, from + b * kBlock, kBlock * sizeof(T));
        __builtin_memcpy(to + whole * k * kBlock, from + whole * kBlock, size_t(rest) * sizeof(T));
    }
    return true;
}

template <class T>
bool pack_rows(const T* const* rows, const T*, int64_t k, int64_t n, T* packed) {
    constexpr int64_t width = kPanel<T>;
    const int64_t whole = n / width, rest = n % width;
    for (int64_t row = 0; row < k; ++row) {
        fetch_row(rows, k, row, 0, n);
        const T* from = rows[row];
        T* to = packed + row * width;
        for (int64_t p = 0; p < whole; ++p) __builtin_memcpy(to + p * k * width, from + p * width, width * sizeof(T));
        if (rest == 0) continue;
        for (int64_t c = 0; c < width; ++c) to[whole * k * width + c] = c < rest ? from[whole * width + c] : T(0);
    }
    return true;
}

// Some vectors of columns, of even rows and of odd ones, which do not wait for each other.
template <class T, int kVectors>
ALWAYS void sum_vectors(const T* const* rows, int64_t k, int64_t column, T* sums) {
    Vec<T> even[kVectors] = {}, odd[kVectors] = {};
    int64_t row = 0;
    for (; row + 1 < k; row += 2)
        for (int j = 0; j < kVectors; ++j) {
            even[j] += load(rows[row] + column + j * kLanes<T>);
            odd[j] += load(rows[row + 1] + column + j * kLanes<T>);
        }
    for (int j = 0; j < kVectors; ++j) {
        if (row < k) even[j] += load(rows[row] + column + j * kLanes<T>);
        store<T>(sums + j * kLanes<T>, even[j] + odd[j]);
    }
}

template <class T>
void sum_columns(const T* const* rows, int64_t k, int64_t begin, int64_t end, T* sums) {
    constexpr int lanes = kLanes<T>;
    int64_t column = begin;
    for (; column + 3 * lanes <= end; column += 3 * lanes) sum_vectors<T, 3>(rows, k, column, sums + column - begin);
    for (; column + lanes <= end; column += lanes) sum_vectors<T, 1>(rows, k, column, sums + column - begin);
    for (; column < end; ++column) {
        T even = 0, odd = 0;
        for (int64_t row = 0; row < k; ++row) (row % 2 ? odd : even) += rows[row][column];
        sums[column - begin] = even + odd;
    }
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
    constexpr int most = 6;
    using Run = void (*)(const Product<T>&, int64_t);
    static constexpr Run run[most + 1] = {nullptr, rows_by_columns<T, 1>, rows_by_columns<T, 2>, rows_by_columns<T, 3>,
                                          rows_by_columns<T, 4>, rows_by_columns<T, 5>, rows_by_columns<T, 6>};
    Product<T> p = whole;
    const int64_t group = whole.m > most ? 1 : whole.last_panel - whole.first_panel;
    for (int64_t panel = whole.first_panel; panel < whole.last_panel; panel += group) {
        p.first_panel = panel, p.last_panel = panel + group;
        for (int64_t row = 0; row < p.m; row += most) run[p.m - row < most ? p.m - row : most](p, row);
    }
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
            fetch<false>(source + width * (column_stride + i), lanes * width * sizeof(T));
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

// The columns [first, last) of a matrix [K, N], from the panel on where `packed` points.
template <class T>
void pack(const T* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t, int64_t first, int64_t last, T* packed) {
    constexpr int64_t width = kPanel<T>;
    for (; first < last; first += width, packed += k * width) {
        const int64_t columns = last - first < width ? last - first : width;
        if (row_stride == 1 && columns == width) {  // a transposed matrix
            pack_columns(source + first * column_stride, column_stride, k, packed);
        } else {
            for (int64_t i = 0; i < k; ++i)
                for (int64_t c = 0; c < width; ++c)
                    packed[i * width + c] = c < columns ? source[i * row_stride + (first + c) * column_stride] : T(0);
        }
    }
}

}  // namespace
