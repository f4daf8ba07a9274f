// Products by the tiles of AMX: of numbers rounded to one part, or to two. Of the four products of two sums of parts the
// smallest, of the second ones, is left out, as Henry, Tang and Heinecke do in "Leveraging the bfloat16 Artificial
// Intelligence Datatype For Higher-Precision Computations" (2019).
//
// An infinite weight of two parts gives NaN. Rows with an infinity are multiplied without tiles.
#pragma once
#include "amx_parts.h"

namespace {

constexpr int64_t kSpan = 512, kRowsSplit = 64;  // of the source that are split at once

// The weights of a step are on their way from here on: loads of tiles wait for theirs. Of two parts each is used longer, and
// fetching them gains nothing.
template <int kParts>
ALWAYS void fetch_step(const char* w) {
    constexpr int64_t ahead = 4;  // steps
    if constexpr (kParts > 1) return;
    w += ahead * kStepBytes<kParts>;
#pragma GCC unroll 32
    for (int64_t line = 0; line < kStepBytes<kParts>; line += 64) __builtin_prefetch(w + line);
}

// Products of one block of rows use tiles 0 to 3 for sums, then one for each part of the rows, and the others for weights:
// with fewer rows they take less time. Those of two blocks use 4 and 5 for rows, 6 and 7 for weights.
template <int kParts>
void configure(int64_t rows, int64_t more_rows) {
    TileRows tiles;
    for (int tile = 0; tile < 8; ++tile) {
        const bool second = tile == 2 || tile == 3 || tile == 5;
        tiles.of[tile] = uint8_t(more_rows == 0 ? (tile < 4 + kParts ? rows : kTileRows)
                                 : tile >= 6    ? kTileRows
                                 : second       ? more_rows
                                                : rows);
    }
    configure_tiles(tiles);
}

ALWAYS void clear_sums() {
    clear_tile<0>();
    clear_tile<1>();
    clear_tile<2>();
    clear_tile<3>();
}

// A block of columns by the rows in tile 4, and their second parts in tile 5.
template <int kParts, int kSums>
ALWAYS void add_products(const char* w) {
    constexpr int weights = kParts == 1 ? 5 + kSums % 3 : 6;
    load_tile<weights>(w);
    add_product<kSums, 4, weights>();
    if constexpr (kParts == 1) return;
    add_product<kSums, 5, weights>();
    load_tile<7>(w + kTileBytes);
    add_product<kSums, 4, 7>();
}

// A block of rows by one panel or two: [rows, 2 or 4 tiles].
template <int kParts>
void one_block(const char* x, const char* w, const char* other, int64_t steps, float* sums) {
    constexpr int64_t wide = 4 * kTileRows;
    clear_sums();
    for (int64_t s = 0; s < steps; ++s, x += kBlockBytes<kParts>, w += kStepBytes<kParts>) {
        fetch_step<kParts>(w);
        load_tile<4>(x);
        if constexpr (kParts > 1) load_tile<5>(x + kTileBytes);
        add_products<kParts, 0>(w);
        add_products<kParts, 1>(w + kBlockBytes<kParts>);
        if (other == nullptr) continue;
        fetch_step<kParts>(other);
        add_products<kParts, 2>(other);
        add_products<kParts, 3>(other + kBlockBytes<kParts>);
        other += kStepBytes<kParts>;
    }
    store_tile<0>(sums, wide);
    store_tile<1>(sums + kTileRows, wide);
    if (other == nullptr) return;
    store_tile<2>(sums + 2 * kTileRows, wide);
    store_tile<3>(sums + 3 * kTileRows, wide);
}

// Two blocks of rows, in tiles 4 and 5, by two of columns, in 6 and 7.
ALWAYS void add_both() {
    add_product<0, 4, 6>();
    add_product<1, 4, 7>();
    add_product<2, 5, 6>();
    add_product<3, 5, 7>();
}
ALWAYS void add_both(const char* x, const char* more) {
    load_tile<4>(x);
    load_tile<5>(more);
    add_both();
}

// Two blocks of rows by a panel: [rows, 2 tiles].
template <int kParts>
void two_blocks(const char* x, const char* more, const char* w, int64_t steps, float* sums) {
    constexpr int64_t wide = kColumns;
    clear_sums();
    for (int64_t s = 0; s < steps; ++s, w += kStepBytes<kParts>) {
        fetch_step<kParts>(w);
        load_tile<6>(w);
        load_tile<7>(w + kBlockBytes<kParts>);
        // The first parts of the rows come last: the second ones of the weights need them, too
        if constexpr (kParts == 2) add_both(x + kTileBytes, more + kTileBytes);
        add_both(x, more);
        if constexpr (kParts == 2) {
            load_tile<6>(w + kTileBytes);
            load_tile<7>(w + kBlockBytes<kParts> + kTileBytes);
            add_both();
        }
        x += kBlockBytes<kParts>, more += kBlockBytes<kParts>;
    }
    store_tile<0>(sums, wide);
    store_tile<1>(sums + kTileRows, wide);
    float* below = sums + kTileRows * kColumns;
    store_tile<2>(below, wide);
    store_tile<3>(below + kTileRows, wide);
}

// Sums [rows, wide] to where they belong, those of a panel.
ALWAYS void put(const Product<float>& p, int64_t row, int64_t rows, int64_t panel, const float* sums, int64_t wide) {
    Place<float> to(p, row, panel * kColumns);
    if (to.columns < kColumns) return to.put_some(sums, rows, wide);
    for (int64_t r = 0; r < rows; ++r, sums += wide, to.target += to.target_stride) {
        Vec<float> left = load(sums), right = load(sums + kTileRows);
        if (to.added != nullptr) {
            left += load(to.added), right += load(to.added + kTileRows);
            to.added += to.added_stride;
        }
        if (to.bias != nullptr) left += load(to.bias), right += load(to.bias + kTileRows);
        store<float>(to.target, left);
        store<float>(to.target + kTileRows, right);
    }
}

// Where a panel's weights begin, from a step on.
template <int kParts>
ALWAYS const char* weights_of(const Product<float>& p, int64_t panel, int64_t step) {
    return static_cast<const char*>(p.packed) + (panel * steps_of(p.k) + step) * kStepBytes<kParts>;
}

// A block of up to kTileRows rows by two panels, or the last one.
template <int kParts>
void multiply(const Product<float>& p, const char* x, int64_t row, int64_t rows, int64_t panel, int64_t from, int64_t steps) {
    alignas(64) float sums[kTileRows * 4 * kTileRows];
    const bool two = panel + 1 < p.last_panel;
    one_block<kParts>(x, weights_of<kParts>(p, panel, from), two ? weights_of<kParts>(p, panel + 1, from) : nullptr, steps,
                      sums);
    put(p, row, rows, panel, sums, 4 * kTileRows);
    if (two) put(p, row, rows, panel + 1, sums + 2 * kTileRows, 4 * kTileRows);
}

// Two blocks of rows, the first of kTileRows, by a panel.
template <int kParts>
void multiply_both(const Product<float>& p, const char* x, int64_t row, int64_t rows, int64_t panel, int64_t from,
                   int64_t steps) {
    alignas(64) float sums[2 * kTileRows * kColumns];
    two_blocks<kParts>(x, x + kSpan / kTileDepth * kBlockBytes<kParts>, weights_of<kParts>(p, panel, from), steps, sums);
    put(p, row, rows, panel, sums, kColumns);
}

// Rows, from a column on, as tiles. Whether there is an infinity among the numbers: as a sum of parts it would be NaN.
template <int kParts>
bool split_rows(const Product<float>& p, int64_t row, int64_t rows, int64_t column, int64_t count, char* to) {
    constexpr int infinities = 0x18;
    __mmask16 infinite = 0;
    for (int64_t s = 0; s < steps_of(count); ++s, to += kBlockBytes<kParts>)
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t left = count - s * kTileDepth;
            const float* from = p.source + (row + r) * p.source_stride + column + s * kTileDepth;
            const Vec<float> first = load_up_to(from, left), second = load_up_to(from + kTileRows, left - kTileRows);
            store_parts<kParts>(to + r * 64, first, second);
            if constexpr (kParts > 1)
                infinite |= _mm512_fpclass_ps_mask((__m512)first, infinities) | _mm512_fpclass_ps_mask((__m512)second, infinities);
        }
    return infinite != 0;
}

