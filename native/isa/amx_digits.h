// Float32 numbers as the tiles of AMX multiply them fastest: as three digits of eight bits, each from -128 to 127, of a whole
// number of units. A row of the one matrix and a column of the other have a unit each, a power of two: their largest number is
// 2^22 units or more, and less than 2^23. So a number is off by less than 2^-23 of the largest one beside it, and whole
// numbers up to 2^22 are what they are. Before, the rows of the matrix that is packed are brought to a like size, and the
// columns of the other as much the other way, lest numbers be lost of which one is small because the other is large.
//
// Ootomo, Ozaki and Yokota do as much for double precision in "DGEMM on Integer Matrix Multiplication Unit" (2024).
#pragma once
#include <immintrin.h>

#include "tiles.h"

namespace {

constexpr int64_t kDigits = 3, kDigitDepth = 64;  // bytes of a tile's row
constexpr int64_t kDigitBytes = kDigits * kTileBytes;  // of kTileRows rows, or columns, for a tile's depth

constexpr int64_t digit_steps(int64_t k) { return (k + kDigitDepth - 1) / kDigitDepth; }

// A packed panel: the digits of its columns, a tile's after the other's; what a unit of each column is worth; and what the rows
// were divided by. Those who pack write it, others read it.
class DigitPanel {
   public:
    ALWAYS DigitPanel(const void* packed, int64_t k, int64_t panel)
        : at_(const_cast<char*>(static_cast<const char*>(packed)) + panel * bytes(k)), k_(k) {}

    static constexpr int64_t tile_bytes(int64_t k) { return digit_steps(k) * kDigitBytes; }
    static constexpr int64_t bytes(int64_t k) {
        return 2 * tile_bytes(k) + (kColumns + digit_steps(k) * kDigitDepth) * int64_t(sizeof(float));
    }

    ALWAYS char* tile(int64_t tile, int64_t step) const { return at_ + tile * tile_bytes(k_) + step * kDigitBytes; }
    ALWAYS float* worths(int64_t tile) const { return reinterpret_cast<float*>(at_ + 2 * tile_bytes(k_)) + tile * kTileRows; }
    ALWAYS float* sizes() const { return worths(2); }

   private:
    char* at_;
    int64_t k_;
};

// Numbers of float's size in a packed column.
int64_t depth_of_digits(int64_t k) { return DigitPanel::bytes(k) / (kColumns * int64_t(sizeof(float))); }

ALWAYS float from_bits(uint32_t bits) {
    float number;
    __builtin_memcpy(&number, &bits, sizeof number);
    return number;
}
ALWAYS uint32_t bits_of(float number) {
    uint32_t bits;
    __builtin_memcpy(&bits, &number, sizeof bits);
    return bits;
}

// The largest size among numbers. Sizes are compared as whole numbers, of which those of infinities and NaN are the largest.
struct Largest {
    VecInt sizes = {};

    ALWAYS void take(Vec<float> numbers) {
        const VecInt more = (VecInt)numbers & 0x7fffffff;
        sizes = sizes > more ? sizes : more;
    }
    ALWAYS uint32_t bits() const {
        constexpr auto lanes = std::make_integer_sequence<int, kTileRows>{};
        VecInt most = sizes;
        larger<8>(most, lanes), larger<4>(most, lanes), larger<2>(most, lanes), larger<1>(most, lanes);
        return uint32_t(most[0]);
    }

   private:
    template <int kApart, int... kLane>
    ALWAYS static void larger(VecInt& most, std::integer_sequence<int, kLane...>) {
        const VecInt other = __builtin_shufflevector(most, most, (kLane ^ kApart)...);
        most = most > other ? most : other;
    }
};

// Of a row, and of sixteen columns: how many units one is, and what a unit is worth times 2^12; of both sides together that is
// what 2^24 is worth in a sum of products of units. Below 2^-104 numbers lose digits; where one is no number all become NaN.
constexpr float kBelowHalf = 1.0042f;  // three digits reach 0x7f7f7f and no further
constexpr float kWorthTimes = 1 << 12;
constexpr uint32_t kLeastExponent = 23, kNoNumber = 255, kQuietNaN = 0x7fc00000;
struct RowUnits {
    float of_one, worth;

    ALWAYS explicit RowUnits(uint32_t largest) {
        const uint32_t exponent = bits_of(from_bits(largest) * kBelowHalf) >> 23;
        const uint32_t held = exponent < kLeastExponent ? kLeastExponent : exponent;
        of_one = from_bits((276 - held) << 23);
        worth = from_bits(exponent < kNoNumber ? (held - 10) << 23 : kQuietNaN);
    }
};
struct ColumnUnits {
    Vec<float> of_one, worth;

