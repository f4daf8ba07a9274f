// Both sides of a sum over rows as digits: of some hundreds of rows each column has a unit.
//
// Such rows may be of unlike sizes, and then the small ones of a column would lose digits that count where the large ones of the
// other side are: a row with an outlier, say, for which gradients vanish. Columns whose largest number is too far above the
// mean, or is no number, are refused, and products of parts are made instead.
#pragma once
#include "amx_digit_matmul.h"

namespace {

constexpr float kMostAboveMean = 64;

// Units of sixteen columns each, `kVectors` times. Whether the numbers of each are of like sizes.
template <int kVectors>
bool units_of_columns(const float* const* rows, int64_t k, int64_t column, int64_t end, ColumnUnits* units) {
    constexpr int64_t ahead = 8;  // rows lie far apart, in memory or the third cache
    Largest largest[kVectors];
    Vec<float> sums[kVectors] = {};
    for (int64_t row = 0; row < k; ++row) {
        const float* from = rows[row] + column;
        const float* later = rows[row + ahead < k ? row + ahead : k - 1] + column;
#pragma GCC unroll 8
        for (int j = 0; j < kVectors; ++j) {
            __builtin_prefetch(later + j * kTileRows);
            const Vec<float> numbers = load_as_many(from + j * kTileRows, end - column - j * kTileRows);
            largest[j].take(numbers);
            sums[j] += (Vec<float>)((VecBits)numbers & 0x7fffffffu);
        }
    }
    VecInt fits = ~VecInt{};
    for (int j = 0; j < kVectors; ++j) {
        units[j] = ColumnUnits(largest[j].sizes);
        fits &= (Vec<float>)largest[j].sizes * float(k) <= sums[j] * kMostAboveMean && units[j].worth == units[j].worth;
    }
    return _mm512_movepi32_mask((__m512i)fits) == 0xffff;
}

// Calls of_tile(column, units) for each sixteen columns of [begin, end), once for some rows at a time; false where they do not fit.
template <class OfTile>
ALWAYS bool split_columns(const float* const* rows, int64_t k, int64_t begin, int64_t end, OfTile of_tile) {
    constexpr int64_t tiles = 8;
    for (int64_t low = begin; low < end; low += tiles * kTileRows) {
        ColumnUnits units[tiles];
        const int64_t count = (fewer(end - low, tiles * kTileRows) + kTileRows - 1) / kTileRows;
        bool fits = true;
        if (count == tiles)
            fits = units_of_columns<tiles>(rows, k, low, end, units);
        else
            for (int64_t tile = 0; tile < count; ++tile)
                fits &= units_of_columns<1>(rows, k, low + tile * kTileRows, end, units + tile);
        if (!fits) return false;
        for (int64_t step = 0; step < digit_steps(k); ++step)
            for (int64_t tile = 0; tile < count; ++tile) of_tile(step, low + tile * kTileRows, units[tile]);
    }
    return true;
}

// Digits of 64 rows of sixteen columns, four rows beside each other: as tiles of weights.
ALWAYS void split_tile(const float* const* rows, int64_t k, int64_t step, int64_t column, int64_t end, const ColumnUnits& units,
                       char* to) {
    for (int64_t i = 0; i < kTileRows; ++i, to += 64) {
        Vec<float> numbers[4] = {};
#pragma GCC unroll 4
        for (int quarter = 0; quarter < 4; ++quarter) {
            const int64_t row = step * kDigitDepth + kQuarter[quarter] + i;
            if (row < k) numbers[quarter] = load_as_many(rows[row] + column, end - column) * units.of_one;
        }
        store_digits(to, numbers);
    }
}

bool pack_rows_digits(const float* const* rows, int64_t k, int64_t n, float* packed) {
    return split_columns(rows, k, 0, n, [&](int64_t step, int64_t column, const ColumnUnits& units) {
        char* panel = reinterpret_cast<char*>(packed) + column / kPanelColumns * digit_panel_bytes(k);
        const int64_t tile = column / kTileRows % 2;
        split_tile(rows, k, step, column, n, units, panel + tile * digit_tile_bytes(k) + step * kDigitBytes);
        store<float>(const_cast<float*>(column_units(panel, k)) + tile * kTileRows, units.worth);
    });
}

// Blocks as panels are, of which each tile is turned: its rows are columns here.
bool deal_digits(const float* const* rows, int64_t k, int64_t begin, int64_t end, float* blocks) {
    return split_columns(rows, k, begin, end, [&](int64_t step, int64_t column, const ColumnUnits& units) {
        char* block = reinterpret_cast<char*>(blocks) + (column - begin) / kPanelColumns * digit_panel_bytes(k);
        const int64_t tile = (column - begin) / kTileRows % 2;
        char* to = block + tile * digit_tile_bytes(k) + step * kDigitBytes;
        alignas(64) char straight[kDigitBytes];
        split_tile(rows, k, step, column, end, units, straight);
        for (int64_t digit = 0; digit < kDigitBytes; digit += kTileBytes) {
            Vec<float> square[kTileRows];
            for (int64_t r = 0; r < kTileRows; ++r) __builtin_memcpy(&square[r], straight + digit + r * 64, 64);
            transpose<float, kTileRows / 2>(square);
            for (int64_t r = 0; r < kTileRows; ++r) __builtin_memcpy(to + digit + r * 64, &square[r], 64);
        }
        store<float>(const_cast<float*>(column_units(block, k)) + tile * kTileRows, units.worth);
    });
}

// A block as it was dealt by the panels.
void matmul_transposed_digits(const Product<float>& p) {
    const auto* block = reinterpret_cast<const char*>(p.source);
    DigitRows places;
    places.find(p, 0, p.m);
    __builtin_memcpy(places.worths, column_units(block, p.k), size_t(p.m) * sizeof(float));
    multiply_blocks(p, block, digit_tile_bytes(p.k), fewer(kTileRows, p.m), p.m, 0, digit_steps(p.k), places);
    release_tiles();
}

}  // namespace
