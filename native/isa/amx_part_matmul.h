// Products by the tiles of AMX: of numbers rounded to one part, to two, or as they are, in three. Of the products of parts
// only those are made that are not smaller than what the parts leave out: one, three of four, six of nine, as Henry, Tang and
// Heinecke do in "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations" (2019).
//
// An infinite weight of several parts gives NaN. Rows with an infinity are multiplied without tiles.
#pragma once
#include "amx_parts.h"

namespace {

// The weights of a step are on their way from here on: loads of tiles wait for theirs. Of several parts each is used longer,
// and fetching them gains nothing.
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

// The sums of some rows by a panel: [rows, kColumns], up to two blocks. Tiles begin with what is added and go where the sums belong,
// but by way of memory of their own where a bias is added, the matrix ends within the panel, or a block's rows lie in several runs.
class PanelSums {
   public:
    PanelSums(const Product<float>& p, int64_t row, int64_t rows, int64_t panel)
        : p_(p), to_(p, row, panel * kColumns), row_(row), rows_(rows),
          direct_(to_.columns >= kColumns && is_even(p.target_stride, p.target_jump) && is_even(p.added_stride, p.added_jump)),
          second_target_(second(p.target_stride, p.target_jump)), second_added_(second(p.added_stride, p.added_jump)) {
        if (direct_ && to_.bias != nullptr) add_bias();
    }

    // The two tiles of a block, of the second one from row kTileRows on.
    template <int kLeft, int kRight>
    ALWAYS void begin(int64_t row) const {
        if (!direct_ || to_.added == nullptr) {
            clear_tile<kLeft>();
            clear_tile<kRight>();
        } else {
            const float* from = to_.added + (row == 0 ? 0 : second_added_);
            load_tile<kLeft>(from, to_.added_stride);
            load_tile<kRight>(from + kTileRows, to_.added_stride);
        }
    }
    template <int kLeft, int kRight>
    ALWAYS void end(int64_t row) {
        float* to = !direct_ ? own_ + row * kColumns : to_.target + (row == 0 ? 0 : second_target_);
        const int64_t stride = direct_ ? to_.target_stride : kColumns;
        store_tile<kLeft>(to, stride);
        store_tile<kRight>(to + kTileRows, stride);
    }
    ALWAYS void finish() const {
        if (!direct_) put_rows();
    }

   private:
    // Whether all rows of a block lie a fixed distance apart.
    ALWAYS bool is_even(int64_t stride, int64_t jump) const {
        return p_.run % kTileRows == 0 || jump == p_.run * stride;
    }
    ALWAYS int64_t second(int64_t stride, int64_t jump) const {
        return row_at(p_, row_ + kTileRows, stride, jump) - row_at(p_, row_, stride, jump);
    }

    ALWAYS void add_bias() {
        const Vec<float> left = load(to_.bias), right = load(to_.bias + kTileRows);
        for (int64_t r = 0; r < rows_; ++r) {
            const int64_t at = r < kTileRows ? r * to_.added_stride : second_added_ + (r - kTileRows) * to_.added_stride;
            const float* added = to_.added == nullptr ? nullptr : to_.added + at;
            store<float>(own_ + r * kColumns, added == nullptr ? left : left + load(added));
            store<float>(own_ + r * kColumns + kTileRows, added == nullptr ? right : right + load(added + kTileRows));
        }
        to_.added = own_, to_.added_stride = kColumns, second_added_ = kTileRows * kColumns;
    }

    __attribute__((noinline)) void put_rows() const {
        for (int64_t r = 0; r < rows_; ++r) {
            Place<float> to(p_, row_ + r, p_.n - to_.columns);
            to.columns = lesser(to.columns, kColumns);
            to.put_some(own_ + r * kColumns, 1, kColumns);
        }
    }

