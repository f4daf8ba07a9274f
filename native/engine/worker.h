// One thread's share of a run. Either some of the rows over all steps: rows never wait for each other. Or a range of the
// columns of every stage for all rows, meeting the other threads where stages read each other's: too few rows for all threads.
// Each number is computed in the same way in either case, so that its bits do not depend on the number of threads; but a
// total is the sum of the threads' own sums.
#pragma once
#include <algorithm>
#include <cstring>
#include <optional>

#include "arena.h"
#include "chunks.h"
#include "engine.h"
#include "meeting.h"
#include "plan.h"
#include "stages.h"
#include "units.h"

namespace echoic {

template <class T>
class Worker {
   public:
    // The rows of one part among several.
    Worker(const Plan& plan, const echoic_run& run, const Matrices<T>& matrices, Ranks ranks, Arena& arena)
        : Worker(plan, run, matrices, ranks) {
        char* memory = arena.at_least(own_bytes() + carried_bytes(plan, run, ranks));
        lay_out(memory, memory + own_bytes());
    }

    // Columns for all rows, together with the other members of a meeting, which share ``carried``.
    Worker(const Plan& plan, const echoic_run& run, const Matrices<T>& matrices, Meeting* meeting, char* carried,
           Arena& arena)
        : Worker(plan, run, matrices, Ranks{}) {
        meeting_ = meeting;
        if (const int64_t units = units_of(plan, run, matrices.kernels.panel); units > 0) {
            stages_.share_units(units);
            waits_.emplace(plan, run);
        }
        lay_out(arena.at_least(own_bytes()), carried);
    }

    // Where sums over all rows go, if the plan has any, and by which part; nowhere else are they looked for.
    void add_to(Totals<T>& totals, int part) { stages_.add_to(totals, part); }

    // Memory for scratch ports and what is carried from step to step by a thread with such rows.
    static size_t carried_bytes(const Plan& plan, const echoic_run& run, Ranks ranks) {
        const Chunks chunks(plan, run, ranks, sizeof(T));
        const int64_t rows = ranks.among(run.steps > 0 ? run.active[0] : 0);
        size_t total = 64;
        for (size_t p = size_t(plan.outside); p < plan.ports.size(); ++p)
            total += room((plan.is_wide(p) ? chunks.room() : rows) * plan.ports[p]);
        for (size_t p = 0; p < size_t(plan.outside) && chunks.apart(); ++p)
            total += gathers(plan, p) ? room(chunks.room() * plan.ports[p]) : 0;
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
            stages_.share(part_, meeting_->members());
            met_ = true;
        }
        if (most_ == 0) return;
        for (int64_t done = 0; done < run_.steps && part_ >= 0; done += chunks_.steps()) {
            const Chunk& chunk = chunks_.after(done);
            around(Phase::ahead, chunk);
            for (int64_t i = 0; i < chunk.high - chunk.low && part_ >= 0; ++i)
                step(run_.backward ? chunk.high - 1 - i : chunk.low + i, chunk);
            if (part_ >= 0) around(Phase::behind, chunk);
        }
        if (part_ >= 0) settle(Totals<T>::kRows);
    }

   private:
    Worker(const Plan& plan, const echoic_run& run, const Matrices<T>& matrices, Ranks ranks)
        : plan_(plan), run_(run), ranks_(ranks), most_(ranks.among(run.steps > 0 ? run.active[0] : 0)),
          matrices_(matrices), chunks_(plan, run, ranks, sizeof(T)), stages_(plan, run, matrices) {}

    // So many more rows were added to totals.
    void settle(int64_t rows) {
        recent_ += rows;
        if (recent_ < Totals<T>::kRows) return;
        stages_.settle();
        recent_ = 0;
    }

    void meet() {
        if (meeting_ != nullptr) meeting_->wait(int(part_));
        met_ = true;
    }

    // False for a thread that is not needed any more: the others have its columns from now on.
    bool meet_or_leave() {
        met_ = true;
        const bool stays = meeting_->wait_or_leave(int(part_));
        if (stays)
            stages_.share(part_, meeting_->members());
        else
            part_ = -1;
        return stays;
    }

    static size_t room(int64_t count) { return size_t((count + 15) / 16 * 16) * sizeof(T); }
    size_t own_bytes() const { return room(Stages<T>::own_numbers(plan_)); }

    // Whether stages ahead or behind touch a port from outside.
    static bool gathers(const Plan& plan, size_t port) {
        auto touched = [port](const PhaseOf& phase) {
            return std::binary_search(phase.touched.begin(), phase.touched.end(), port);
        };
        return touched(plan.phase(Phase::ahead)) || touched(plan.phase(Phase::behind));
    }

