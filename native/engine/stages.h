// The stages of a plan on rows that lie wherever views say: the whole of them, or one thread's share of the columns.
#pragma once
#include <algorithm>
#include <vector>

#include "dispatch.h"
#include "engine.h"
#include "plan.h"
#include "totals.h"

namespace echoic {

// Rows: row i at base + i * stride.
template <class T>
struct View {
    T* base = nullptr;
    int64_t stride = 0;
};

template <class T>
class Stages {
   public:
    Stages(const Plan& plan, const echoic_run& run, const Kernels<T>& kernels, const Packed<T>* packed)
        : plan_(plan), run_(run), kernels_(kernels), packed_(packed), views_(plan.ports.size()) {
        reaches_.reserve(plan_.micros.size() * 4);  // nothing is allocated in a step
    }

    // Numbers of a thread's own: tiles and constants.
    static int64_t own_numbers(const Plan& plan) { return (plan.tiles + int64_t(plan.constants.size())) * kTile; }
    void lay_out(T* own) {
        tiles_ = own;
        constants_ = own + plan_.tiles * kTile;
        for (size_t c = 0; c < plan_.constants.size(); ++c)
            std::fill_n(constants_ + int64_t(c) * kTile, kTile, T(plan_.constants[c]));
    }

    // What a thread adds up goes to the totals of a part.
    void add_to(Totals<T>& totals, int64_t part) { totals_ = &totals, total_part_ = size_t(part); }

    // What is recent of this thread's columns of the totals becomes part of the sums.
    void settle() {
        for (size_t t = 0; t < plan_.totals.size(); ++t) {
            const Range mine = share_of(plan_.totals[t], kMaxLanes);
            totals_->settle(total_part_, t, mine.begin, mine.end);
        }
    }

    View<T>& view(size_t port) { return views_[port]; }
    void share(int64_t part, int64_t parts) { part_ = part, parts_ = parts; }
    // Weights are read in the other direction from now on: what was read last is still in the cache.
    void turn() { backwards_ = !backwards_; }

    // This thread's columns of a stage.
    void run(size_t stage, int64_t rows) { run(stage, stage + 1, rows); }

    // Stages one after the other, by a thread that has all columns. Those without a matmul between them are run for a
    // few rows at a time, which stay in the nearest cache.
    void run(size_t first, size_t last, int64_t rows) {
        while (first < last) {
            if (plan_.stages[first].kind == Stage::matmul) {
                matmul(plan_.stages[first++], rows);
                continue;
            }
            size_t end = first;
            int64_t width = 1;
            for (reaches_.clear(); end < last && plan_.stages[end].kind != Stage::matmul; ++end) {
                width = std::max(width, plan_.stages[end].width);
                reach_all(plan_.stages[end]);
            }
            const int64_t few = end == first + 1 ? rows : std::max(int64_t(1), kNear / width);
            for (int64_t row = 0; row < rows; row += few) {
                const Reach* reaches = reaches_.data();
                for (size_t i = first; i < end; ++i) {
                    const Stage& stage = plan_.stages[i];
                    if (stage.kind == Stage::pointwise)
                        pointwise(stage, reaches, row, std::min(rows, row + few));
                    else
                        reduce(stage, row, std::min(rows, row + few));
                    reaches += 4 * stage.count;
                }
            }
            first = end;
        }
    }

   private:
    static constexpr int64_t kNear = 2048;  // numbers of one operand in the nearest cache

    // of a whole, in pieces of a size, this thread's: [begin, end)
    struct Range {
        int64_t begin, end;
    };
    Range share_of(int64_t whole, int64_t piece) const {
        const int64_t pieces = (whole + piece - 1) / piece;
        return {std::min(whole, pieces * part_ / parts_ * piece), std::min(whole, pieces * (part_ + 1) / parts_ * piece)};
    }

    View<T> place(const Operand& operand) const {
        View<T> view = views_[size_t(operand.index)];
        view.base += operand.offset;
        return view;
    }

    void matmul(const Stage& stage, int64_t rows) {
        const size_t matrix = size_t(stage.matrix);
        const View<T> source = place(stage.source), target = place(stage.target);
        const View<T> added = stage.added.space == Space::none ? View<T>{} : place(stage.added);
        Product<T> product{};
        product.source = source.base;
        product.source_stride = source.stride;
        product.packed = packed_[matrix].data;
        product.target = target.base;
        product.target_stride = target.stride;
        product.added = added.base;
        product.added_stride = added.stride;
        product.bias = stage.bias < 0 ? nullptr : static_cast<const T*>(run_.vectors[stage.bias]);
        product.m = rows;
        product.k = plan_.matrix_rows[matrix];
        product.n = plan_.matrix_columns[matrix];
        const Range columns = share_of(product.n, kernels_.panel);
        product.first_panel = columns.begin / kernels_.panel;
        product.last_panel = panels(kernels_, columns.end);
        product.backwards = backwards_;
        if (product.packed != nullptr) return packed_[matrix].kernels->matmul(product);
        product.columns = static_cast<const T*>(run_.matrices[matrix].data);
        product.column_stride = run_.matrices[matrix].column_stride;
        kernels_.matmul_unpacked(product);
    }