// The same product as it is without tiles, by weights that are put together again, for a span of numbers.
template <int kParts>
__attribute__((noinline)) void multiply_plainly(const Product<float>& p, int64_t row, int64_t rows, int64_t k, int64_t count) {
    alignas(64) float whole[kSpan * kColumns];
    for (int64_t panel = p.first_panel; panel < p.last_panel; ++panel) {
        const char* w = weights_of<kParts>(p, panel, k / kTileDepth);
        for (int64_t s = 0; s < steps_of(count); ++s, w += kStepBytes<kParts>)
            for (int64_t at = 0; at < kStepBytes<kParts> / kParts; at += 64) {
                const int64_t tile = at / kTileBytes, r = at % kTileBytes / 64;
                Vec<float> first = {}, second = {};
                for (int64_t part = kParts - 1; part >= 0; --part) {
                    VecBits pairs;
                    __builtin_memcpy(&pairs, w + (tile * kParts + part) * kTileBytes + r * 64, sizeof pairs);
                    first += first_of(pairs), second += second_of(pairs);
                }
                float* to = whole + (s * kTileDepth + r) * kColumns + tile * kTileRows;
                store<float>(to, first);
                store<float>(to + kTileDepth / 2 * kColumns, second);
            }
        Product<float> one = p;
        const int64_t column = panel * kColumns;
        one.source += row * p.source_stride + k, one.packed = whole;
        one.target += row * p.target_stride + column;
        if (p.added != nullptr) one.added += row * p.added_stride + column;
        if (p.bias != nullptr) one.bias += column;
        one.m = rows, one.k = count, one.n = lesser(kColumns, p.n - column), one.first_panel = 0, one.last_panel = 1;
        matmul(one);
    }
}

