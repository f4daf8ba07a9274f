// Products with a matrix of whole numbers of eight bits, for steps that wait for their weights. A column has a unit of
// its own for every kSpan rows; what is multiplied becomes whole numbers of sixteen bits by the same spans, so that
// sums are exact and rounding is that of the weights, but for 2^-16 of the largest number of a span. A span with a
// number that is not finite gives NaN.
#pragma once
#include <cstring>

#include "matmul.h"

namespace {

constexpr int64_t kSpan = 512;  // of so many products, 32767 * 127 each, the sum is below 2^31

typedef int16_t VecShort __attribute__((vector_size(vector_bytes(4))));      // a pair for each lane
typedef int16_t HalfShort __attribute__((vector_size(vector_bytes(4) / 2)));  // a number for each lane
typedef int8_t HalfByte __attribute__((vector_size(vector_bytes(4) / 2)));    // a pair for each lane

// What instruction sets have for this is not what compilers make of plain vectors: numbers widened, and the products of
// pairs, both of a pair together.
#if defined(__AVX512BW__) && ECHOIC_VECTOR_BYTES == 64
ALWAYS VecShort widened(const int8_t* from) {
    return (VecShort)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)from));
}
ALWAYS VecInt pair_products(VecShort a, VecShort b) { return (VecInt)_mm512_madd_epi16((__m512i)a, (__m512i)b); }
#elif defined(__AVX2__) && ECHOIC_VECTOR_BYTES == 32
ALWAYS VecShort widened(const int8_t* from) {
    return (VecShort)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)from));
}
ALWAYS VecInt pair_products(VecShort a, VecShort b) { return (VecInt)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
#elif defined(__SSE4_1__) && ECHOIC_VECTOR_BYTES == 16
ALWAYS VecShort widened(const int8_t* from) {
    return (VecShort)_mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i*)from));
}
ALWAYS VecInt pair_products(VecShort a, VecShort b) { return (VecInt)_mm_madd_epi16((__m128i)a, (__m128i)b); }
#else
ALWAYS VecShort widened(const int8_t* from) {
    HalfByte narrow;
    std::memcpy(&narrow, from, sizeof narrow);
    return __builtin_convertvector(narrow, VecShort);
}
ALWAYS VecInt pair_products(VecShort a, VecShort b) {
    auto second = [](VecShort pair) { return (VecInt)pair >> 16; };
    auto first = [](VecShort pair) { return (VecInt)((VecBits)pair << 16) >> 16; };
    return first(a) * first(b) + second(a) * second(b);
}
#endif

// What one of the whole numbers up to `most` stands for where the largest size has such bits; NaN if it is not finite.
inline float unit(uint32_t size_bits, float most) {
    constexpr uint32_t infinity = 0x7f800000;
    constexpr float least = 1e-30f;  // a span of smaller numbers counts as zeros
    float size;
    std::memcpy(&size, &size_bits, sizeof size);
    return size_bits >= infinity ? __builtin_nanf("") : size < least ? 0 : size / most;
}

// Not the standard library's: a template of its compiled here could be linked where another instruction set is expected.
ALWAYS int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

// A block of rows as whole numbers.
struct Rounded {
    alignas(64) int16_t numbers[kBlock][kSpan];
    float units[kBlock];

    void take(int row, const float* from, int64_t count) {
        constexpr int lanes = kLanes<float>;
        auto some = [&](int64_t i) { return count - i < lanes ? load_some(from + i, count - i) : load(from + i); };
        VecInt sizes = {};
        for (int64_t i = 0; i < count; i += lanes) {
            const VecInt size = (VecInt)some(i) & 0x7fffffff;
            sizes = size > sizes ? size : sizes;
        }
        int32_t most = 0;
        for (int i = 0; i < lanes; ++i) most = sizes[i] > most ? sizes[i] : most;
        units[row] = unit(uint32_t(most), 32767);
        int16_t* to = numbers[row];
        if (count % 2) to[count] = 0;  // an odd number has no partner
        if (!(units[row] > 0)) return void(std::memset(to, 0, size_t(count) * sizeof(int16_t)));
        const Vec<float> inverse = same(1 / units[row]), magic = same(12582912.0f);  // 1.5 * 2^23: rounds to whole numbers
        for (int64_t i = 0; i < count; i += lanes) {
            const VecInt whole = (VecInt)(some(i) * inverse + magic) - (VecInt)magic;
            const HalfShort narrow = __builtin_convertvector(whole, HalfShort);
            std::memcpy(to + i, &narrow, size_t(lesser(lanes, count - i)) * sizeof(int16_t));
        }
    }
};

// Of a span of the matrix: the columns' units, then pairs of rows, a panel after the other.
constexpr int64_t kColumns = kPanel<float>;
constexpr int64_t piece_bytes(int64_t rows) { return kColumns * (int64_t(sizeof(float)) + (rows + 1) / 2 * 2); }

