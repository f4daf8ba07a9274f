// One thread's share of a run: the rows of rank thread, thread + threads, thread + 2 threads ... over all steps. Rows
// never wait for each other, so a run needs no barrier, and its numbers do not depend on the number of threads.
#pragma once
#include <algorithm>
#include <cstring>

#include "../isa/kernels.h"
#include "arena.h"
#include "engine.h"
#include "plan.h"

namespace echoic {

template <class T>
class Worker {
   public:
    Worker(const Plan& plan, const echoic_run& run, const Kernels<T>& kernels, const void* const* packed, int thread,
           Arena& arena)
        : plan_(plan), run_(run), kernels_(kernels), packed_(packed), thread_(thread), threads_(run.threads) {
        most_ = rows_of(run.steps > 0 ? run.active[0] : 0);
        lay_out(arena);
    }

    void work() {
        if (most_ == 0) return;
        for (int64_t i = 0; i < run_.steps; ++i) step(run_.backward ? run_.steps - 1 - i : i);
    }

   private:
    // Rows of one step: row i at base + i * stride.
    struct View {
        T* base = nullptr;
        int64_t stride = 0;
    };

    int64_t rows_of(int64_t ranks) const { return ranks <= thread_ ? 0 : (ranks - thread_ + threads_ - 1) / threads_; }

    // memory of this thread: tiles, constants, scratch ports, then what is carried from step to step

    void lay_out(Arena& arena) {
        size_t total = 0;
        auto take = [&](int64_t count) {
            const size_t at = total;
            total += size_t((count + 15) / 16 * 16) * sizeof(T);
            return at;
        };
        const size_t tiles = take(plan_.tiles * kTile), constants = take(int64_t(plan_.constants.size()) * kTile);
        std::vector<size_t> scratch, states, gradients;
        for (size_t p = size_t(plan_.outside); p < plan_.ports.size(); ++p) scratch.push_back(take(most_ * plan_.ports[p]));
        for (size_t s = 0; s < run_.state_count; ++s) states.push_back(take(3 * most_ * run_.states[s].width));
        for (size_t g = 0; g < run_.gradient_count; ++g) gradients.push_back(take(2 * most_ * run_.gradients[g].width));
        char* memory = arena.at_least(std::max(total, size_t(64)));
        auto at = [&](size_t offset) { return reinterpret_cast<T*>(memory + offset); };
        tiles_ = at(tiles);
        constants_ = at(constants);
        for (size_t c = 0; c < plan_.constants.size(); ++c)
            std::fill_n(constants_ + int64_t(c) * kTile, kTile, T(plan_.constants[c]));
        views_.resize(plan_.ports.size());
        for (size_t i = 0; i < scratch.size(); ++i) {
            const size_t port = size_t(plan_.outside) + i;
            views_[port] = {at(scratch[i]), plan_.ports[port]};
        }
        for (size_t offset : states) states_.push_back(at(offset));
        for (size_t offset : gradients) gradients_.push_back(at(offset));
    }

    // [batch, width] arrays in the order of ranks
    View ranked(const void* data, int64_t width) const {
        return {static_cast<T*>(const_cast<void*>(data)) + thread_ * width, width * threads_};
    }
    View packed_rows(void* data, int64_t stride, int64_t step) const {
        return {static_cast<T*>(data) + (run_.offsets[step] + thread_) * stride, stride * threads_};
    }
    // two slots in turn, then a third for states some of whose rows are cleared
    View slot(T* memory, int64_t width, int64_t step) const { return {memory + (step & 1) * most_ * width, width}; }

    static void copy(View from, View to, int64_t begin, int64_t end, int64_t width) {
        for (int64_t i = begin; i < end; ++i)
            std::memcpy(to.base + i * to.stride, from.base + i * from.stride, size_t(width) * sizeof(T));
    }

    const uint8_t* cleared(int64_t step) const {
        return run_.cleared == nullptr ? nullptr : run_.cleared + run_.offsets[step] + thread_;
    }
    bool any_cleared(int64_t step, int64_t rows) const {
        const uint8_t* flags = cleared(step);
        for (int64_t i = 0; flags != nullptr && i < rows; ++i)
            if (flags[i * threads_]) return true;
        return false;
    }

    View entering(size_t index, int64_t step, int64_t rows) {
        const echoic_state& state = run_.states[index];
        View view = step == 0               ? ranked(state.initial, state.width)
                    : state.kept != nullptr ? packed_rows(state.kept, state.stride, step - 1)
                                            : slot(states_[index], state.width, step - 1);
        if (!any_cleared(step, rows)) return view;
        const View patched = {states_[index] + 2 * most_ * state.width, state.width};
        const View fresh = ranked(state.fresh, state.width);
        const uint8_t* flags = cleared(step);
        for (int64_t i = 0; i < rows; ++i) copy(flags[i * threads_] ? fresh : view, patched, i, i + 1, state.width);
        return patched;
    }

    View leaving(size_t index, int64_t step) {
        const echoic_state& state = run_.states[index];
        return state.kept != nullptr ? packed_rows(state.kept, state.stride, step)
                                     : slot(states_[index], state.width, step);
    }

    void step(int64_t step) {
        const int64_t rows = rows_of(run_.active[step]);
        if (rows == 0) return;
        const int64_t going_on = step + 1 < run_.steps ? rows_of(run_.active[step + 1]) : 0;
        for (size_t g = 0; g < run_.gradient_count; ++g) {
            const echoic_gradient& gradient = run_.gradients[g];
            copy(ranked(gradient.last, gradient.width), slot(gradients_[g], gradient.width, step + 1), going_on, rows,
                 gradient.width);
        }
        for (size_t p = 0; p < size_t(plan_.outside); ++p) views_[p] = view_of(run_.ports[p], step, rows);
        for (const Stage& stage : plan_.stages) {
            if (stage.kind == Stage::pointwise)
                pointwise(stage, rows);
            else if (stage.kind == Stage::matmul)
                matmul(stage, rows);
            else
                reduce(stage, rows);
        }
        if (run_.backward)
            hand_back(step, rows);
        else
            finish(step, going_on, rows);
    }