    const Product<float>& p_;
    Place<float> to_;
    const int64_t row_, rows_;
    const bool direct_;
    const int64_t second_target_;
    int64_t second_added_;
    alignas(64) float own_[2 * kTileRows * kColumns];
};

// Where a panel's weights begin, from a step on.
template <int kParts>
ALWAYS const char* weights_of(const Product<float>& p, int64_t panel, int64_t step) {
    return static_cast<const char*>(p.packed) + (panel * steps_of(p.k) + step) * kStepBytes<kParts>;
}

// A block of columns by the rows in tile 4, and their further parts in those that follow. In every block of a product parts
// are multiplied in one order, so that bits do not depend on which rows are taken together: of three the parts 2, 1 and 0 of
// the rows by 0 of the weights, 0 by 2, 0 and 1 by 1.
template <int kParts, int kSums>
ALWAYS void add_products(const char* w) {
    constexpr int weights = kParts == 1 ? 5 + kSums % 3 : kParts == 2 ? 6 : 7;
    load_tile<weights>(w);
    if constexpr (kParts == 3) add_product<kSums, 6, weights>();
    if constexpr (kParts > 1) add_product<kSums, 5, weights>();
    add_product<kSums, 4, weights>();
    if constexpr (kParts == 3) {
        load_tile<7>(w + 2 * kTileBytes);
        add_product<kSums, 4, 7>();
    }
    if constexpr (kParts > 1) {
        load_tile<7>(w + kTileBytes);
        add_product<kSums, 4, 7>();
    }
    if constexpr (kParts == 3) add_product<kSums, 5, 7>();
}

// A block of up to kTileRows rows by a panel and, if there is one, the next.
template <int kParts, bool kNext>
void one_block(const Product<float>& p, const char* x, int64_t row, int64_t rows, int64_t panel, int64_t from, int64_t steps) {
    const char *w = weights_of<kParts>(p, panel, from), *next = weights_of<kParts>(p, panel + kNext, from);
    PanelSums sums(p, row, rows, panel), of_next(p, row, kNext ? rows : 0, panel + kNext);
    sums.begin<0, 1>(0);
    if constexpr (kNext) of_next.begin<2, 3>(0);
    for (int64_t s = 0; s < steps; ++s, x += kBlockBytes<kParts>, w += kStepBytes<kParts>, next += kStepBytes<kParts>) {
        fetch_step<kParts>(w);
        load_tile<4>(x);
        if constexpr (kParts > 1) load_tile<5>(x + kTileBytes);
        if constexpr (kParts > 2) load_tile<6>(x + 2 * kTileBytes);
        add_products<kParts, 0>(w);
        add_products<kParts, 1>(w + kBlockBytes<kParts>);
        if constexpr (!kNext) continue;
        fetch_step<kParts>(next);
        add_products<kParts, 2>(next);
        add_products<kParts, 3>(next + kBlockBytes<kParts>);
    }
    sums.end<0, 1>(0);
    if constexpr (kNext) of_next.end<2, 3>(0);
    sums.finish();
    if constexpr (kNext) of_next.finish();
}

// A block of rows by two panels, or by the last one.
template <int kParts>
ALWAYS void by_two_panels(const Product<float>& p, const char* x, int64_t row, int64_t rows, int64_t panel, int64_t from,
                          int64_t steps) {
    (panel + 1 < p.last_panel ? one_block<kParts, true> : one_block<kParts, false>)(p, x, row, rows, panel, from, steps);
}

// Two blocks of rows, in tiles 4 and 5, by two of columns, in 6 and 7.
ALWAYS void add_both() {
    add_product<0, 4, 6>();
    add_product<1, 4, 7>();
    add_product<2, 5, 6>();
    add_product<3, 5, 7>();
}

// A part of the rows, by the same of the weights as before.
ALWAYS void add_both(const char* x, const char* more, int part) {
    load_tile<4>(x + part * kTileBytes);
    load_tile<5>(more + part * kTileBytes);
    add_both();
}

// The other way round, of a panel.
template <int kParts>
ALWAYS void load_weights(const char* w, int part) {
    load_tile<6>(w + part * kTileBytes);
    load_tile<7>(w + kBlockBytes<kParts> + part * kTileBytes);
}

// Two blocks of rows, the first of kTileRows, by a panel.
template <int kParts>
void two_blocks(const Product<float>& p, const char* x, const char* more, int64_t row, int64_t rows, int64_t panel,
                int64_t from, int64_t steps) {
    const char* w = weights_of<kParts>(p, panel, from);
    PanelSums sums(p, row, rows, panel);
    sums.begin<0, 1>(0);
    sums.begin<2, 3>(kTileRows);
    for (int64_t s = 0; s < steps; ++s, w += kStepBytes<kParts>, x += kBlockBytes<kParts>, more += kBlockBytes<kParts>) {
        fetch_step<kParts>(w);
        load_weights<kParts>(w, 0);
        // From one product to the next either the rows stay or the weights
        if constexpr (kParts == 3) add_both(x, more, 2);
        if constexpr (kParts > 1) add_both(x, more, 1);
        add_both(x, more, 0);
        if constexpr (kParts == 1) continue;
        if constexpr (kParts == 3) {
            load_weights<kParts>(w, 2);
            add_both();
        }
        load_weights<kParts>(w, 1);
        add_both();
        if constexpr (kParts == 3) add_both(x, more, 1);
    }
    sums.end<0, 1>(0);
    sums.end<2, 3>(kTileRows);
    sums.finish();
}

// Rows, from a column on, as tiles. Whether there is an infinity among the numbers: as a sum of parts it would be NaN.
template <int kParts>
bool split_rows(const Product<float>& p, int64_t row, int64_t rows, int64_t column, int64_t count, char* to) {
    constexpr int infinities = 0x18;
    const float* begin[kTileRows];
    for (int64_t r = 0; r < rows; ++r) begin[r] = p.source + row_at(p, row + r, p.source_stride, p.source_jump) + column;
    __mmask16 infinite = 0;
    for (int64_t s = 0; s < steps_of(count); ++s, to += kBlockBytes<kParts>)
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t left = count - s * kTileDepth;
            const float* from = begin[r] + s * kTileDepth;
            const Vec<float> first = load_up_to(from, left), second = load_up_to(from + kTileRows, left - kTileRows);
            store_parts<kParts>(to + r * 64, first, second);
            if constexpr (kParts > 1)
                infinite |= _mm512_fpclass_ps_mask((__m512)first, infinities) | _mm512_fpclass_ps_mask((__m512)second, infinities);
        }
    return infinite != 0;
}

