// Sums over all rows of a run: the gradients of what is the same in every step, made when the recurrence is over.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "arena.h"
#include "dispatch.h"
#include "engine.h"

namespace echoic {

// One thread's share of the sums: a range of the columns of the left array, over all rows. Rows are taken some hundreds
// at a time: of the right arrays packed for the matmul, of the left one some columns, in blocks of a few.
template <class T>
class Sums {
   public:
    Sums(const echoic_run& run, const Kernels<T>& kernels, Arena& arena) : run_(run), kernels_(kernels), arena_(arena) {
        lefts_.reserve(kDepth);
        places_.reserve(kDepth);
    }

    // Sums that follow each other and have one left array are made together.
    void work(int part, int parts) {
        for (size_t s = 0; s < run_.sum_count;) {
            sums_ = run_.sums + s;
            count_ = 1;
            while (s + count_ < run_.sum_count && run_.sums[s + count_].left == sums_->left &&
                   run_.sums[s + count_].left_width == sums_->left_width)
                ++count_;
            const int64_t width = sums_->left_width, blocks = (width + kBlock - 1) / kBlock;
            first_ = std::min(width, blocks * part / parts * kBlock);
            last_ = std::min(width, blocks * (part + 1) / parts * kBlock);
            if (first_ < last_) all_rows();
            s += count_;
        }
    }

   private:
    static constexpr int64_t kDepth = 256;          // rows taken together: the results are read and written once for them
    static constexpr int64_t kNumbers = 256 << 10;  // of the packed right arrays, at most
    static constexpr int64_t kSoon = 8;             // rows between one that is copied and one that is fetched
    static constexpr int64_t kPanels = 2;           // that all blocks are multiplied with, one after the other
    static constexpr int64_t kTogether = 8;         // blocks of columns that are copied from the left array at once

    struct Place {
        int64_t step, rank;
    };

    int64_t packed_width(const echoic_sum& sum) const {
        return sum.outer == nullptr ? 0 : panels(kernels_, sum.right_width) * kernels_.panel;
    }

    void all_rows() {
        int64_t width = 0;
        for (size_t s = 0; s < count_; ++s) width += packed_width(sums_[s]);
        depth_ = width == 0 ? kDepth : std::clamp(kNumbers / width, int64_t(32), kDepth);
        char* memory = arena_.at_least(size_t((width + kTogether * kBlock) * depth_) * sizeof(T));
        packed_ = reinterpret_cast<T*>(memory);
        blocks_ = packed_ + width * depth_;
        anew_ = true;
        for (int64_t step = 0; step < run_.steps; ++step)
            for (int64_t rank = 0; rank < run_.active[step]; ++rank) {
                const int64_t row = run_.offsets[step] + rank;
                lefts_.push_back(static_cast<const T*>(sums_->left) + row * sums_->left_width);
                places_.push_back({step, rank});
                if (int64_t(lefts_.size()) == depth_) add();
            }
        if (anew_ || !lefts_.empty()) add();
    }

    // The row at the right of a sum.
    const T* right(const echoic_sum& sum, Place at) const {
        const int64_t row = run_.offsets[at.step] + at.rank;
        if (sum.right != nullptr) return static_cast<const T*>(sum.right) + row * sum.right_width;
        const echoic_state& state = run_.states[sum.state];
        if (run_.cleared != nullptr && run_.cleared[row]) return static_cast<const T*>(state.fresh) + at.rank * state.width;
        if (at.step == 0) return static_cast<const T*>(state.initial) + at.rank * state.width;
        return static_cast<const T*>(state.kept) + (run_.offsets[at.step - 1] + at.rank) * state.stride;
    }

    // The rows gathered so far are added to what was summed before, or to nothing.
    void add() {
        T* to = packed_;
        for (size_t s = 0; s < count_; ++s) {
            if (sums_[s].outer == nullptr) continue;
            pack(sums_[s], to);
            to += packed_width(sums_[s]) * int64_t(lefts_.size());
        }
        for (int64_t column = first_; column < last_; column += kTogether * kBlock) {
            const int64_t end = std::min(last_, column + kTogether * kBlock);
            copy_columns(column, end);
            add_columns(column, end);
            add_products(column, end);
        }
        lefts_.clear();
        places_.clear();
        anew_ = false;
    }

    // Rows lie too far apart for the processor to foresee the next one.
    static void fetch(const T* soon, int64_t count) {
        for (int64_t i = 0; i < count; i += int64_t(64 / sizeof(T))) __builtin_prefetch(soon + i);
    }

