// When threads that share the columns of every stage have to wait for each other within a step. A thread that has the
// same columns of every block of so many, the same units, needs what others made for matmuls alone: these read whole rows.
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include "engine.h"
#include "plan.h"

namespace echoic {

// The width that all pointwise stages of a step have and that all blocks of columns go by; 0 where there is none, or
// where something else reads numbers of other columns.
inline int64_t units_of(const Plan& plan, int64_t panel) {
    const PhaseOf& within = plan.phase(Phase::within);
    int64_t units = 0;
    for (size_t i = within.first; i < within.last; ++i)
        if (plan.stages[i].kind == Stage::pointwise) units = plan.stages[i].width;
    if (units == 0) return 0;
    auto in_blocks = [&](const Operand& operand) { return operand.space != Space::port || operand.offset % units == 0; };
    auto by_units = [&](const Micro& micro) {
        const int64_t column = column_operand(micro.op);
        const bool local = column < 0 || micro.operands[column].space != Space::port;
        return local && in_blocks(micro.target) && std::all_of(micro.operands, micro.operands + 3, in_blocks);
    };
    for (size_t i = within.first; i < within.last; ++i) {
        const Stage& stage = plan.stages[i];
        if (stage.kind == Stage::pointwise) {
            const Micro* micros = plan.micros.data() + stage.first;
            if (stage.width != units || !std::all_of(micros, micros + stage.count, by_units)) return 0;
        } else if (stage.kind == Stage::matmul) {
            const int64_t columns = plan.matrix_columns[size_t(stage.matrix)];
            const bool blocks = columns == units || (columns % units == 0 && units % panel == 0);
            if (stage.groups > 1 || !blocks || !in_blocks(stage.target) || !in_blocks(stage.added)) return 0;
        } else {
            return 0;
        }
    }
    return units;
}

class Waits {
 public:
    // For a step in which units are shared.
    Waits(const Plan& plan, const echoic_run& run) : plan_(plan), run_(run), before_(plan.stages.size()) {
        constexpr int64_t kUntilNothingIsNew = 3;  // a step finds what the one before left
        for (int step = 0; step < std::min(run.steps, kUntilNothingIsNew); ++step) go_through(step);
    }

    // Whether others' numbers have to be there before a stage, or others to be done with what it writes over.
    bool before(size_t stage) const { return before_[stage] != 0; }

 private:
    // Memory: a scratch port, an array of all steps, a state, a gradient of one.
    enum Kind { scratch, packed, state, gradient };
    using Memory = std::pair<Kind, size_t>;
    struct Touch {
        Memory memory;
        int step;
    };

    Memory memory(const Operand& operand) const {
        const size_t port = size_t(operand.index);
        if (operand.index >= plan_.outside) return {scratch, port};
        switch (const echoic_port& given = run_.ports[port]; given.role) {
            case ECHOIC_PACKED:
                // The same array may be given twice
                for (size_t other = 0; other < port; ++other)
                    if (run_.ports[other].role == ECHOIC_PACKED && run_.ports[other].data == given.data) return {packed, other};
                return {packed, port};
            case ECHOIC_ENTERING:
            case ECHOIC_LEAVING: return {state, size_t(given.index)};
            default: return {gradient, size_t(given.index)};
        }
    }

    // Whether what was read at a step may lie where a stage writes: arrays have rows of their own for every step, states
    // and gradients two slots in turn.
    static bool overwrites(const Touch& read, const Memory& written, int step) {
        if (read.memory != written) return false;
        return written.first == scratch || (read.step == step) == (written.first == packed);
    }
    // Whether what was written at a step may be what a stage reads.
    static bool gives(const Touch& written, const Memory& read, int step) {
        return written.memory == read && (read.first != packed || written.step == step);
    }

    void go_through(int step) {
        const PhaseOf& within = plan_.phase(Phase::within);
        for (size_t i = within.first; i < within.last; ++i) {
            const Stage& stage = plan_.stages[i];
            std::vector<Memory> targets;
            if (stage.kind == Stage::matmul)
                targets.push_back(memory(stage.target));
            else
                for (int64_t m = stage.first; m < stage.first + stage.count; ++m)
                    if (const Operand& target = plan_.micros[size_t(m)].target; target.space == Space::port)
                        targets.push_back(memory(target));
            for (const Memory& target : targets)
                for (const Touch& read : read_) before_[i] |= overwrites(read, target, step);
            for (const Touch& written : written_)
                before_[i] |= stage.kind == Stage::matmul && gives(written, memory(stage.source), step);
            if (before_[i]) written_.clear(), read_.clear();
            for (const Memory& target : targets) written_.push_back({target, step});
            if (stage.kind == Stage::matmul) read_.push_back({memory(stage.source), step});
        }
    }

    const Plan& plan_;
    const echoic_run& run_;
    std::vector<char> before_;
    std::vector<Touch> written_, read_;  // since the last wait; by matmuls
};

// The units that threads share in a run, or 0: states that are cleared go through one thread, and where an array is a
// state, too, ``Waits`` would not see it.
inline int64_t units_of(const Plan& plan, const echoic_run& run, int64_t panel) {
    for (size_t p = 0; p < run.port_count; ++p)
        for (size_t s = 0; s < run.state_count && run.ports[p].role == ECHOIC_PACKED; ++s)
            if (run.states[s].kept != nullptr && run.ports[p].data == run.states[s].kept) return 0;
    return run.cleared == nullptr ? units_of(plan, panel) : 0;
}

}  // namespace echoic
