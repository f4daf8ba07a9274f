// One thread's share of a run. Either the rows of rank part, part + parts, part + 2 parts ... over all steps: rows never
// wait for each other. Or a range of the columns of every stage for all rows, meeting the other threads after each: where
// there are too few rows for all threads. Each number is computed in the same way in either case, so that its bits do
// not depend on the number of threads.
#pragma once
#include <algorithm>
#include <cstring>

#include "../isa/kernels.h"
#include "arena.h"
#include "engine.h"
#include "meeting.h"
#include "plan.h"

namespace echoic {

template <class T>
class Worker {
   public:
    // The rows of one part among several.
    Worker(const Plan& plan, const echoic_run& run, const Kernels<T>& kernels, const void* const* packed, int part,
           int parts, Arena& arena)
        : plan_(plan), run_(run), kernels_(kernels), packed_(packed), first_row_(part), every_(parts) {
        most_ = rows_of(run.steps > 0 ? run.active[0] : 0);
        const size_t own = own_bytes();
        char* memory = arena.at_least(own + carried_bytes(plan, run, most_));
        lay_out(memory, memory + own);
    }

    // Columns for all rows, together with the other members of a meeting, which share ``carried``.
    Worker(const Plan& plan, const echoic_run& run, const Kernels<T>& kernels, const void* const* packed,
           Meeting* meeting, char* carried, Arena& arena)
        : plan_(plan), run_(run), kernels_(kernels), packed_(packed), meeting_(meeting) {
        most_ = rows_of(run.steps > 0 ? run.active[0] : 0);
        lay_out(arena.at_least(own_bytes()), carried);
    }

    // Memory for scratch ports and what is carried from step to step by so many rows.
    static size_t carried_bytes(const Plan& plan, const echoic_run& run, int64_t rows) {
        size_t total = 64;
        for (size_t p = size_t(plan.outside); p < plan.ports.size(); ++p) total += room(rows * plan.ports[p]);
        for (size_t s = 0; s < run.state_count; ++s) total += room(3 * rows * run.states[s].width);
        for (size_t g = 0; g < run.gradient_count; ++g) total += room(2 * rows * run.gradients[g].width);
        return total;
    }

    void work() { work(meeting_); }

    // With another meeting, of the same threads.
    void work(Meeting* meeting) {
        meeting_ = meeting;
        if (meeting_ != nullptr) {
            part_ = meeting_->join();
            if (part_ < 0) return;
            parts_ = meeting_->members();
        }
        if (most_ == 0) return;
        for (int64_t i = 0; i < run_.steps && part_ >= 0; ++i) step(run_.backward ? run_.steps - 1 - i : i);
    }

   private:
    // Rows of one step: row i at base + i * stride.
    struct View {
        T* base = nullptr;
        int64_t stride = 0;
    };

    int64_t rows_of(int64_t ranks) const {
        return ranks <= first_row_ ? 0 : (ranks - first_row_ + every_ - 1) / every_;
    }

    // of a whole, in pieces of a size, this thread's: [begin, end)
    struct Range {
        int64_t begin, end;
    };
    Range share(int64_t whole, int64_t piece) const {
        const int64_t pieces = (whole + piece - 1) / piece;
        return {std::min(whole, pieces * part_ / parts_ * piece), std::min(whole, pieces * (part_ + 1) / parts_ * piece)};
    }
    void meet() const {
        if (meeting_ != nullptr) meeting_->wait();
    }

    static size_t room(int64_t count) { return size_t((count + 15) / 16 * 16) * sizeof(T); }
    size_t own_bytes() const { return room((plan_.tiles + int64_t(plan_.constants.size())) * kTile); }

    // tiles and constants of this thread; scratch ports and what is carried from step to step
    void lay_out(char* own, char* carried) {
        auto take = [](char*& memory, int64_t count) {
            T* at = reinterpret_cast<T*>(memory);
            memory += room(count);
            return at;
        };
        tiles_ = take(own, plan_.tiles * kTile);
        constants_ = take(own, int64_t(plan_.constants.size()) * kTile);
        for (size_t c = 0; c < plan_.constants.size(); ++c)
            std::fill_n(constants_ + int64_t(c) * kTile, kTile, T(plan_.constants[c]));
        size_t reaches = 0;
        for (const Stage& stage : plan_.stages) reaches = std::max(reaches, size_t(stage.count) * 4);
        reaches_.reserve(reaches);  // nothing is allocated in a step
        views_.resize(plan_.ports.size());
        for (size_t p = size_t(plan_.outside); p < plan_.ports.size(); ++p)
            views_[p] = {take(carried, most_ * plan_.ports[p]), plan_.ports[p]};
        for (size_t s = 0; s < run_.state_count; ++s) states_.push_back(take(carried, 3 * most_ * run_.states[s].width));
        for (size_t g = 0; g < run_.gradient_count; ++g)
            gradients_.push_back(take(carried, 2 * most_ * run_.gradients[g].width));
    }

    // [batch, width] arrays in the order of ranks
    View ranked(const void* data, int64_t width) const {
        return {static_cast<T*>(const_cast<void*>(data)) + first_row_ * width, width * every_};
    }
    View packed_rows(void* data, int64_t stride, int64_t step) const {
        return {static_cast<T*>(data) + (run_.offsets[step] + first_row_) * stride, stride * every_};
    }
    // two slots in turn, then a third for states some of whose rows are cleared
    View slot(T* memory, int64_t width, int64_t step) const { return {memory + (step & 1) * most_ * width, width}; }