    void reduce(const Stage& stage, int64_t begin, int64_t end) {
        const View<T> source = place(stage.source), target = place(stage.target);
        const Range mine = share_of(end - begin, 1);
        begin += mine.begin;
        (stage.maximum ? kernels_.max : kernels_.sum)(target.base + begin * target.stride, target.stride,
                                                      source.base + begin * source.stride, source.stride,
                                                      mine.end - mine.begin, stage.width);
    }

    // An operand of a pointwise stage before the tile is known.
    struct Reach {
        T* base;
        int64_t stride, by_row, by_column;
    };

    Reach reach(const Operand& operand, int64_t tile_stride, bool one_column) const {
        switch (operand.space) {
            case Space::port: {
                const View<T> view = place(operand);
                return {view.base, view.stride, view.stride, one_column ? 0 : 1};
            }
            case Space::tile: return {tiles_ + operand.index * kTile, tile_stride, 0, 0};
            case Space::vector:
                return {static_cast<T*>(const_cast<void*>(run_.vectors[operand.index])) + operand.offset, 0, 0,
                        one_column ? 0 : 1};
            case Space::total: return {totals_->recent(total_part_, size_t(operand.index)), 0, 0, 1};
            case Space::constant: return {constants_ + operand.index * kTile, 0, 0, 0};
            default: return {nullptr, 0, 0, 0};
        }
    }

    // How this thread's columns of a pointwise stage are cut in tiles.
    struct Tiling {
        Range columns;
        int64_t wide, stride, rows;
    };

    Tiling tiling(const Stage& stage) const {
        const Range mine = share_of(stage.width, kMaxLanes);
        const int64_t width = mine.end - mine.begin, pieces = (width + kTile - 1) / kTile;
        const int64_t wide = pieces <= 1 ? width : ((width + pieces - 1) / pieces + 15) / 16 * 16;
        const int64_t stride = pieces <= 1 && wide < kTile ? std::min((wide + 15) / 16 * 16, kTile) : kTile;
        return {mine, wide, stride, std::max(int64_t(1), kTile / std::max(int64_t(1), stride))};
    }

    void reach_all(const Stage& stage) {
        if (stage.kind != Stage::pointwise) return;
        const int64_t stride = tiling(stage).stride;
        for (int64_t m = 0; m < stage.count; ++m) {
            const Micro& micro = plan_.micros[size_t(stage.first + m)];
            reaches_.push_back(reach(micro.target, stride, false));
            for (const Operand& operand : micro.operands)
                reaches_.push_back(reach(operand, stride, micro.op == op_broadcast));
        }
    }

    void pointwise(const Stage& stage, const Reach* reaches, int64_t begin, int64_t end) {
        const Tiling tiles = tiling(stage);
        for (int64_t row = begin; row < end; row += tiles.rows) {
            const int64_t high = std::min(tiles.rows, end - row);
            for (int64_t column = tiles.columns.begin; column < tiles.columns.end; column += tiles.wide) {
                const int64_t wide = std::min(tiles.wide, tiles.columns.end - column);
                const Reach* r = reaches;
                for (int64_t m = 0; m < stage.count; ++m, r += 4) {
                    auto at = [&](const Reach& x) { return x.base + row * x.by_row + column * x.by_column; };
                    kernels_.pointwise[plan_.micros[size_t(stage.first + m)].op](
                        at(r[0]), r[0].stride, at(r[1]), r[1].stride, at(r[2]), r[2].stride, at(r[3]), r[3].stride, high,
                        wide);
                }
            }
        }
    }

    const Plan& plan_;
    const echoic_run& run_;
    const Kernels<T>& kernels_;
    const Packed<T>* packed_;
    int64_t part_ = 0, parts_ = 1;  // of the columns
    bool backwards_ = false;
    Totals<T>* totals_ = nullptr;
    size_t total_part_ = 0;
    T *tiles_ = nullptr, *constants_ = nullptr;
    std::vector<View<T>> views_;
    std::vector<Reach> reaches_;
};

}  // namespace echoic