// Some rows by the panels, each of which is read once for all of them: blocks in pairs, and one that is left.
template <int kParts>
void some_rows(const Product<float>& whole, int64_t row, int64_t rows) {
    constexpr int64_t pair = 2 * kTileRows, block_bytes = kSpan / kTileDepth * kBlockBytes<kParts>;
    alignas(64) char x[kRowsSplit / kTileRows * block_bytes];
    const int64_t left = rows % pair, last = left <= kTileRows ? rows - left : rows;  // of those in pairs
    Product<float> p = whole;
    for (int64_t k = 0; k < p.k; k += kSpan) {
        const int64_t count = lesser(kSpan, p.k - k), from = k / kTileDepth, steps = steps_of(count);
        bool infinite = false;
        for (int64_t r = 0; r < rows; r += kTileRows)
            infinite |= split_rows<kParts>(p, row + r, lesser(kTileRows, rows - r), k, count, x + r / kTileRows * block_bytes);
        int64_t configured = 0;
        auto take = [&](int64_t first, int64_t second) {
            if (configured != first * pair + second) configure<kParts>(first, second);
            configured = first * pair + second;
        };
        const int64_t groups = infinite ? 0 : (p.last_panel - p.first_panel + 1) / 2;
        if constexpr (kParts > 1)
            if (infinite) multiply_plainly<kParts>(p, row, rows, k, count);
        for (int64_t g = 0; g < groups; ++g) {
            const int64_t panel = p.first_panel + 2 * (p.backwards ? groups - 1 - g : g);
            for (int64_t r = 0; r < last; r += pair) {
                const int64_t both = lesser(pair, last - r);
                take(kTileRows, both - kTileRows);
                for (int64_t each = panel; each < panel + 2 && each < p.last_panel; ++each)
                    multiply_both<kParts>(p, x + r / kTileRows * block_bytes, row + r, both, each, from, steps);
            }
            if (last == rows) continue;
            take(rows - last, 0);
            multiply<kParts>(p, x + last / kTileRows * block_bytes, row + last, rows - last, panel, from, steps);
        }
        p.added = p.target, p.added_stride = p.target_stride, p.bias = nullptr;  // spans add up
    }
}

template <int kParts>
void matmul_parts(const Product<float>& p) {
    for (int64_t row = 0; row < p.m; row += kRowsSplit) some_rows<kParts>(p, row, lesser(kRowsSplit, p.m - row));
    release_tiles();
}

template <int kParts>
void matmul_transposed_parts(const Product<float>& p) {
    configure<kParts>(p.m, 0);
    for (int64_t panel = p.first_panel; panel < p.last_panel; panel += 2)
        multiply<kParts>(p, reinterpret_cast<const char*>(p.source), 0, p.m, panel, 0, steps_of(p.k));
    release_tiles();
}

}  // namespace