    static void copy(View from, View to, int64_t begin, int64_t end, int64_t width) {
        for (int64_t i = begin; i < end; ++i)
            std::memcpy(to.base + i * to.stride, from.base + i * from.stride, size_t(width) * sizeof(T));
    }

    const uint8_t* cleared(int64_t step) const {
        return run_.cleared == nullptr ? nullptr : run_.cleared + run_.offsets[step] + first_row_;
    }
    bool any_cleared(int64_t step, int64_t rows) const {
        const uint8_t* flags = cleared(step);
        for (int64_t i = 0; flags != nullptr && i < rows; ++i)
            if (flags[i * every_]) return true;
        return false;
    }

    View held(size_t index, int64_t step) const {
        const echoic_state& state = run_.states[index];
        return step == 0               ? ranked(state.initial, state.width)
               : state.kept != nullptr ? packed_rows(state.kept, state.stride, step - 1)
                                       : slot(states_[index], state.width, step - 1);
    }
    View patched(size_t index) const {
        return {states_[index] + 2 * most_ * run_.states[index].width, run_.states[index].width};
    }

    // Rows that are cleared before a step enter it with the fresh state.
    void clear(int64_t step, int64_t rows) {
        const uint8_t* flags = cleared(step);
        for (size_t s = 0; s < run_.state_count; ++s) {
            const int64_t width = run_.states[s].width;
            const View fresh = ranked(run_.states[s].fresh, width), kept = held(s, step);
            for (int64_t i = 0; i < rows; ++i)
                copy(flags[i * every_] ? fresh : kept, patched(s), i, i + 1, width);
        }
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
        const bool clears = any_cleared(step, rows), first = part_ == 0;
        if (first && clears) clear(step, rows);
        if (first) take_over(step, going_on, rows);
        if (clears || (run_.gradient_count > 0 && going_on < rows)) meet();
        for (size_t p = 0; p < size_t(plan_.outside); ++p) views_[p] = view_of(run_.ports[p], step, clears);
        for (const Stage& stage : plan_.stages) {
            if (stage.kind == Stage::pointwise)
                pointwise(stage, rows);
            else if (stage.kind == Stage::matmul)
                matmul(stage, rows);
            else
                reduce(stage, rows);
            if (&stage != &plan_.stages.back()) meet();
        }
        if (meeting_ != nullptr) {
            if (!meeting_->wait_or_leave(int(part_))) return void(part_ = -1);
            parts_ = meeting_->members();
        }
        if (first && run_.backward)
            hand_back(step, rows);
        else if (first)
            finish(step, going_on, rows);
        // The next step writes another slot than what is finished here, but reads what is handed back
        if (clears && run_.backward) meet();
    }

    // The gradient of a row's last state enters its last step.
    void take_over(int64_t step, int64_t going_on, int64_t rows) {
        for (size_t g = 0; g < run_.gradient_count; ++g) {
            const echoic_gradient& gradient = run_.gradients[g];
            copy(ranked(gradient.last, gradient.width), slot(gradients_[g], gradient.width, step + 1), going_on, rows,
                 gradient.width);
        }
    }

    View view_of(const echoic_port& port, int64_t step, bool clears) {
        const size_t index = size_t(port.index);
        switch (port.role) {
            case ECHOIC_PACKED: return packed_rows(port.data, port.stride, step);
            case ECHOIC_ENTERING: return clears ? patched(index) : held(index, step);
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
                if (!flags[i * every_]) continue;
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
        const Range columns = share(product.n, kernels_.panel);
        product.first_panel = columns.begin / kernels_.panel;
        product.last_panel = (columns.end + kernels_.panel - 1) / kernels_.panel;
        kernels_.matmul(product);
    }

    void reduce(const Stage& stage, int64_t rows) {
        const View source = place(stage.source), target = place(stage.target);
        const Range mine = share(rows, 1);
        (stage.maximum ? kernels_.max : kernels_.sum)(target.base + mine.begin * target.stride, target.stride,
                                                      source.base + mine.begin * source.stride, source.stride,
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
        const Range mine = share(stage.width, kMaxLanes);
        const int64_t width = mine.end - mine.begin, pieces = (width + kTile - 1) / kTile;
        if (width == 0) return;
        const int64_t columns = pieces == 1 ? width : ((width + pieces - 1) / pieces + 15) / 16 * 16;
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
            for (int64_t column = mine.begin; column < mine.end; column += columns) {
                const int64_t wide = std::min(columns, mine.end - column);
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
    Meeting* meeting_ = nullptr;
    const int64_t first_row_ = 0, every_ = 1;  // the rows: of ranks first_row, first_row + every ...
    int64_t part_ = 0, parts_ = 1;             // of the columns; -1 once the others go on without this one
    int64_t most_ = 0;                         // rows of the first step
    T *tiles_ = nullptr, *constants_ = nullptr;
    std::vector<View> views_;
    std::vector<T*> states_, gradients_;
    std::vector<Reach> reaches_;
};

}  // namespace echoic