// Without tiles, for a span of numbers.
template <int kParts>
__attribute__((noinline)) void multiply_parts_plainly(const Product<float>& p, int64_t row, int64_t rows, int64_t k, int64_t count) {
    multiply_plainly(p, row, rows, k, count, [&](int64_t panel, float* whole) {
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
    });
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
            if (infinite) multiply_parts_plainly<kParts>(p, row, rows, k, count);
        for (int64_t g = 0; g < groups; ++g) {
            const int64_t panel = p.first_panel + 2 * (p.backwards ? groups - 1 - g : g);
            for (int64_t r = 0; r < last; r += pair) {
                const int64_t both = lesser(pair, last - r);
                take(kTileRows, both - kTileRows);
                const char *first = x + r / kTileRows * block_bytes, *second = first + block_bytes;
                for (int64_t each = panel; each < panel + 2 && each < p.last_panel; ++each)
                    two_blocks<kParts>(p, first, second, row + r, both, each, from, steps);
            }
            if (last == rows) continue;
            take(rows - last, 0);
            by_two_panels<kParts>(p, x + last / kTileRows * block_bytes, row + last, rows - last, panel, from, steps);
        }
        p.added = p.target, p.added_stride = p.target_stride, p.added_jump = p.target_jump, p.bias = nullptr;  // spans add up
    }
}

template <int kParts>
void matmul_parts(const Product<float>& p) {
    for (int64_t row = 0; row < p.m; row += kRowsSplit) some_rows<kParts>(p, row, lesser(kRowsSplit, p.m - row));
    release_tiles();
}

// Both sides come from the second cache. Of as many steps as the first one keeps of the rows they are read once for all panels.
template <int kParts>
void matmul_transposed_parts(const Product<float>& whole) {
    constexpr int64_t together = 12 / kParts;
    const int64_t all = steps_of(whole.k), first = lesser(kTileRows, whole.m);
    Product<float> p = whole;
    configure<kParts>(first, p.m - first);
    for (int64_t from = 0; from < all; from += together) {
        const int64_t steps = lesser(together, all - from);
        const char* x = reinterpret_cast<const char*>(p.source) + from * kBlockBytes<kParts>;
        if (p.m > kTileRows)
            for (int64_t panel = p.first_panel; panel < p.last_panel; ++panel)
                two_blocks<kParts>(p, x, x + all * kBlockBytes<kParts>, 0, p.m, panel, from, steps);
        else
            for (int64_t panel = p.first_panel; panel < p.last_panel; panel += 2)
                by_two_panels<kParts>(p, x, 0, p.m, panel, from, steps);
        p.added = p.target, p.added_stride = p.target_stride, p.bias = nullptr;
    }
    release_tiles();
}

}  // namespace