    void pack(const echoic_sum& sum, T* packed) const {
        const int64_t panel = kernels_.panel, depth = int64_t(lefts_.size());
        for (int64_t k = 0; k < depth; ++k) {
            const T* from = right(sum, places_[size_t(k)]);
            fetch(right(sum, places_[size_t(std::min(k + kSoon, depth - 1))]), sum.right_width);
            for (int64_t column = 0; column < sum.right_width; column += panel) {
                const int64_t count = std::min(panel, sum.right_width - column);
                T* to = packed + column * depth + k * panel;
                std::memcpy(to, from + column, size_t(count) * sizeof(T));
                std::fill(to + count, to + panel, T(0));
            }
        }
    }

    // Blocks of columns of the left array, one after the other, kBlock numbers for every row; of the last block as many
    // as there are, and whatever was there.
    void copy_columns(int64_t begin, int64_t end) {
        const int64_t depth = int64_t(lefts_.size()), whole = (end - begin) / kBlock, rest = (end - begin) % kBlock;
        for (int64_t k = 0; k < depth; ++k) {
            fetch(lefts_[size_t(std::min(k + kSoon, depth - 1))] + begin, end - begin);
            const T* from = lefts_[size_t(k)] + begin;
            T* to = blocks_ + k * kBlock;
            for (int64_t b = 0; b < whole; ++b) std::memcpy(to + b * depth * kBlock, from + b * kBlock, kBlock * sizeof(T));
            std::memcpy(to + whole * depth * kBlock, from + whole * kBlock, size_t(rest) * sizeof(T));
        }
    }

    // Some panels of a right array after the others, by all the blocks that were copied.
    void add_products(int64_t begin, int64_t end) const {
        const int64_t depth = int64_t(lefts_.size());
        const T* packed = packed_;
        for (size_t s = 0; s < count_; ++s) {
            const echoic_sum& sum = sums_[s];
            if (sum.outer == nullptr) continue;
            Product<T> product{};
            product.packed = packed;
            product.target_stride = product.added_stride = sum.right_width;
            product.k = depth;
            product.n = sum.right_width;
            const int64_t all = panels(kernels_, sum.right_width);
            for (int64_t panel = 0; panel < all; panel += kPanels) {
                product.first_panel = panel, product.last_panel = std::min(all, panel + kPanels);
                for (int64_t block = begin; block < end; block += kBlock) {
                    product.source = blocks_ + (block - begin) * depth;
                    product.target = static_cast<T*>(sum.outer) + block * sum.right_width;
                    product.added = anew_ ? nullptr : product.target;
                    product.m = std::min(int64_t(kBlock), end - block);
                    kernels_.matmul_transposed(product);
                }
            }
            packed += packed_width(sum) * depth;
        }
    }

    void add_columns(int64_t begin, int64_t end) const {
        for (size_t s = 0; s < count_; ++s) {
            if (sums_[s].columns == nullptr) continue;
            for (int64_t block = begin; block < end; block += kBlock)
                add_columns(static_cast<T*>(sums_[s].columns) + block, blocks_ + (block - begin) * int64_t(lefts_.size()),
                            std::min(int64_t(kBlock), end - block));
        }
    }

    void add_columns(T* columns, const T* block, int64_t count) const {
        constexpr int64_t together = 4 * kBlock;  // numbers of some rows: one row alone would wait for every addition
        const int64_t numbers = int64_t(lefts_.size()) * kBlock, whole = numbers / together * together;
        T sums[together] = {};
        for (int64_t n = 0; n < whole; n += together)
            for (int64_t i = 0; i < together; ++i) sums[i] += block[n + i];
        for (int64_t i = 0; i < numbers - whole; ++i) sums[i] += block[whole + i];
        for (int64_t i = kBlock; i < together; ++i) sums[i % kBlock] += sums[i];
        for (int64_t i = 0; i < count; ++i) columns[i] = anew_ ? sums[i] : columns[i] + sums[i];
    }

    const echoic_run& run_;
    const Kernels<T>& kernels_;
    Arena& arena_;
    const echoic_sum* sums_ = nullptr;  // those made together
    size_t count_ = 0;
    int64_t first_ = 0, last_ = 0, depth_ = 0;
    bool anew_ = true;
    T *packed_ = nullptr, *blocks_ = nullptr;
    std::vector<const T*> lefts_;  // the rows gathered
    std::vector<Place> places_;
};

}  // namespace echoic
