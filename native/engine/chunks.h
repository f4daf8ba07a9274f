// Which steps are done at once ahead of the recurrence and behind it, and where their rows lie.
#pragma once
#include <algorithm>
#include <vector>

#include "engine.h"
#include "plan.h"
#include "ranks.h"

namespace echoic {

// The steps [low, high), of which a thread has so many rows together.
struct Chunk {
    int64_t low = 0, high = 0, rows = 0;
    int64_t begin = 0;                // even chunks: the first of their rows in packed arrays
    std::vector<int64_t> positions;   // of each step's rows among the chunk's
};

class Chunks {
   public:
    Chunks(const Plan& plan, const echoic_run& run, Ranks ranks, size_t number_bytes)
        : run_(run), ranks_(ranks), even_(run.steps > 0 && lies_evenly()), in_runs_(run.steps > 0 && !even_ && lies_in_runs()) {
        steps_ = run.steps;
        const int64_t most = run.steps > 0 ? ranks.among(run.active[0]) : 0;
        int64_t width = 0;
        for (size_t port : plan.wide) width += plan.ports[port];
        needed_ = plan.phase(Phase::within).first > 0 || plan.phase(Phase::within).last < plan.stages.size();
        if (!needed_ || most == 0) return;
        const int64_t bytes = std::max(int64_t(1), most * width * int64_t(number_bytes));
        auto steps_of = [most](int64_t rows) { return (rows + most - 1) / most; };
        const int64_t wished = std::max(kBytes / bytes, std::min(steps_of(kRows), kMostBytes / bytes));
        steps_ = std::clamp(std::max(wished, steps_of(kLeastRows)), int64_t(1), run.steps);
        room_ = steps_ * most;
        chunk_.positions.resize(size_t(steps_));
    }

    bool even() const { return even_; }   // the rows of a chunk follow each other in packed arrays, a fixed distance apart
    bool in_runs() const { return in_runs_; }  // each step's do, as many in all steps, and these lie a fixed distance apart
    bool apart() const { return !even_ && !in_runs_; }
    int64_t steps() const { return steps_; }
    int64_t room() const { return room_; }  // rows of the largest chunk

    // The chunk that comes after so many steps of the run.
    const Chunk& after(int64_t done) {
        const int64_t count = std::min(steps_, run_.steps - done);
        chunk_.low = run_.backward ? run_.steps - done - count : done;
        chunk_.high = chunk_.low + count;
        if (!needed_) return chunk_;
        chunk_.begin = std::min(run_.offsets[chunk_.low], run_.offsets[chunk_.high - 1]);
        chunk_.rows = 0;
        for (int64_t s = chunk_.low; s < chunk_.high; ++s) {
            chunk_.positions[size_t(s - chunk_.low)] =
                even_ ? (run_.offsets[s] - chunk_.begin) / ranks_.every : chunk_.rows;
            chunk_.rows += ranks_.among(run_.active[s]);
        }
        return chunk_;
    }

   private:
    // Of scratch as much as this, a part of the second cache, or for as many rows if these do not need too much of it; in any
    // case for some, for which weights are worth reading.
    static constexpr int64_t kBytes = 128 << 10, kRows = 128, kMostBytes = 512 << 10, kLeastRows = 48;

    bool lies_evenly() const {
        const int64_t all = run_.active[0];
        if (run_.steps == 1) return true;
        if (all % ranks_.every != 0 || ranks_.among(all) * ranks_.every != all) return false;
        bool ascending = true, descending = true;
        for (int64_t s = 1; s < run_.steps; ++s) {
            const bool full = run_.active[s] == all;
            if (ranks_.every > 1 && !full) return false;
            ascending = ascending && run_.offsets[s] == run_.offsets[s - 1] + run_.active[s - 1];
            descending = descending && full && run_.offsets[s] == run_.offsets[s - 1] - all;
        }
        return ascending || descending;
    }

    bool lies_in_runs() const {
        const int64_t all = run_.active[0];
        if (ranks_.every != 1 || ranks_.among(all) == all || run_.active[run_.steps - 1] != all) return false;
        for (int64_t s = 2; s < run_.steps; ++s)
            if (run_.offsets[s] - run_.offsets[s - 1] != run_.offsets[1] - run_.offsets[0]) return false;
        return true;
    }

    const echoic_run& run_;
    const Ranks ranks_;
    const bool even_, in_runs_;
    bool needed_ = false;
    int64_t steps_ = 0, room_ = 0;
    Chunk chunk_;
};

}  // namespace echoic