template <int kRows, int kPanels>
void int8_block(const Product<float>& p, const Rounded& x, int64_t row, int64_t panel, const int8_t* span,
                int64_t count) {
    constexpr int lanes = kLanes<float>;
    VecInt sums[kRows][kPanels * 2] = {};
    const int8_t* piece = span + panel * piece_bytes(count);
    const int8_t* w = piece + kColumns * sizeof(float);
    const int64_t pairs = (count + 1) / 2;
#pragma GCC unroll 4
    for (int64_t pair = 0; pair < pairs; ++pair) {
        auto weight = [&](int j) {
            return widened(w + j / 2 * piece_bytes(count) + (pair * kColumns + j % 2 * lanes) * 2);
        };
        auto value = [&](int i) {
            int32_t both;
            std::memcpy(&both, &x.numbers[i][2 * pair], sizeof both);
            return (VecShort)(both - VecInt{});
        };
        // What there is less of stays in registers
        if constexpr (kRows < kPanels * 2) {
            VecShort values[kRows];
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i) values[i] = value(i);
#pragma GCC unroll 16
            for (int j = 0; j < kPanels * 2; ++j) {
                const VecShort one = weight(j);
#pragma GCC unroll 8
                for (int i = 0; i < kRows; ++i) sums[i][j] += pair_products(one, values[i]);
            }
        } else {
            VecShort weights[kPanels * 2];
#pragma GCC unroll 16
            for (int j = 0; j < kPanels * 2; ++j) weights[j] = weight(j);
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i) {
                const VecShort one = value(i);
#pragma GCC unroll 16
                for (int j = 0; j < kPanels * 2; ++j) sums[i][j] += pair_products(weights[j], one);
            }
        }
    }
    Vec<float> found[kRows][kPanels * 2];
#pragma GCC unroll 16
    for (int j = 0; j < kPanels * 2; ++j) {
        const int8_t* units = piece + j / 2 * piece_bytes(count) + j % 2 * lanes * int64_t(sizeof(float));
        Vec<float> of_columns;
        std::memcpy(&of_columns, units, sizeof of_columns);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i)
            found[i][j] = __builtin_convertvector(sums[i][j], Vec<float>) * (of_columns * x.units[i]);
    }
    Place<float>(p, row, panel * kColumns).put(found);
}

template <int kRows, int kPanels = vectors_at_once(kRows) / 2>
int64_t int8_panels(const Product<float>& p, const Rounded& x, int64_t row, int64_t panel, const int8_t* span,
                    int64_t count) {
    for (; panel + kPanels <= p.last_panel; panel += kPanels) int8_block<kRows, kPanels>(p, x, row, panel, span, count);
    if constexpr (kPanels > 1) panel = int8_panels<kRows, (kPanels + 1) / 2>(p, x, row, panel, span, count);
    return panel;
}

void matmul_int8(const Product<float>& whole) {
    using Run = int64_t (*)(const Product<float>&, const Rounded&, int64_t, int64_t, const int8_t*, int64_t);
    static constexpr Run run[kBlock + 1] = {nullptr,        int8_panels<1>, int8_panels<2>, int8_panels<3>,
                                            int8_panels<4>, int8_panels<5>, int8_panels<6>};
    const int64_t panels = (whole.n + kColumns - 1) / kColumns;
    Rounded x;
    for (int64_t row = 0; row < whole.m; row += kBlock) {
        Product<float> p = whole;
        const int rows = int(lesser(kBlock, whole.m - row));
        const int8_t* span = static_cast<const int8_t*>(whole.packed);
        for (int64_t k = 0; k < p.k; k += kSpan) {
            const int64_t count = lesser(kSpan, p.k - k);
            for (int i = 0; i < rows; ++i) x.take(i, p.source + (row + i) * p.source_stride + k, count);
            run[rows](p, x, row, p.first_panel, span, count);
            span += panels * piece_bytes(count);
            p.added = p.target, p.added_stride = p.target_stride, p.bias = nullptr;  // spans add up
        }
    }
}

size_t int8_bytes(int64_t k, int64_t n) {
    const int64_t panels = (n + kColumns - 1) / kColumns, rest = k % kSpan;
    return size_t(panels * (k / kSpan * piece_bytes(kSpan) + (rest ? piece_bytes(rest) : 0)));
}

void pack_int8(const float* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, void* packed) {
    int8_t* to = static_cast<int8_t*>(packed);
    for (int64_t low = 0; low < k; low += kSpan) {
        const int64_t count = lesser(kSpan, k - low);
        for (int64_t first = 0; first < n; first += kColumns, to += piece_bytes(count)) {
            std::memset(to, 0, size_t(piece_bytes(count)));
            for (int64_t c = 0; c < lesser(kColumns, n - first); ++c) {
                const float* column = source + low * row_stride + (first + c) * column_stride;
                uint32_t most = 0;
                for (int64_t i = 0; i < count; ++i) {
                    uint32_t bits;
                    std::memcpy(&bits, column + i * row_stride, sizeof bits);
                    bits &= 0x7fffffff;
                    most = bits > most ? bits : most;
                }
                const float size = unit(most, 127);
                std::memcpy(to + c * int64_t(sizeof size), &size, sizeof size);
                int8_t* pairs = to + kColumns * sizeof(float) + 2 * c;
                for (int64_t i = 0; i < count && size > 0; ++i)
                    pairs[i / 2 * 2 * kColumns + i % 2] = int8_t(__builtin_lrintf(column[i * row_stride] / size));
            }
        }
    }
}

}  // namespace
