// Which rows of a batch a thread has.
#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include "engine.h"

namespace echoic {

// The ranks first, first + every, first + 2 every ... before end.
struct Ranks {
    int64_t first = 0, every = 1, end = std::numeric_limits<int64_t>::max();
    int64_t among(int64_t ranks) const {
        const int64_t last = std::min(ranks, end);
        return last <= first ? 0 : (last - first + every - 1) / every;
    }
};

// Steps of the row of each rank.
inline std::vector<int64_t> steps_of_ranks(const echoic_run& run) {
    std::vector<int64_t> steps(size_t(run.batch), 0);
    for (int64_t s = run.steps - 1; s >= 0; --s)
        for (int64_t rank = s + 1 < run.steps ? run.active[s + 1] : 0; rank < run.active[s]; ++rank)
            steps[size_t(rank)] = s + 1;
    return steps;
}

// Where the ranks of a part begin: as much work for every part, where ranks have so many steps, longest first. A step reads
// the weights, however few its rows are: few long ones are for one thread alone.
inline int64_t balanced(const std::vector<int64_t>& steps, int64_t part, int64_t parts) {
    constexpr int64_t kReadingWeights = 2;  // takes as long as so many rows
    const int64_t batch = int64_t(steps.size());
    auto after = [&](int64_t rank, int64_t most) {
        int64_t work = rank < batch ? kReadingWeights * steps[size_t(rank)] : 0;
        while (rank < batch && work + steps[size_t(rank)] <= most) work += steps[size_t(rank++)];
        return rank;
    };
    auto begin_of = [&](int64_t which, int64_t most) {
        int64_t rank = 0;
        for (int64_t p = 0; p < which; ++p) rank = after(rank, most);
        return rank;
    };
    int64_t low = 0, high = kReadingWeights * steps[0];
    for (int64_t each : steps) high += each;
    while (low < high) {
        const int64_t most = low + (high - low) / 2;
        if (begin_of(parts, most) == batch)
            high = most;
        else
            low = most + 1;
    }
    return begin_of(part, high);
}

// The ranks of one part of several: some that follow each other. A processor that foresees what lies next in memory would take
// lines from under the other threads if each had every n-th (writing was 2.5 times as fast without).
inline Ranks ranks_of(const echoic_run& run, int64_t part, int64_t parts) {
    constexpr int64_t kSome = 4;  // of a part; fewer are multiplied together
    if (run.steps == 0 || run.batch < kSome * parts) return {part, parts};
    if (run.active[run.steps - 1] == run.batch) return {run.batch * part / parts, 1, run.batch * (part + 1) / parts};
    const std::vector<int64_t> steps = steps_of_ranks(run);
    return {balanced(steps, part, parts), 1, part + 1 < parts ? balanced(steps, part + 1, parts) : run.batch};
}

}  // namespace echoic
