// Products of float32 numbers by the tiles of AMX, of which each product is made of eight whole ones: of the nine that three
// digits by three make all but that of the last ones. Sums of whole numbers are exact, so bits do not depend on which rows are
// taken together.
//
// An infinite weight gives NaN. Rows with an infinity are multiplied without tiles.
#pragma once
#include "amx_digits.h"

namespace {

constexpr int kLevels = 4;  // of sums: of the highest digits, of those a digit lower, and so on
// The two highest of them are put together as whole numbers: highest digits are 127 at most.
static_assert((127 * 127 * 256 + 2 * 127 * 128) * kSpan < int64_t(1) << 31);

// Where rows of a product go and what is added to them, and what the sums over each are worth.
struct DigitRows {
    float worths[kRowsSplit];
    float* target[kRowsSplit];
    const float* added[kRowsSplit];
    bool adds;
    const float* bias;

    void find(const Product<float>& p, int64_t row, int64_t rows) {
        adds = p.added != nullptr, bias = p.bias;
        for (int64_t r = 0; r < rows; ++r) {
            target[r] = p.target + row_at(p, row + r, p.target_stride, p.target_jump);
            if (adds) added[r] = p.added + row_at(p, row + r, p.added_stride, p.added_jump);
        }
    }
    // Spans of K add up.
    void go_on(int64_t rows) {
        adds = true, bias = nullptr;
        for (int64_t r = 0; r < rows; ++r) added[r] = target[r];
    }
};

// The sums of a block of rows by a tile's columns as they leave the tiles, and where they go. They are put together row by row
// while tiles make the next ones.
class DigitSums {
   public:
    void begin(const float* worths, int64_t row, int64_t rows, int64_t column, int64_t columns) {
        first_ = next_ = row, end_ = row + rows;
        column_ = column, columns_ = columns, worths_ = worths;
    }

    // The tiles of the sums are kept here.
    ALWAYS void take() {
        store_tile<0>(tiles_, kTileRows);
        store_tile<1>(tiles_ + kLevel, kTileRows);
        store_tile<2>(tiles_ + 2 * kLevel, kTileRows);
        store_tile<3>(tiles_ + 3 * kLevel, kTileRows);
    }

    // The next rows, as many as there are.
    ALWAYS void put(const DigitRows& rows, int64_t count) {
        const int64_t end = lesser(end_, next_ + count);
        if (columns_ < kTileRows)
            put_some(rows, end);
        else if (rows.bias == nullptr)
            rows.adds ? put_whole<true, false>(rows, end) : put_whole<false, false>(rows, end);
        else
            rows.adds ? put_whole<true, true>(rows, end) : put_whole<false, true>(rows, end);
        next_ = end;
    }

   private:
    static constexpr int64_t kLevel = kTileRows * kTileRows;

    ALWAYS Vec<float> sum(int64_t row) const {
        auto level = [&](int at) {
            VecInt sums;
            __builtin_memcpy(&sums, tiles_ + at * kLevel + (row - first_) * kTileRows, sizeof sums);
            return sums;
        };
        const VecInt high = (level(0) << 8) + level(1), low = level(2) + (level(3) >> 8);  // below 2^31
        return __builtin_convertvector(high, Vec<float>) + __builtin_convertvector(low, Vec<float>) * (1.0f / 256);
    }

    template <bool kAdds, bool kBias>
    ALWAYS void put_whole(const DigitRows& rows, int64_t end) const {
        const int64_t column = column_;
        const Vec<float> worths = load(worths_), bias = kBias ? load(rows.bias + column) : Vec<float>{};
        for (int64_t row = next_; row < end; ++row) {
            Vec<float> all = sum(row) * worths * same(rows.worths[row]);
            if constexpr (kAdds) all += load(rows.added[row] + column);
            if constexpr (kBias) all += bias;
            store<float>(rows.target[row] + column, all);
        }
    }

    // The columns of a matrix that ends within the tile.
    __attribute__((noinline)) void put_some(const DigitRows& rows, int64_t end) const {
        const int64_t columns = lesser(columns_, kTileRows);
        for (int64_t row = next_; row < end; ++row) {
            Vec<float> all = sum(row) * load(worths_) * same(rows.worths[row]);
            if (rows.adds) all += load_some(rows.added[row] + column_, columns);
            if (rows.bias != nullptr) all += load_some(rows.bias + column_, columns);
            store_some<float>(rows.target[row] + column_, all, columns);
        }
    }