    View view_of(const echoic_port& port, int64_t step, int64_t rows) {
        const size_t index = size_t(port.index);
        switch (port.role) {
            case ECHOIC_PACKED: return packed_rows(port.data, port.stride, step);
            case ECHOIC_ENTERING: return entering(index, step, rows);
            case ECHOIC_LEAVING: return leaving(index, step);
            case ECHOIC_GRADIENT_IN: return slot(gradients_[index], run_.gradients[index].width, step + 1);
            default: return slot(gradients_[index], run_.gradients[index].width, step);
        }
    }

    // Rows that end here leave their state.
    void finish(int64_t step, int64_t going_on, int64_t rows) {
        for (size_t s = 0; s < run_.state_count; ++s) {
            const echoic_state& state = run_.states[s];
            if (state.last != nullptr)
                copy(leaving(s, step), ranked(state.last, state.width), going_on, rows, state.width);
        }
    }

    // The gradient of a state that was cleared belongs to what it was set to.
    void hand_back(int64_t step, int64_t rows) {
        const uint8_t* flags = cleared(step);
        for (size_t g = 0; g < run_.gradient_count; ++g) {
            const echoic_gradient& gradient = run_.gradients[g];
            const View out = slot(gradients_[g], gradient.width, step);
            for (int64_t i = 0; flags != nullptr && i < rows; ++i) {
                if (!flags[i * threads_]) continue;
                const View fresh = ranked(gradient.fresh, gradient.width);
                for (int64_t c = 0; c < gradient.width; ++c) {
                    fresh.base[i * fresh.stride + c] += out.base[i * out.stride + c];
                    out.base[i * out.stride + c] = 0;
                }
            }
            if (step == 0) copy(out, ranked(gradient.initial, gradient.width), 0, rows, gradient.width);
        }
    }

    // the three kinds of stages

    View place(const Operand& operand) const {
        View view = views_[size_t(operand.index)];
        view.base += operand.offset;
        return view;
    }

    void matmul(const Stage& stage, int64_t rows) {
        const size_t matrix = size_t(stage.matrix);
        const View source = place(stage.source), target = place(stage.target);
        const View added = stage.added.space == Space::none ? View{} : place(stage.added);
        Product<T> product{};
        product.source = source.base;
        product.source_stride = source.stride;
        product.packed = static_cast<const T*>(packed_[matrix]);
        product.target = target.base;
        product.target_stride = target.stride;
        product.added = added.base;
        product.added_stride = added.stride;
        product.bias = stage.bias < 0 ? nullptr : static_cast<const T*>(run_.vectors[stage.bias]);
        product.m = rows;
        product.k = plan_.matrix_rows[matrix];
        product.n = plan_.matrix_columns[matrix];
        product.last_panel = (product.n + kernels_.panel - 1) / kernels_.panel;
        kernels_.matmul(product);
    }

    void reduce(const Stage& stage, int64_t rows) {
        const View source = place(stage.source), target = place(stage.target);
        (stage.maximum ? kernels_.max : kernels_.sum)(target.base, target.stride, source.base, source.stride, rows,
                                                      stage.width);
    }

    // An operand of a pointwise stage before the tile is known.
    struct Reach {
        T* base;
        int64_t stride, by_row, by_column;
    };

    Reach reach(const Operand& operand, int64_t tile_stride, bool one_column) const {
        switch (operand.space) {
            case Space::port: {
                const View view = place(operand);
                return {view.base, view.stride, view.stride, one_column ? 0 : 1};
            }
            case Space::tile: return {tiles_ + operand.index * kTile, tile_stride, 0, 0};
            case Space::vector:
                return {static_cast<T*>(const_cast<void*>(run_.vectors[operand.index])) + operand.offset, 0, 0,
                        one_column ? 0 : 1};
            case Space::constant: return {constants_ + operand.index * kTile, 0, 0, 0};
            default: return {nullptr, 0, 0, 0};
        }
    }

    void pointwise(const Stage& stage, int64_t rows) {
        const int64_t pieces = (stage.width + kTile - 1) / kTile;
        const int64_t columns = pieces == 1 ? stage.width : ((stage.width + pieces - 1) / pieces + 15) / 16 * 16;
        const int64_t tile_stride = pieces == 1 && columns < kTile ? std::min((columns + 15) / 16 * 16, kTile) : kTile;
        const int64_t tile_rows = std::max(int64_t(1), kTile / tile_stride);
        reaches_.clear();
        for (int64_t m = 0; m < stage.count; ++m) {
            const Micro& micro = plan_.micros[size_t(stage.first + m)];
            reaches_.push_back(reach(micro.target, tile_stride, false));
            for (const Operand& operand : micro.operands)
                reaches_.push_back(reach(operand, tile_stride, micro.op == op_broadcast));
        }
        for (int64_t row = 0; row < rows; row += tile_rows) {
            const int64_t high = std::min(tile_rows, rows - row);
            for (int64_t column = 0; column < stage.width; column += columns) {
                const int64_t wide = std::min(columns, stage.width - column);
                const Reach* r = reaches_.data();
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
    const void* const* packed_;
    const int64_t thread_, threads_;
    int64_t most_ = 0;
    T *tiles_ = nullptr, *constants_ = nullptr;
    std::vector<View> views_;
    std::vector<T*> states_, gradients_;
    std::vector<Reach> reaches_;
};

}  // namespace echoic
