// Numbers as the tiles of AMX multiply them: rounded to a bfloat16 number, their one part, to the sum of two, whose 16
// significant bits are off by less than 2^-17 of them, or as they are, the sum of three (above 1e-30: tiles know no subnormal
// numbers). And matrices laid out as tiles of such parts.
#pragma once
#include <immintrin.h>

#include "tiles.h"

namespace {

template <int kParts>
constexpr int64_t kBlockBytes = kParts * kTileBytes;  // of kTileRows rows, or columns, for a tile's depth
template <int kParts>
constexpr int64_t kStepBytes = 2 * kBlockBytes<kParts>;  // of a panel

constexpr int64_t steps_of(int64_t k) { return (k + kTileDepth - 1) / kTileDepth; }

// Numbers of float's size in a packed column.
template <int kParts>
int64_t depth_of_parts(int64_t k) {
    return steps_of(k) * kBlockBytes<kParts> / (kTileRows * int64_t(sizeof(float)));
}

// Sixteen pairs of bfloat16 numbers, and what they are: the nearest ones, or of three parts what is left when the ends are
// cut off, as the next ones hold these in any case.
template <int kParts>
ALWAYS VecBits paired(Vec<float> first, Vec<float> second) {
    if constexpr (kParts == 3) return (VecBits)first >> 16 | ((VecBits)second & 0xffff0000u);
    typedef uint16_t Places __attribute__((vector_size(64)));
    constexpr Places side_by_side = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512bh both = _mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    return (VecBits)_mm512_permutexvar_epi16((__m512i)side_by_side, (__m512i)both);
}
ALWAYS Vec<float> first_of(VecBits pairs) { return (Vec<float>)(pairs << 16); }
ALWAYS Vec<float> second_of(VecBits pairs) { return (Vec<float>)(pairs & 0xffff0000u); }

// A row of a tile for each part.
template <int kParts>
ALWAYS void store_parts(char* to, Vec<float> first, Vec<float> second) {
#pragma GCC unroll 3
    for (int part = 0; part < kParts; ++part) {
        const VecBits pairs = paired<kParts>(first, second);
        store_bytes(to + part * kTileBytes, pairs);
        first -= first_of(pairs), second -= second_of(pairs);
    }
}

// One step of a panel from rows of kColumns floats; those past `count` are zeros. A row is paired with the one half a
// step further on.
template <int kParts, class Row>
ALWAYS void pack_step(Row row, int64_t count, char* to) {
    constexpr int64_t half = kTileDepth / 2;
    for (int64_t r = 0; r < half; ++r)
        for (int64_t tile = 0; tile < 2; ++tile) {
            const Vec<float> first = r < count ? row(r, tile * kTileRows) : Vec<float>{};
            const Vec<float> second = r + half < count ? row(r + half, tile * kTileRows) : Vec<float>{};
            store_parts<kParts>(to + tile * kBlockBytes<kParts> + r * 64, first, second);
        }
}

template <int kParts>
void pack_parts(const float* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t,
                int64_t first, int64_t last, float* packed) {
    char* to = reinterpret_cast<char*>(packed);
    alignas(64) float square[kTileDepth * kColumns];
    for (; first < last; first += kColumns)
        for (int64_t low = 0; low < k; low += kTileDepth, to += kStepBytes<kParts>) {
            const int64_t count = lesser(kTileDepth, k - low);
            const int64_t columns = lesser(kColumns, last - first);
            pack(source + low * row_stride + first * column_stride, row_stride, column_stride, count, columns, 0, columns, square);
            pack_step<kParts>([&](int64_t r, int64_t c) { return load(square + r * kColumns + c); }, count, to);
        }
}

// Some columns of the rows after the next kTileDepth ones are on their way from here on: rows lie far apart, in memory or the
// third cache.
ALWAYS void fetch_next_rows(const float* const* rows, int64_t low, int64_t k, int64_t column) {
    for (int64_t row = low + kTileDepth; row < lesser(low + 2 * kTileDepth, k); ++row)
        __builtin_prefetch(rows[row] + column);
}

template <int kParts>
bool pack_rows_parts(const float* const* rows, const float*, int64_t k, int64_t n, float* packed) {
    for (int64_t low = 0; low < k; low += kTileDepth) {
        char* to = reinterpret_cast<char*>(packed) + low / kTileDepth * kStepBytes<kParts>;
        for (int64_t first = 0; first < n; first += kColumns, to += steps_of(k) * kStepBytes<kParts>) {
            fetch_next_rows(rows, low, k, first);
            fetch_next_rows(rows, low, k, first + kTileRows);
            pack_step<kParts>(
                [&](int64_t r, int64_t c) { return load_up_to(rows[low + r] + first + c, n - first - c); },
                lesser(kTileDepth, k - low), to);
        }
    }
    return true;
}

// Blocks of kTileRows columns, of each the tiles of all rows.
template <int kParts>
bool deal_parts(const float* const* rows, const float*, int64_t k, int64_t begin, int64_t end, float* blocks) {
    for (int64_t low = 0; low < k; low += kTileDepth) {
        char* to = reinterpret_cast<char*>(blocks) + low / kTileDepth * kBlockBytes<kParts>;
        for (int64_t column = begin; column < end; column += kTileRows, to += steps_of(k) * kBlockBytes<kParts>) {
            fetch_next_rows(rows, low, k, column);
            Vec<float> square[2][kTileRows];
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
                for (int64_t r = 0; r < kTileRows; ++r) {
                    const int64_t row = low + half * kTileRows + r;
                    square[half][r] = row < k ? load_up_to(rows[row] + column, end - column) : Vec<float>{};
                }
                transpose<float, kTileRows / 2>(square[half]);
            }
            for (int64_t r = 0; r < kTileRows; ++r) store_parts<kParts>(to + r * 64, square[0][r], square[1][r]);
        }
    }
    return true;
}

}  // namespace
