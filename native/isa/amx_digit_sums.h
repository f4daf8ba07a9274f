// Both sides of a sum over rows as digits: of some hundreds of rows each column has a unit. Before, the left rows, gradients, are
// brought to a like size, and the right ones as much the other way: what a column loses digits to is then a row that counts,
// and not one with an outlier for which gradients vanish. Columns with what is no number are refused.
#pragma once
#include "amx_digit_matmul.h"

namespace {

// By what rows are divided: powers of two.
void sizes_of_rows(const float* const* rows, int64_t k, int64_t n, float* sizes) {
    for (int64_t row = 0; row < k; ++row) {
        const float* later = rows[lesser(row + 2, k - 1)];  // rows lie far apart, in memory or the third cache
        Largest even, odd;
        for (int64_t c = 0; c < n; c += 2 * kTileRows) {
            __builtin_prefetch(later + c);
            __builtin_prefetch(later + lesser(c + kTileRows, n - 1));
            even.take(load_up_to(rows[row] + c, n - c));
            odd.take(load_up_to(rows[row] + c + kTileRows, n - c - kTileRows));
        }
        even.take((Vec<float>)odd.sizes);
        sizes[row] = near_power(even.bits());
    }
}

// Rows times a power of two each.
struct SizedRows {
    const float* const* rows;
    int64_t k;
    float by[kMostSummed];

    ALWAYS Vec<float> at(int64_t row, int64_t column, int64_t end) const {
        return load_up_to(rows[row] + column, end - column) * same(by[row]);
    }
};

// Units of sixteen columns each, `kVectors` times. Whether all are numbers.
template <int kVectors>
bool units_of_columns(const SizedRows& sized, int64_t column, int64_t end, ColumnUnits* units) {
    constexpr int64_t ahead = 8;  // rows lie far apart, in memory or the third cache
    Largest largest[kVectors];
    for (int64_t row = 0; row < sized.k; ++row) {
        const float* later = sized.rows[lesser(row + ahead, sized.k - 1)] + column;
#pragma GCC unroll 8
        for (int j = 0; j < kVectors; ++j) {
            __builtin_prefetch(later + j * kTileRows);
            largest[j].take(sized.at(row, column + j * kTileRows, end));
        }
    }
    VecInt numbers = ~VecInt{};
    for (int j = 0; j < kVectors; ++j) {
        units[j] = ColumnUnits(largest[j].sizes);
        numbers &= units[j].worth == units[j].worth;
    }
    return _mm512_movepi32_mask((__m512i)numbers) == 0xffff;
}

// Calls of_tile(step, column, units) for each sixteen columns of [begin, end) and 64 rows; false where not all are numbers.
template <class OfTile>
ALWAYS bool split_columns(const SizedRows& sized, int64_t begin, int64_t end, OfTile of_tile) {
    constexpr int64_t tiles = 8;
    for (int64_t low = begin; low < end; low += tiles * kTileRows) {
        ColumnUnits units[tiles];
        const int64_t count = (lesser(end - low, tiles * kTileRows) + kTileRows - 1) / kTileRows;
        bool numbers = true;
        if (count == tiles)
            numbers = units_of_columns<tiles>(sized, low, end, units);
        else
            for (int64_t tile = 0; tile < count; ++tile)
                numbers &= units_of_columns<1>(sized, low + tile * kTileRows, end, units + tile);
        if (!numbers) return false;
        for (int64_t step = 0; step < digit_steps(sized.k); ++step)
            for (int64_t tile = 0; tile < count; ++tile) of_tile(step, low + tile * kTileRows, units[tile]);
    }
    return true;
}

// Digits of 64 rows of sixteen columns, four rows beside each other: as tiles of weights.
ALWAYS void split_tile(const SizedRows& sized, int64_t step, int64_t column, int64_t end, const ColumnUnits& units, char* to) {
    for (int64_t i = 0; i < kTileRows; ++i, to += 64) {
        Vec<float> numbers[4] = {};
#pragma GCC unroll 4
        for (int quarter = 0; quarter < 4; ++quarter) {
            const int64_t row = step * kDigitDepth + kQuarter[quarter] + i;
            if (row < sized.k) numbers[quarter] = sized.at(row, column, end) * units.of_one;
        }
        store_digits(to, numbers);
    }
}

bool pack_rows_digits(const float* const* rows, const float* sizes, int64_t k, int64_t n, float* packed) {
    SizedRows sized{rows, k, {}};
    for (int64_t row = 0; row < k; ++row) sized.by[row] = sizes[row];
    return split_columns(sized, 0, n, [&](int64_t step, int64_t column, const ColumnUnits& units) {
        const DigitPanel panel(packed, k, column / kColumns);
        const int64_t tile = column / kTileRows % 2;
        split_tile(sized, step, column, n, units, panel.tile(tile, step));
        store<float>(panel.worths(tile), units.worth);
    });
}

// Blocks as panels are, of which each tile is turned: its rows are columns here.
bool deal_digits(const float* const* rows, const float* sizes, int64_t k, int64_t begin, int64_t end, float* blocks) {
    SizedRows sized{rows, k, {}};
    for (int64_t row = 0; row < k; ++row) sized.by[row] = inverse_power(sizes[row]);
    return split_columns(sized, begin, end, [&](int64_t step, int64_t column, const ColumnUnits& units) {
        const DigitPanel block(blocks, k, (column - begin) / kColumns);
        const int64_t tile = (column - begin) / kTileRows % 2;
        alignas(64) char straight[kDigitBytes];
        split_tile(sized, step, column, end, units, straight);
        for (int64_t digit = 0; digit < kDigitBytes; digit += kTileBytes) {
            Vec<float> square[kTileRows];
            for (int64_t r = 0; r < kTileRows; ++r) __builtin_memcpy(&square[r], straight + digit + r * 64, 64);
            transpose<float, kTileRows / 2>(square);
            for (int64_t r = 0; r < kTileRows; ++r) __builtin_memcpy(block.tile(tile, step) + digit + r * 64, &square[r], 64);
        }
        store<float>(block.worths(tile), units.worth);
    });
}

// A block as it was dealt by the panels.
void matmul_transposed_digits(const Product<float>& p) {
    const DigitPanel block(p.source, p.k, 0);
    DigitRows places;
    places.find(p, 0, p.m);
    __builtin_memcpy(places.worths, block.worths(0), size_t(p.m) * sizeof(float));
    multiply_blocks(p, block.tile(0, 0), DigitPanel::tile_bytes(p.k), lesser(kTileRows, p.m), p.m, 0, digit_steps(p.k), places);
    release_tiles();
}

}  // namespace