    // tiles and constants of this thread; scratch ports and what is carried from step to step
    void lay_out(char* own, char* carried) {
        auto take = [&](int64_t count) {
            T* at = reinterpret_cast<T*>(carried);
            carried += room(count);
            return at;
        };
        stages_.lay_out(reinterpret_cast<T*>(own));
        many_.resize(plan_.ports.size());
        for (size_t p = 0; p < plan_.ports.size(); ++p) {
            const int64_t width = plan_.ports[p];
            if (p < size_t(plan_.outside))
                many_[p] = chunks_.apart() && gathers(plan_, p) ? take(chunks_.room() * width) : nullptr;
            else if (plan_.is_wide(p))
                many_[p] = take(chunks_.room() * width);
            else
                stages_.view(p) = {take(most_ * width), width};
        }
        for (size_t s = 0; s < run_.state_count; ++s) states_.push_back(take(3 * most_ * run_.states[s].width));
        for (size_t g = 0; g < run_.gradient_count; ++g) gradients_.push_back(take(2 * most_ * run_.gradients[g].width));
    }

    // [batch, width] arrays in the order of ranks
    View<T> ranked(const void* data, int64_t width) const {
        return {static_cast<T*>(const_cast<void*>(data)) + ranks_.first * width, width * ranks_.every};
    }
    View<T> packed_rows(void* data, int64_t stride, int64_t row) const {
        return {static_cast<T*>(data) + (row + ranks_.first) * stride, stride * ranks_.every};
    }
    View<T> packed_rows(const echoic_port& port, int64_t row) const { return packed_rows(port.data, port.stride, row); }
    // two slots in turn, then a third for states some of whose rows are cleared
    View<T> slot(T* memory, int64_t width, int64_t step) const { return {memory + (step & 1) * most_ * width, width}; }

    static void copy(View<T> from, View<T> to, int64_t begin, int64_t end, int64_t width) {
        for (int64_t i = begin; i < end; ++i)
            std::memcpy(to.base + i * to.stride, from.base + i * from.stride, size_t(width) * sizeof(T));
    }

    // The stages ahead of the recurrence or behind it, for all steps of a chunk.
    void around(Phase which, const Chunk& chunk) {
        const PhaseOf& phase = plan_.phase(which);
        if (phase.first == phase.last || chunk.rows == 0) return;
        stages_.take(matrices_.packed);
        if (chunks_.in_runs()) return around_in_runs(phase, chunk);
        meet();  // nobody reads what a chunk before left in its place
        if (chunks_.apart()) gather(phase.touched, chunk, true);
        for (size_t p : phase.touched)
            stages_.view(p) = chunks_.even() ? packed_rows(run_.ports[p], chunk.begin) : View<T>{many_[p], plan_.ports[p]};
        for (size_t p : plan_.wide) stages_.view(p) = {many_[p], plan_.ports[p]};
        run(phase, chunk.rows);
        meet();
        if (chunks_.apart()) gather(phase.written, chunk, false);
    }

    // The same where each step's rows are a run: matmuls take many runs at once, other stages one by one.
    void around_in_runs(const PhaseOf& phase, const Chunk& chunk) {
        const int64_t rows = most_, distance = run_.steps > 1 ? run_.offsets[1] - run_.offsets[0] : 0;
        auto place = [&](int64_t step) {
            for (size_t p : phase.touched) {
                stages_.view(p) = packed_rows(run_.ports[p], run_.offsets[step]);
                stages_.view(p).jump = distance * run_.ports[p].stride;
            }
            place_wide(step, chunk);
            for (size_t p : plan_.wide) stages_.view(p).jump = rows * plan_.ports[p];
        };
        for (size_t i = phase.first, next; i < phase.last; i = next) {
            next = i + 1;
            if (stages_.takes_runs(i)) {
                place(chunk.low);
                stages_.run_in_runs(i, chunk.rows, rows);
                continue;
            }
            while (next < phase.last && !stages_.takes_runs(next)) ++next;
            for (int64_t s = chunk.low; s < chunk.high; ++s) {
                place(s);
                stages_.run(i, next, rows);
            }
        }
    }

    // What has room for a whole chunk, from a step on.
    void place_wide(int64_t step, const Chunk& chunk) {
        for (size_t p : plan_.wide)
            stages_.view(p) = {many_[p] + chunk.positions[size_t(step - chunk.low)] * plan_.ports[p], plan_.ports[p]};
    }

    void run(const PhaseOf& phase, int64_t rows) {
        if (meeting_ == nullptr) return stages_.run(phase.first, phase.last, rows);
        for (size_t i = phase.first, next; i < phase.last; i = next) {
            if (i > phase.first) meet();
            next = i + plan_.stages[i].abreast;
            stages_.run(i, next, rows);
        }
    }

    // Stages of a step, each thread with its units. False for a thread that leaves.
    bool run_by_units(const PhaseOf& phase, int64_t rows) {
        for (size_t i = phase.first, next; i < phase.last; i = next) {
            if (waits_->before(i) && !met_ && !meet_or_leave()) return false;
            for (next = i + 1; next < phase.last && !waits_->before(next);) ++next;
            stages_.run(i, next, rows);
            met_ = false;
        }
        return true;
    }

    // Rows of ports that lie apart: copy them side by side, or back.
    void gather(const std::vector<size_t>& ports, const Chunk& chunk, bool in) {
        for (int64_t s = chunk.low; s < chunk.high && part_ == 0; ++s)
            for (size_t p : ports) {
                const int64_t width = plan_.ports[p], rows = ranks_.among(run_.active[s]);
                const View<T> apart = packed_rows(run_.ports[p], run_.offsets[s]);
                const View<T> together = {many_[p] + chunk.positions[size_t(s - chunk.low)] * width, width};
                copy(in ? apart : together, in ? together : apart, 0, rows, width);
            }
        meet();
    }

