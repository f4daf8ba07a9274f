// Products of bfloat16 numbers by the tiles of AMX: what is multiplied is rounded to sixteen bits, sums are float32. The
// float32 table's place is taken by what is here where a plan asks for it; layouts are our own, but panels are as wide.
#pragma once
#include <immintrin.h>

#include "matmul.h"

namespace {

constexpr int64_t kTileRows = 16, kTileDepth = 32;                 // of a tile that is multiplied
constexpr int64_t kTileBytes = kTileRows * kTileDepth * 2;         // as of one with sums
constexpr int64_t kColumns = kPanel<float>;                        // two tiles side by side
constexpr int64_t kStepBytes = kColumns / kTileRows * kTileBytes;  // of a panel, for so much depth
constexpr int64_t kSpan = 512, kRowsAtOnceRounded = 64;            // of the source that are rounded at once
constexpr int64_t kStepsAhead = 4;                                 // between weights that are used and fetched
static_assert(kColumns == 2 * kTileRows);

constexpr int64_t steps_of(int64_t k) { return (k + kTileDepth - 1) / kTileDepth; }

// Numbers of float's size in a packed column.
int64_t bfloat16_depth(int64_t k) { return steps_of(k) * kTileDepth / 2; }

ALWAYS int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

typedef uint16_t HalfBits __attribute__((vector_size(32)));

// Sixteen pairs, the numbers of a first and a second row side by side.
ALWAYS VecBits paired(Vec<float> first, Vec<float> second) {
    const HalfBits low = (HalfBits)_mm512_cvtneps_pbh((__m512)first), high = (HalfBits)_mm512_cvtneps_pbh((__m512)second);
    return __builtin_convertvector(low, VecBits) | __builtin_convertvector(high, VecBits) << 16;
}

// 32 numbers of a row.
ALWAYS VecBits shortened(Vec<float> first, Vec<float> second) {
    return (VecBits)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}

ALWAYS void store_bytes(char* to, VecBits v) { __builtin_memcpy(to, &v, sizeof v); }

ALWAYS Vec<float> load_up_to(const float* from, int64_t count) {
    return count >= kTileRows ? load(from) : count > 0 ? load_some(from, count) : Vec<float>{};
}

// One step of a panel from rows of kColumns floats; those past `count` are zeros.
template <class Row>
ALWAYS void pack_step(Row row, int64_t count, char* to) {
    for (int64_t pair = 0; pair < kTileRows; ++pair)
        for (int64_t tile = 0; tile < 2; ++tile) {
            const Vec<float> first = 2 * pair < count ? row(2 * pair, tile * kTileRows) : Vec<float>{};
            const Vec<float> second = 2 * pair + 1 < count ? row(2 * pair + 1, tile * kTileRows) : Vec<float>{};
            store_bytes(to + tile * kTileBytes + pair * 64, paired(first, second));
        }
}

void pack_bfloat16(const float* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, float* packed) {
    char* to = reinterpret_cast<char*>(packed);
    alignas(64) float square[kTileDepth * kColumns];
    for (int64_t first = 0; first < n; first += kColumns)
        for (int64_t low = 0; low < k; low += kTileDepth, to += kStepBytes) {
            const int64_t count = lesser(kTileDepth, k - low);
            pack(source + low * row_stride + first * column_stride, row_stride, column_stride, count,
                 lesser(kColumns, n - first), square);
            pack_step([&](int64_t r, int64_t c) { return load(square + r * kColumns + c); }, count, to);
        }
}

void pack_rows_bfloat16(const float* const* rows, int64_t k, int64_t n, float* packed) {
    char* to = reinterpret_cast<char*>(packed);
    for (int64_t first = 0; first < n; first += kColumns)
        for (int64_t low = 0; low < k; low += kTileDepth, to += kStepBytes)
            pack_step([&](int64_t r, int64_t c) { return load_up_to(rows[low + r] + first + c, n - first - c); },
                      lesser(kTileDepth, k - low), to);
}

// Blocks of kTileRows columns, of each the tiles of all rows.
void deal_bfloat16(const float* const* rows, int64_t k, int64_t begin, int64_t end, float* blocks) {
    char* to = reinterpret_cast<char*>(blocks);
    for (int64_t column = begin; column < end; column += kTileRows)
        for (int64_t low = 0; low < k; low += kTileDepth, to += kTileBytes) {
            Vec<float> square[2][kTileRows];
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
                for (int64_t r = 0; r < kTileRows; ++r) {
                    const int64_t row = low + half * kTileRows + r;
                    square[half][r] = row < k ? load_up_to(rows[row] + column, end - column) : Vec<float>{};
                }
                transpose<float, kTileRows / 2>(square[half]);
            }
            for (int64_t r = 0; r < kTileRows; ++r)
                store_bytes(to + r * 64, shortened(square[0][r], square[1][r]));
        }
}

