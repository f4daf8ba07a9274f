// The eight tiles of AMX: up to 16 rows of 64 bytes each, and what is done with vectors around them. Compilers have instructions
// for tiles whose number is part of the name; here it is a parameter.
#pragma once
#include <cstdint>

#include "matmul.h"

namespace {

constexpr int64_t kTileRows = 16, kTileDepth = 32;          // of a tile with bfloat16 numbers: 32 in a row
constexpr int64_t kTileBytes = kTileRows * kTileDepth * 2;  // as of one with 16 sums in a row

constexpr int64_t kColumns = kPanel<float>;  // of a panel: two tiles side by side
static_assert(kColumns == 2 * kTileRows);
constexpr int64_t kSpan = 512, kRowsSplit = 64;  // of a source that are split at once

ALWAYS int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
ALWAYS void store_bytes(char* to, VecBits v) { __builtin_memcpy(to, &v, sizeof v); }
ALWAYS Vec<float> load_up_to(const float* from, int64_t count) {
    return count >= kTileRows ? load(from) : count > 0 ? load_some(from, count) : Vec<float>{};
}

struct TileRows {
    uint8_t of[8];
};

// How many rows each tile has. All of them are 64 bytes wide.
ALWAYS void configure_tiles(const TileRows& rows) {
    alignas(64) uint8_t bytes[64] = {1};  // the palette; from 16 on bytes of a tile's rows, from 48 on how many
    for (int tile = 0; tile < 8; ++tile) bytes[16 + 2 * tile] = 64, bytes[48 + tile] = rows.of[tile];
    asm volatile("ldtilecfg %0" : : "m"(bytes) : "memory");
}

ALWAYS void release_tiles() { asm volatile("tilerelease" : : : "memory"); }

template <int kTile>
ALWAYS void clear_tile() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}

// Rows that follow each other.
template <int kTile>
ALWAYS void load_tile(const char* from) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(int64_t(64)), "i"(kTile) : "memory");
}

// Rows that lie so many floats apart.
template <int kTile>
ALWAYS void load_tile(const float* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride * 4), "i"(kTile) : "memory");
}
template <int kTile>
ALWAYS void store_tile(float* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride * 4), "i"(kTile) : "memory");
}

// Adds to sums [rows, 16] the products of [rows, 32] numbers by [32, 16]: of the latter a row holds two, side by side.
template <int kSums, int kLeft, int kRight>
ALWAYS void add_product() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kLeft), "i"(kRight));
}

// Of whole numbers of eight bits, with a sign: [rows, 64] by [64, 16], of which a row holds four, side by side.
template <int kSums, int kLeft, int kRight>
ALWAYS void add_whole_product() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kLeft), "i"(kRight));
}

// A product as it is without tiles, a row after the other, for a span of numbers, by weights that are put together again:
// unpack(panel, whole) does so for those of the span, rows of kColumns.
template <class Unpack>
ALWAYS void multiply_plainly(const Product<float>& p, int64_t row, int64_t rows, int64_t k, int64_t count, Unpack unpack) {
    alignas(64) float whole[kSpan * kColumns];
    for (int64_t panel = p.first_panel; panel < p.last_panel; ++panel) {
        unpack(panel, whole);
        const int64_t column = panel * kColumns;
        for (int64_t r = row; r < row + rows; ++r) {
            Product<float> one = p;
            one.source += row_at(p, r, p.source_stride, p.source_jump) + k, one.packed = whole;
            one.target += row_at(p, r, p.target_stride, p.target_jump) + column;
            if (p.added != nullptr) one.added += row_at(p, r, p.added_stride, p.added_jump) + column;
            if (p.bias != nullptr) one.bias += column;
            one.m = 1, one.k = count, one.n = lesser(kColumns, p.n - column);
            one.first_panel = 0, one.last_panel = 1, one.run = 0;
            matmul(one);
        }
    }
}

}  // namespace