    ALWAYS ColumnUnits() = default;
    ALWAYS explicit ColumnUnits(VecInt largest) {
        const VecBits exponent = (VecBits)((Vec<float>)largest * kBelowHalf) >> 23;
        const VecBits held = exponent < kLeastExponent ? kLeastExponent - VecBits{} : exponent;
        of_one = (Vec<float>)((276 - held) << 23);
        worth = (Vec<float>)(exponent < kNoNumber ? (held - 10) << 23 : kQuietNaN - VecBits{});
    }
};

// Pairs of vectors whose numbers lie side by side: of each the odd ones are the second's.
typedef uint16_t VecShorts __attribute__((vector_size(64)));
ALWAYS VecShorts side_by_side(VecBits even, VecBits odd) {
    return (VecShorts)_mm512_mask_blend_epi16(0xaaaaaaaa, (__m512i)even, (__m512i)odd);
}
ALWAYS __m512i side_by_side(VecShorts even, VecShorts odd) {
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, (__m512i)even, (__m512i)odd);
}

// Three tiles' rows: of each of 64 numbers, in units, the highest digits, the next ones, the last ones. Beside each other lie
// digits of the four vectors, the third one's before the second's.
ALWAYS void store_digits(char* to, const Vec<float> (&numbers)[4]) {
    constexpr uint32_t halves = 0x808080;  // digits are rounded to the nearer
    VecBits units[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) units[i] = (VecBits)_mm512_maskz_cvtps_epi32(0xffff, (__m512)numbers[i]) + halves;
    const VecShorts low = side_by_side(units[0], units[1] << 16), more_low = side_by_side(units[2], units[3] << 16);
    const VecShorts high = side_by_side(units[0] >> 16, units[1]), more_high = side_by_side(units[2] >> 16, units[3]);
    const __m512i digits[kDigits] = {side_by_side(high, more_high << 8), side_by_side(low >> 8, more_low),
                                     side_by_side(low, more_low << 8)};
#pragma GCC unroll 3
    for (int digit = 0; digit < kDigits; ++digit)
        store_bytes(to + digit * kTileBytes, (VecBits)digits[digit] ^ 0x80808080);
}

// Which of 64 numbers each of the four vectors begins with.
constexpr int64_t kQuarter[4] = {0, 32, 16, 48};

// Digits of up to kSpan numbers of a row, times what the other matrix's rows were divided by, as rows of tiles. What their unit is
// worth; NaN if they are not all numbers.
ALWAYS float split_row(const float* from, const float* sizes, int64_t count, char* to) {
    auto sized = [&](int64_t at) { return load_up_to(from + at, count - at) * load(sizes + at); };
    Largest largest;
    for (int64_t at = 0; at < count; at += kTileRows) largest.take(sized(at));
    const RowUnits units(largest.bits());
    const Vec<float> of_one = same(units.of_one);
    for (int64_t at = 0; at < count; at += kDigitDepth, to += kDigitBytes) {
        Vec<float> numbers[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) numbers[i] = sized(at + kQuarter[i]) * of_one;
        store_digits(to, numbers);
    }
    return units.worth;
}

// Of each of `count` lines of numbers the bits of the largest size: of the number j of line i times by[j], if there is such.
void largest_bits(const float* source, int64_t line_stride, int64_t stride, int64_t count, int64_t length, const float* by,
                  uint32_t* to) {
    if (line_stride == 1) {
        for (int64_t line = 0; line < count; line += kTileRows) {
            Largest largest;
            for (int64_t j = 0; j < length; ++j) {
                const Vec<float> numbers = load_up_to(source + line + j * stride, count - line);
                largest.take(by == nullptr ? numbers : numbers * same(by[j]));
            }
            __builtin_memcpy(to + line, &largest.sizes, size_t(lesser(kTileRows, count - line)) * sizeof *to);
        }
        return;
    }
    for (int64_t line = 0; line < count; ++line) {
        const float* from = source + line * line_stride;
        Largest largest;
        for (int64_t j = 0; j < length; j += kTileRows) {
            Vec<float> numbers = {};
            if (stride == 1)
                numbers = load_up_to(from + j, length - j);
            else
                for (int64_t i = 0; i < lesser(kTileRows, length - j); ++i) numbers[i] = from[(j + i) * stride];
            largest.take(by == nullptr ? numbers : numbers * load_up_to(by + j, length - j));
        }
        to[line] = largest.bits();
    }
}

