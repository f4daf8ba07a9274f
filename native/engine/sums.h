// Sums over all rows of a run: the gradients of what is the same in every step, made when the recurrence is over.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "arena.h"
#include "dispatch.h"
#include "engine.h"
#include "ranks.h"
#include "sum_ranges.h"

namespace echoic {

// One thread's share of the sums: a range of the rows, or of the columns of the left array. Rows are taken some hundreds
// at a time: of the right arrays packed for the matmul, of the left one some columns, in blocks of a few.
template <class T>
class Sums {
   public:
    Sums(const echoic_run& run, const SumRanges<T>& ranges, const KernelsForSums<T>& kernels, Arena& arena)
        : run_(run), ranges_(ranges), kernels_(kernels), block_(kernels.best.block), arena_(arena) {
        lefts_.reserve(kDepth);
        rights_.reserve(kDepth);
        places_.reserve(kDepth);
    }

    void work(int part, int parts) {
        for (const SumGroup& group : ranges_.groups()) {
            group_ = &group;
            sums_ = run_.sums + group.first;
            // Threads beyond the ranges share the columns of one
            const int64_t sharing = (parts - part % group.ranges + group.ranges - 1) / group.ranges, mine = part / group.ranges;
            const int64_t width = sums_->left_width, blocks = (width + block_ - 1) / block_;
            first_ = std::min(width, blocks * mine / sharing * block_);
            last_ = std::min(width, blocks * (mine + 1) / sharing * block_);
            for (range_ = part % group.ranges; range_ < group.ranges && first_ < last_; range_ += parts) all_rows();
        }
    }

   private:
    static constexpr int64_t kDepth = kMostSummed;  // rows taken together: the results are read and written once for them
    static constexpr int64_t kNumbers = 256 << 10;  // of the packed right arrays, at most
    static constexpr int64_t kTogether = 4;         // blocks of columns that are copied from the left array at once

    struct Place {
        int64_t step, rank, group;
    };

    int64_t packed_width(const echoic_sum& sum) const {
        return sum.outer == nullptr ? 0 : panels(kernels_.best, sum.right_width) * kernels_.best.panel;
    }

    void all_rows() {
        int64_t width = 0;
        for (size_t s = 0; s < group_->count; ++s) width += packed_width(sums_[s]);
        depth_ = width == 0 ? kDepth : std::clamp(kNumbers / width, int64_t(32), kDepth);
        const int64_t depth = std::max(kernels_.best.depth(depth_), kernels_.for_all.depth(depth_));
        packed_ = reinterpret_cast<T*>(arena_.at_least(size_t((width + kTogether * block_) * depth) * sizeof(T)));
        blocks_ = packed_ + width * depth;
        any_ = width > 0;
        anew_ = true;
        const Ranks ranks = ranks_of(run_, range_, group_->ranges);
        for (int64_t step = 0; step < run_.steps; ++step)
            for (int64_t rank = ranks.first; rank < std::min(run_.active[step], ranks.end); rank += ranks.every)
                for (int64_t group = 0; group < sums_->groups; ++group) {
                    const int64_t row = (run_.offsets[step] + rank) * sums_->groups + group;
                    lefts_.push_back(static_cast<const T*>(sums_->left) + row * sums_->left_width);
                    places_.push_back({step, rank, group});
                    if (int64_t(lefts_.size()) == depth_) add();
                }
        if (!lefts_.empty())
            add();
        else if (anew_)
            clear();
    }

    // Sums of no rows.
    void clear() const {
        for (size_t s = 0; s < group_->count; ++s) {
            T *outer = ranges_.outer(*group_, range_, group_->first + s), *columns = ranges_.columns(*group_, range_, group_->first + s);
            const int64_t width = sums_[s].right_width;
            if (outer != nullptr) std::fill(outer + first_ * width, outer + last_ * width, T(0));
            if (columns != nullptr) std::fill(columns + first_, columns + last_, T(0));
        }
    }

    // The row at the right of a sum, or the group of one.
    const T* right(const echoic_sum& sum, Place at) const {
        const int64_t row = run_.offsets[at.step] + at.rank, column = at.group * sum.right_width;
        if (sum.right != nullptr) return static_cast<const T*>(sum.right) + row * sum.groups * sum.right_width + column;
        const echoic_state& state = run_.states[sum.state];
        const int64_t own = at.rank * state.width + column;
        if (run_.cleared != nullptr && run_.cleared[row]) return static_cast<const T*>(state.fresh) + own;
        if (at.step == 0) return static_cast<const T*>(state.initial) + own;
        return static_cast<const T*>(state.kept) + (run_.offsets[at.step - 1] + at.rank) * state.stride + column;
    }

