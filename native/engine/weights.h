// The matrices of a run packed as products take them, by the kernels that are fastest for the rows there are.
#pragma once
#include <algorithm>
#include <vector>

#include "arena.h"
#include "dispatch.h"
#include "engine.h"
#include "plan.h"

namespace echoic {

template <class T>
size_t packed_bytes(const Kernels<T>& use, const Plan& plan, size_t matrix) {
    const int64_t numbers = panels(use, plan.matrix_columns[matrix]) * use.panel * use.depth(plan.matrix_rows[matrix]);
    return (size_t(numbers) * sizeof(T) + 63) / 64 * 64;
}

template <class T>
class Weights {
 public:
    Weights(const Plan& plan, const echoic_run& run) : plan_(plan), run_(run), kernels_(kernels_for<T>(plan)) {
        for (size_t m = 0; m < run.matrix_count; ++m) packed_.push_back({run.matrices[m].packed, &kernels_});
        for (size_t s = plan.phase(Phase::within).first; s < plan.phase(Phase::within).last; ++s)
            if (const Stage& stage = plan.stages[s]; stage.kind == Stage::matmul)
                few_rows_ = std::max(few_rows_, rows_for_tiles(plan, plan.matrix_rows[size_t(stage.matrix)]));
        for (const Phase phase : {Phase::ahead, Phase::behind, Phase::within})  // where there are several, the last one counts
            for (size_t s = plan.phase(phase).first; s < plan.phase(phase).last; ++s)
                if (const Stage& stage = plan.stages[s]; stage.kind == Stage::matmul && to_pack(size_t(stage.matrix)))
                    choose(stage);
        for (size_t m = 0; m < packed_.size(); ++m) {
            if (to_pack(m)) rooms_.push_back({m, packed_[m].kernels, &packed_});
            if (has_few(m)) rooms_.push_back({m, few_[m].kernels, &few_});
        }
    }
    Weights(const Weights&) = delete;

    // Bytes to pack.
    size_t bytes() const {
        size_t total = 0;
        for (const Room& room : rooms_) total += packed_bytes(*room.kernels, plan_, room.matrix);
        return total;
    }

    void make_room(Arena& arena) {
        char* to = rooms_.empty() ? nullptr : arena.at_least(bytes());
        for (Room& room : rooms_) {
            room.at = reinterpret_cast<T*>(to);
            Packed<T>& packed = (*room.among)[room.matrix];
            packed.data = to, packed.bytes = packed_bytes(*room.kernels, plan_, room.matrix);
            to += packed.bytes;
        }
        for (size_t m = 0; m < few_.size(); ++m)
            if (!has_few(m)) few_[m] = packed_[m];
    }

    // One part of several.
    void pack(int part, int parts) const {
        for (const auto& [matrix, kernels, among, at] : rooms_) {
            const int64_t k = plan_.matrix_rows[matrix], n = plan_.matrix_columns[matrix];
            const int64_t all = panels(*kernels, n);
            const int64_t begin = all * part / parts * kernels->panel;
            const int64_t end = std::min(n, all * (part + 1) / parts * kernels->panel);
            const echoic_matrix& from = run_.matrices[matrix];
            if (begin < end)
                kernels->pack(static_cast<const T*>(from.data), from.row_stride, from.column_stride, k, n, begin, end,
                              at + begin * kernels->depth(k));
        }
    }

    // Whether tiles take fewer rows of a step than they mostly do.
    bool takes_few_rows() const { return few_rows_ > 0 && few_rows_ < kRowsForParts; }

    Matrices<T> taken() const { return {kernels_, packed_.data(), few_.empty() ? packed_.data() : few_.data(), few_rows_}; }

 private:
    struct Room {
        size_t matrix;
        const Kernels<T>* kernels;
        std::vector<Packed<T>>* among;
        T* at = nullptr;
    };

    // Whether a matrix is packed in another way for steps of few rows.
    bool has_few(size_t matrix) const { return !few_.empty() && few_[matrix].kernels != nullptr; }

    // By the rows that a matrix is multiplied with at a time: of all threads together, as bits are not to depend on how many
    // there are.
    void choose(const Stage& stage) {
        constexpr int64_t kStepsForPacking = 16;
        const size_t matrix = size_t(stage.matrix);
        const int64_t all = run_.rows * stage.groups, depth = plan_.matrix_rows[matrix], columns = plan_.matrix_columns[matrix];
        const Kernels<T>*& chosen = packed_[matrix].kernels;
        if (stage.phase != Phase::within) {
            chosen = &kernels_for<T>(plan_, all, all, depth, columns);
        } else if (stage.groups > 1) {
            chosen = &kernels_for<T>(plan_, all / run_.steps, all, depth, columns);
        } else {
            int64_t many = 0, rows = 0;  // steps of many rows, and their rows: there are never more later
            for (; many < run_.steps && run_.active[many] >= few_rows_; ++many) rows += run_.active[many];
            chosen = &kernels_for<T>(plan_, kRowsForParts, rows, depth, columns);
            if (chosen == &kernels_ || run_.steps - many < kStepsForPacking) return;
            few_.resize(packed_.size());
            few_[matrix].kernels = &kernels_;
        }
    }

    // A matrix whose columns lie contiguously is used as it lies where it has few rows to be multiplied with: a call of
    // one step, as decoders make. The longer the columns, the more rows it takes until packing pays.
    bool to_pack(size_t matrix) const {
        constexpr int64_t kNumbersForARow = 32;  // as measured from 64 to 512 of them
        const echoic_matrix& from = run_.matrices[matrix];
        const bool few = run_.rows * plan_.matrix_groups[matrix] * kNumbersForARow <= plan_.matrix_rows[matrix];
        return from.packed == nullptr && !(few && from.row_stride == 1);
    }

    const Plan& plan_;
    const echoic_run& run_;
    const Kernels<T>& kernels_;
    int64_t few_rows_ = 0;  // steps of fewer rows go without tiles
    std::vector<Packed<T>> packed_, few_;
    std::vector<Room> rooms_;
};

}  // namespace echoic