    const uint8_t* cleared(int64_t step) const {
        return run_.cleared == nullptr ? nullptr : run_.cleared + run_.offsets[step] + ranks_.first;
    }
    bool any_cleared(int64_t step, int64_t rows) const {
        const uint8_t* flags = cleared(step);
        for (int64_t i = 0; flags != nullptr && i < rows; ++i)
            if (flags[i * ranks_.every]) return true;
        return false;
    }

    View<T> held(size_t index, int64_t step) const {
        const echoic_state& state = run_.states[index];
        return step == 0               ? ranked(state.initial, state.width)
               : state.kept != nullptr ? packed_rows(state.kept, state.stride, run_.offsets[step - 1])
                                       : slot(states_[index], state.width, step - 1);
    }
    View<T> patched(size_t index) const {
        return {states_[index] + 2 * most_ * run_.states[index].width, run_.states[index].width};
    }

    // Rows that are cleared before a step enter it with the fresh state.
    void clear(int64_t step, int64_t rows) {
        const uint8_t* flags = cleared(step);
        for (size_t s = 0; s < run_.state_count; ++s) {
            const int64_t width = run_.states[s].width;
            const View<T> fresh = ranked(run_.states[s].fresh, width), kept = held(s, step);
            for (int64_t i = 0; i < rows; ++i)
                copy(flags[i * ranks_.every] ? fresh : kept, patched(s), i, i + 1, width);
        }
    }

    View<T> leaving(size_t index, int64_t step) {
        const echoic_state& state = run_.states[index];
        return state.kept != nullptr ? packed_rows(state.kept, state.stride, run_.offsets[step])
                                     : slot(states_[index], state.width, step);
    }

    void step(int64_t step, const Chunk& chunk) {
        const int64_t rows = ranks_.among(run_.active[step]);
        if (rows == 0) return;
        const int64_t going_on = step + 1 < run_.steps ? ranks_.among(run_.active[step + 1]) : 0;
        const bool clears = any_cleared(step, rows), first = part_ == 0;
        if (first && clears) clear(step, rows);
        if (first) take_over(step, going_on, rows);
        if (clears || (run_.gradient_count > 0 && going_on < rows)) meet();
        for (size_t p = 0; p < size_t(plan_.outside); ++p) stages_.view(p) = view_of(run_.ports[p], step, clears);
        place_wide(step, chunk);
        const PhaseOf& within = plan_.phase(Phase::within);
        stages_.take(run_.active[step] < matrices_.few_rows ? matrices_.few : matrices_.packed);
        const bool by_units = meeting_ != nullptr && waits_.has_value();
        if (!by_units)
            run(within, rows);
        else if (!run_by_units(within, rows))
            return;
        stages_.turn();
        settle(rows);
        const bool whole = going_on < rows || (run_.backward && step == 0);  // rows that the first goes through below
        if (meeting_ != nullptr && (whole || !by_units) && !meet_or_leave()) return;
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
            const View<T> to = slot(gradients_[g], gradient.width, step + 1);
            if (gradient.last != nullptr)
                copy(ranked(gradient.last, gradient.width), to, going_on, rows, gradient.width);
            else if (going_on < rows)
                std::fill_n(to.base + going_on * to.stride, (rows - going_on) * gradient.width, T(0));
        }
    }

    View<T> view_of(const echoic_port& port, int64_t step, bool clears) {
        const size_t index = size_t(port.index);
        switch (port.role) {
            case ECHOIC_PACKED: return packed_rows(port, run_.offsets[step]);
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
            const View<T> out = slot(gradients_[g], gradient.width, step);
            for (int64_t i = 0; flags != nullptr && i < rows; ++i) {
                if (!flags[i * ranks_.every]) continue;
                const View<T> fresh = ranked(gradient.fresh, gradient.width);
                for (int64_t c = 0; c < gradient.width; ++c) {
                    fresh.base[i * fresh.stride + c] += out.base[i * out.stride + c];
                    out.base[i * out.stride + c] = 0;
                }
            }
            if (step == 0 && gradient.initial != nullptr)
                copy(out, ranked(gradient.initial, gradient.width), 0, rows, gradient.width);
        }
    }

    const Plan& plan_;
    const echoic_run& run_;
    Meeting* meeting_ = nullptr;
    const Ranks ranks_;
    const int64_t most_;  // rows of the first step
    const Matrices<T> matrices_;
    Chunks chunks_;
    Stages<T> stages_;
    std::optional<Waits> waits_;  // where threads keep to their units
    bool met_ = false;            // and none has done anything since
    int64_t recent_ = 0;      // rows since totals were settled
    int64_t part_ = 0;        // among those who share the columns; -1 once the others go on without this one
    std::vector<T*> many_;    // room for the rows of a whole chunk, of the ports that need it
    std::vector<T*> states_, gradients_;
};

}  // namespace echoic