// The instructions of tiles do not say to compilers which memory they read and write.
ALWAYS void settle_memory() { asm volatile("" ::: "memory"); }

// Tiles 0 to 3 hold sums; 4, and 5 beside it where there are two blocks of rows, what is multiplied; the others weights.
// A block of fewer rows takes less time. There may be no second block: 5 holds weights then.
void configure(int64_t rows, int64_t more_rows) {
    alignas(64) uint8_t bytes[64] = {1};  // the palette; from 16 on bytes of a tile's rows, from 48 on how many
    for (int tile = 0; tile < 8; ++tile) bytes[16 + 2 * tile] = 64, bytes[48 + tile] = kTileRows;
    bytes[48 + 0] = bytes[48 + 1] = bytes[48 + 4] = uint8_t(rows);
    bytes[48 + 2] = bytes[48 + 3] = uint8_t(more_rows ? more_rows : rows);
    if (more_rows) bytes[48 + 5] = uint8_t(more_rows);
    settle_memory();
    _tile_loadconfig(bytes);
}

ALWAYS void clear_sums() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

// The weights of a step are on their way from here on: loads of tiles wait for theirs.
ALWAYS void fetch_step(const char* w) {
#pragma GCC unroll 32
    for (int64_t line = 0; line < kStepBytes; line += 64) __builtin_prefetch(w + line);
}