// A power of two near such a size, or one that is far from overflowing: for zeros the least, lest what meets them counts.
ALWAYS float near_power(uint32_t size_bits) {
    constexpr uint32_t least = 64 << 23, most = 190 << 23, one = 127 << 23, none = 0x7f800000;
    const uint32_t power = size_bits & none;
    return from_bits(power == none ? one : power < least ? least : power > most ? most : power);
}
ALWAYS float inverse_power(float power) { return from_bits((254u << 23) - bits_of(power)); }

// Sizes of the rows of a matrix [K, N]; 1 for those past K that a step of tiles has, too.
void find_sizes(const float* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, float* sizes) {
    const int64_t padded = digit_steps(k) * kDigitDepth;
    for (int64_t row = 0; row < padded; ++row) sizes[row] = 0;
    if (row_stride == 1)  // of columns that lie contiguously each is read once
        for (int64_t c = 0; c < n; ++c)
            for (int64_t row = 0; row < k; row += kTileRows) {
                Largest largest;
                largest.take(load(sizes + row));
                largest.take(load_up_to(source + c * column_stride + row, k - row));
                store<float>(sizes + row, (Vec<float>)largest.sizes);
            }
    else
        for (int64_t row = 0; row < k; ++row) {
            uint32_t bits;
            largest_bits(source + row * row_stride, row_stride, column_stride, 1, n, nullptr, &bits);
            sizes[row] = from_bits(bits);
        }
    for (int64_t row = 0; row < padded; ++row) sizes[row] = row < k ? near_power(bits_of(sizes[row])) : 1;
}

// Units of a panel's columns, whose rows are divided by their sizes.
void find_units(const float* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t columns, const float* sizes,
                ColumnUnits (&units)[2]) {
    VecInt largest[2] = {};
    for (int64_t row = 0; row < k; row += kDigitDepth) {
        const int64_t rows = lesser(kDigitDepth, k - row);
        float by[kDigitDepth];
        alignas(64) uint32_t bits[kColumns] = {};
        for (int64_t r = 0; r < rows; ++r) by[r] = inverse_power(sizes[row + r]);
        largest_bits(source + row * row_stride, column_stride, row_stride, columns, rows, by, bits);
        for (int64_t tile = 0; tile < 2; ++tile) {
            VecInt some;
            __builtin_memcpy(&some, bits + tile * kTileRows, sizeof some);
            largest[tile] = largest[tile] > some ? largest[tile] : some;
        }
    }
    for (int64_t tile = 0; tile < 2; ++tile) units[tile] = ColumnUnits(largest[tile]);
}

// The columns [first, last) of a matrix [K, N], from the panel on where `packed` points.
void pack_digits(const float* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, int64_t first, int64_t last,
                 float* packed) {
    // Of all columns: the same for all panels, and whichever of them are packed here
    const float* sizes = DigitPanel(packed, k, 0).sizes();
    find_sizes(source, row_stride, column_stride, k, n, DigitPanel(packed, k, 0).sizes());
    for (int64_t from = first; from < last; from += kColumns) {
        const DigitPanel panel(packed, k, (from - first) / kColumns);
        if (from > first) __builtin_memcpy(panel.sizes(), sizes, size_t(digit_steps(k) * kDigitDepth) * sizeof(float));
        const int64_t columns = lesser(kColumns, n - from);
        const float* begin = source + from * column_stride;
        ColumnUnits units[2];
        find_units(begin, row_stride, column_stride, k, columns, sizes, units);
        for (int64_t tile = 0; tile < 2; ++tile) store<float>(panel.worths(tile), units[tile].worth);
        alignas(64) float square[kDigitDepth * kColumns];
        for (int64_t row = 0; row < k; row += kDigitDepth) {
            const int64_t rows = lesser(kDigitDepth, k - row);
            pack(begin + row * row_stride, row_stride, column_stride, rows, columns, 0, columns, square);
            for (int64_t tile = 0; tile < 2; ++tile)
                for (int64_t i = 0; i < kTileRows; ++i) {
                    Vec<float> numbers[4] = {};
#pragma GCC unroll 4
                    for (int quarter = 0; quarter < 4; ++quarter) {
                        const int64_t r = kQuarter[quarter] + i;
                        if (r < rows)
                            numbers[quarter] = load(square + r * kColumns + tile * kTileRows) *
                                               same(inverse_power(sizes[row + r])) * units[tile].of_one;
                    }
                    store_digits(panel.tile(tile, row / kDigitDepth) + i * 64, numbers);
                }
        }
    }
}

}  // namespace