    alignas(64) float tiles_[kLevels * kLevel];  // whole numbers
    const float* worths_ = nullptr;  // of the columns
    int64_t first_ = 0, next_ = 0, end_ = 0, column_ = 0, columns_ = 0;
};

// A block of rows by a tile's columns, for some steps of K, while the sums before are put where they belong.
ALWAYS void multiply_digits(const char* x, const char* w, int64_t steps, DigitSums& sums, DigitSums& before, const DigitRows& rows) {
    const int64_t each = (kTileRows + steps - 1) / steps;
    clear_tile<0>();
    clear_tile<1>();
    clear_tile<2>();
    clear_tile<3>();
    for (int64_t step = 0; step < steps; ++step, x += kDigitBytes, w += kDigitBytes) {
        load_tile<7>(w);
        load_tile<4>(x);
        add_whole_product<0, 4, 7>();
        load_tile<5>(x + kTileBytes);
        add_whole_product<1, 5, 7>();
        load_tile<6>(x + 2 * kTileBytes);
        add_whole_product<2, 6, 7>();
        load_tile<7>(w + kTileBytes);
        add_whole_product<3, 6, 7>();
        add_whole_product<2, 5, 7>();
        add_whole_product<1, 4, 7>();
        load_tile<7>(w + 2 * kTileBytes);
        add_whole_product<2, 4, 7>();
        add_whole_product<3, 5, 7>();
        before.put(rows, each);
    }
    sums.take();
}

// Without tiles, for a span of numbers.
__attribute__((noinline)) void multiply_digits_plainly(const Product<float>& p, int64_t row, int64_t rows, int64_t k, int64_t count) {
    multiply_plainly(p, row, rows, k, count, [&](int64_t at, float* whole) {
        const DigitPanel panel(p.packed, p.k, at);
        for (int64_t i = k; i < k + count; ++i)
            for (int64_t tile = 0; tile < 2; ++tile) {
                const int64_t r = i % kTileRows;
                const int byte = int(i % kDigitDepth / kTileRows);
                const char* from = panel.tile(tile, i / kDigitDepth) + r * 64;
                Vec<float> numbers = {};
                for (int64_t digit = 0; digit < kDigits; ++digit) {
                    VecInt four;
                    __builtin_memcpy(&four, from + digit * kTileBytes, sizeof four);
                    numbers = numbers * 256 + __builtin_convertvector((four << (24 - 8 * byte)) >> 24, Vec<float>);
                }
                numbers *= load(panel.worths(tile)) * same(panel.sizes()[i] / kWorthTimes);
                store<float>(whole + (i - k) * kColumns + tile * kTileRows, numbers);
            }
    });
}

// Blocks of so many rows each by the panels, each of which is read once for all of them, from a step of K on.
void multiply_blocks(const Product<float>& p, const char* x, int64_t block_bytes, int64_t each, int64_t rows, int64_t from, int64_t steps,
                     const DigitRows& places) {
    const auto many = uint8_t(each);
    configure_tiles({{many, many, many, many, many, many, many, kTileRows}});
    DigitSums sums[2];
    DigitSums *now = &sums[0], *before = &sums[1];
    for (int64_t at = p.first_panel; at < p.last_panel; ++at) {
        const int64_t this_panel = p.backwards ? p.first_panel + p.last_panel - 1 - at : at;
        const DigitPanel panel(p.packed, p.k, this_panel);
        for (int64_t tile = 0; tile < 2; ++tile) {
            const int64_t column = this_panel * kColumns + tile * kTileRows;
            for (int64_t row = 0; row < rows && column < p.n; row += each) {
                now->begin(panel.worths(tile), row, lesser(each, rows - row), column, p.n - column);
                multiply_digits(x + row / each * block_bytes, panel.tile(tile, from), steps, *now, *before, places);
                before->put(places, kTileRows);
                DigitSums* other = now;
                now = before, before = other;
            }
        }
    }
    before->put(places, kTileRows);
}

// Some rows, in blocks of like sizes.
void some_rows_of_digits(const Product<float>& whole, int64_t row, int64_t rows) {
    constexpr int64_t most_blocks = kRowsSplit / kTileRows, block_bytes = kSpan / kDigitDepth * kDigitBytes;
    alignas(64) char x[most_blocks * block_bytes];
    const int64_t blocks = (rows + kTileRows - 1) / kTileRows, each = (rows + blocks - 1) / blocks;
    Product<float> p = whole;
    DigitRows places;
    places.find(p, row, rows);
    for (int64_t k = 0; k < p.k; k += kSpan) {
        const int64_t count = lesser(kSpan, p.k - k);
        const float* sizes = DigitPanel(p.packed, p.k, p.first_panel).sizes() + k;
        bool all_numbers = true;
        for (int64_t r = 0; r < rows; ++r) {
            const float* source = p.source + row_at(p, row + r, p.source_stride, p.source_jump) + k;
            places.worths[r] = split_row(source, sizes, count, x + r / each * block_bytes + r % each * 64);
            all_numbers &= places.worths[r] == places.worths[r];
        }
        if (all_numbers)
            multiply_blocks(p, x, block_bytes, each, rows, k / kDigitDepth, digit_steps(count), places);
        else
            multiply_digits_plainly(p, row, rows, k, count);
        places.go_on(rows);
        p.added = p.target, p.added_stride = p.target_stride, p.added_jump = p.target_jump, p.bias = nullptr;
    }
}

void matmul_digits(const Product<float>& p) {
    if (p.first_panel == p.last_panel) return;
    // Weights that stay in the second cache are read again for every two blocks of rows, which stay in the first
    const bool near = (p.last_panel - p.first_panel) * DigitPanel::bytes(p.k) <= kSecondCache;
    const int64_t some = near ? 2 * kTileRows : kRowsSplit;
    for (int64_t row = 0; row < p.m; row += some) some_rows_of_digits(p, row, lesser(some, p.m - row));
    release_tiles();
}

}  // namespace