// A block of rows by one panel or two: [rows, 2 or 4 tiles].
void one_block(const char* x, const char* w, const char* other, int64_t steps, float* sums) {
    constexpr int64_t wide = 4 * kTileRows * sizeof(float);
    settle_memory();
    clear_sums();
    for (int64_t s = 0; s < steps; ++s) {
        fetch_step(w + (s + kStepsAhead) * kStepBytes);
        if (other != nullptr) fetch_step(other + (s + kStepsAhead) * kStepBytes);
        _tile_loadd(4, x + s * kTileBytes, 64);
        _tile_loadd(5, w + s * kStepBytes, 64);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(6, w + s * kStepBytes + kTileBytes, 64);
        _tile_dpbf16ps(1, 4, 6);
        if (other == nullptr) continue;
        _tile_loadd(7, other + s * kStepBytes, 64);
        _tile_dpbf16ps(2, 4, 7);
        _tile_loadd(5, other + s * kStepBytes + kTileBytes, 64);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_stored(0, sums, wide);
    _tile_stored(1, sums + kTileRows, wide);
    if (other != nullptr) {
        _tile_stored(2, sums + 2 * kTileRows, wide);
        _tile_stored(3, sums + 3 * kTileRows, wide);
    }
    settle_memory();
}

// Two blocks of rows by a panel: [rows, 2 tiles].
void two_blocks(const char* x, const char* more, const char* w, int64_t steps, float* sums) {
    constexpr int64_t wide = kColumns * sizeof(float);
    settle_memory();
    clear_sums();
    for (int64_t s = 0; s < steps; ++s) {
        fetch_step(w + (s + kStepsAhead) * kStepBytes);
        _tile_loadd(4, x + s * kTileBytes, 64);
        _tile_loadd(6, w + s * kStepBytes, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w + s * kStepBytes + kTileBytes, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, more + s * kTileBytes, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, wide);
    _tile_stored(1, sums + kTileRows, wide);
    float* below = sums + kTileRows * kColumns;
    _tile_stored(2, below, wide);
    _tile_stored(3, below + kTileRows, wide);
    settle_memory();
}

// Sums [rows, wide] to where they belong, those of a panel.
ALWAYS void put(const Product<float>& p, int64_t row, int64_t rows, int64_t panel, const float* sums, int64_t wide) {
    for (int64_t r = 0; r < rows; ++r) {
        Vec<float> of_row[1][2] = {{load(sums + r * wide), load(sums + r * wide + kTileRows)}};
        Place<float>(p, row + r, panel * kColumns).put(of_row);
    }
}

// Where a panel's weights begin, from a step on.
ALWAYS const char* weights_of(const Product<float>& p, int64_t panel, int64_t step) {
    return static_cast<const char*>(p.packed) + (panel * steps_of(p.k) + step) * kStepBytes;
}

// A block of up to kTileRows rows by two panels, or the last one.
void multiply(const Product<float>& p, const char* x, int64_t row, int64_t rows, int64_t panel, int64_t from, int64_t steps) {
    alignas(64) float sums[kTileRows * 4 * kTileRows];
    const bool two = panel + 1 < p.last_panel;
    one_block(x, weights_of(p, panel, from), two ? weights_of(p, panel + 1, from) : nullptr, steps, sums);
    put(p, row, rows, panel, sums, 4 * kTileRows);
    if (two) put(p, row, rows, panel + 1, sums + 2 * kTileRows, 4 * kTileRows);
}

// Two blocks of rows, the first of kTileRows, by a panel.
void multiply_both(const Product<float>& p, const char* x, int64_t row, int64_t rows, int64_t panel, int64_t from,
                   int64_t steps) {
    alignas(64) float sums[2 * kTileRows * kColumns];
    two_blocks(x, x + kSpan / kTileDepth * kTileBytes, weights_of(p, panel, from), steps, sums);
    put(p, row, rows, panel, sums, kColumns);
}

// Rows, from a column on, as tiles.
void round_rows(const Product<float>& p, int64_t row, int64_t rows, int64_t column, int64_t count, char* to) {
    for (int64_t s = 0; s < steps_of(count); ++s, to += kTileBytes)
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t left = count - s * kTileDepth;
            const float* from = p.source + (row + r) * p.source_stride + column + s * kTileDepth;
            const Vec<float> first = load_up_to(from, left), second = load_up_to(from + kTileRows, left - kTileRows);
            store_bytes(to + r * 64, shortened(first, second));
        }
}

// Some rows by the panels, each of which is read once for all of them: blocks in pairs, and one that is left.
void some_rows(const Product<float>& whole, int64_t row, int64_t rows) {
    constexpr int64_t pair = 2 * kTileRows, block_bytes = kSpan / kTileDepth * kTileBytes;
    alignas(64) char x[kRowsAtOnceRounded / kTileRows * block_bytes];
    const int64_t left = rows % pair, last = left <= kTileRows ? rows - left : rows;  // of those in pairs
    Product<float> p = whole;
    for (int64_t k = 0; k < p.k; k += kSpan) {
        const int64_t count = lesser(kSpan, p.k - k), from = k / kTileDepth, steps = steps_of(count);
        for (int64_t r = 0; r < rows; r += kTileRows)
            round_rows(p, row + r, lesser(kTileRows, rows - r), k, count, x + r / kTileRows * block_bytes);
        int64_t configured = 0;
        auto take = [&](int64_t first, int64_t second) {
            if (configured != first * pair + second) configure(first, second);
            configured = first * pair + second;
        };
        const int64_t groups = (p.last_panel - p.first_panel + 1) / 2;
        for (int64_t g = 0; g < groups; ++g) {
            const int64_t panel = p.first_panel + 2 * (p.backwards ? groups - 1 - g : g);
            for (int64_t r = 0; r < last; r += pair) {
                const int64_t both = lesser(pair, last - r);
                take(kTileRows, both - kTileRows);
                for (int64_t each = panel; each < panel + 2 && each < p.last_panel; ++each)
                    multiply_both(p, x + r / kTileRows * block_bytes, row + r, both, each, from, steps);
            }
            if (last == rows) continue;
            take(rows - last, 0);
            multiply(p, x + last / kTileRows * block_bytes, row + last, rows - last, panel, from, steps);
        }
        p.added = p.target, p.added_stride = p.target_stride, p.bias = nullptr;  // spans add up
    }
}

void matmul_bfloat16(const Product<float>& p) {
    for (int64_t row = 0; row < p.m; row += kRowsAtOnceRounded) some_rows(p, row, lesser(kRowsAtOnceRounded, p.m - row));
    _tile_release();
}

void matmul_transposed_bfloat16(const Product<float>& p) {
    configure(p.m, 0);
    for (int64_t panel = p.first_panel; panel < p.last_panel; panel += 2)
        multiply(p, reinterpret_cast<const char*>(p.source), 0, p.m, panel, 0, steps_of(p.k));
    _tile_release();
}

}  // namespace