    // The rows gathered so far are added to what was summed before, or to nothing.
    void add() {
        const int64_t rows = int64_t(lefts_.size());
        const Kernels<T>* use = &kernels_.best;
        if (any_ && use->sizes != nullptr) use->sizes(lefts_.data(), rows, sums_->left_width, sizes_);
        auto take_others = [&] { use = &kernels_.for_all, pack_rights(*use); };
        if (!pack_rights(*use)) take_others();
        for (int64_t column = first_; column < last_; column += kTogether * block_) {
            const int64_t end = std::min(last_, column + kTogether * block_);
            if (any_) {
                if (!use->deal(lefts_.data(), sizes_, rows, column, end, blocks_)) {
                    take_others();
                    use->deal(lefts_.data(), sizes_, rows, column, end, blocks_);
                }
                add_products(*use, column, end);
            }
            add_columns(column, end);
        }
        lefts_.clear();
        places_.clear();
        anew_ = false;
    }

    // Whether these kernels take all the right arrays.
    bool pack_rights(const Kernels<T>& use) {
        const int64_t rows = int64_t(lefts_.size());
        T* to = packed_;
        for (size_t s = 0; s < group_->count; ++s) {
            if (sums_[s].outer == nullptr) continue;
            rights_.clear();
            for (const Place& at : places_) rights_.push_back(right(sums_[s], at));
            if (!use.pack_rows(rights_.data(), sizes_, rows, sums_[s].right_width, to)) return false;
            to += packed_width(sums_[s]) * use.depth(rows);
        }
        return true;
    }

    // Some panels of a right array after the others, by all the blocks that were dealt.
    void add_products(const Kernels<T>& use, int64_t begin, int64_t end) const {
        const int64_t rows = int64_t(lefts_.size()), depth = use.depth(rows);
        const T* packed = packed_;
        for (size_t s = 0; s < group_->count; ++s) {
            const echoic_sum& sum = sums_[s];
            if (sum.outer == nullptr) continue;
            T* outer = ranges_.outer(*group_, range_, group_->first + s);
            Product<T> product{};
            product.packed = packed;
            product.target_stride = product.added_stride = sum.right_width;
            product.k = rows;
            product.n = sum.right_width;
            const int64_t all = panels(use, sum.right_width), some = use.block_panels;
            for (int64_t panel = 0; panel < all; panel += some) {
                product.first_panel = panel, product.last_panel = std::min(all, panel + some);
                for (int64_t block = begin; block < end; block += block_) {
                    product.source = blocks_ + (block - begin) * depth;
                    product.target = outer + block * sum.right_width;
                    product.added = anew_ ? nullptr : product.target;
                    product.m = std::min(block_, end - block);
                    use.matmul_transposed(product);
                }
            }
            packed += packed_width(sum) * depth;
        }
    }

    void add_columns(int64_t begin, int64_t end) const {
        const bool wanted = std::any_of(sums_, sums_ + group_->count, [](const echoic_sum& sum) { return sum.columns != nullptr; });
        if (!wanted) return;
        constexpr int64_t most = 64;  // columns that are added up at once
        for (int64_t low = begin; low < end; low += most) {
            const int64_t high = std::min(low + most, end);
            T found[most];
            kernels_.best.sum_columns(lefts_.data(), int64_t(lefts_.size()), low, high, found);
            for (size_t s = 0; s < group_->count; ++s) {
                T* columns = ranges_.columns(*group_, range_, group_->first + s);
                if (columns == nullptr) continue;
                for (int64_t c = low; c < high; ++c) columns[c] = anew_ ? found[c - low] : columns[c] + found[c - low];
            }
        }
    }

    const echoic_run& run_;
    const SumRanges<T>& ranges_;
    const KernelsForSums<T> kernels_;
    const int64_t block_;  // columns of a left array that are multiplied at once
    Arena& arena_;
    const SumGroup* group_ = nullptr;
    const echoic_sum* sums_ = nullptr;  // the group's
    int64_t range_ = 0, first_ = 0, last_ = 0, depth_ = 0;
    bool anew_ = true, any_ = false;  // whether nothing was summed yet; whether there are products
    T *packed_ = nullptr, *blocks_ = nullptr;
    T sizes_[kDepth];  // of the left rows
    std::vector<const T*> lefts_, rights_;  // the rows gathered
    std::vector<Place> places_;
};

}  // namespace echoic
