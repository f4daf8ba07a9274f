// How the rows of sums are divided: threads that each sum up rows of their own, and all columns of them, read and pack every
// row once. Into how many ranges depends on the run alone and not on how many threads there are, so that bits do not.
#pragma once
#include <algorithm>
#include <vector>

#include "arena.h"
#include "engine.h"

namespace echoic {

// Sums that follow each other and have one left array: they are made together.
struct SumGroup {
    size_t first, count;
    int64_t ranges;  // of the rows
    size_t begin;    // where the results of the second range lie in memory of their own
    size_t size;     // numbers of a range's results
};

// The first range sums up where the results belong, each other one in memory of its own that is added in the end.
template <class T>
class SumRanges {
   public:
    explicit SumRanges(const echoic_run& run) : run_(run) {
        for (size_t s = 0; s < run.sum_count;) {
            SumGroup group{s, 1, 1, numbers_, numbers_of(run.sums[s])};
            while (s + group.count < run.sum_count && alike(run.sums[s + group.count], run.sums[s]))
                group.size += numbers_of(run.sums[s + group.count++]);
            const int64_t rows = run.rows * run.sums[s].groups;
            const int64_t least = std::max(kLeastRows, kRowsForColumn * run.sums[s].left_width);
            if (run.batch > 1 && rows >= least && int64_t(group.size * sizeof(T)) <= kMostBytes) group.ranges = 2;
            numbers_ += size_t(group.ranges - 1) * group.size;
            groups_.push_back(group);
            s += group.count;
        }
    }

    const std::vector<SumGroup>& groups() const { return groups_; }
    bool several() const { return numbers_ > 0; }
    void make_room(Arena& arena) {
        if (several()) memory_ = reinterpret_cast<T*>(arena.at_least(numbers_ * sizeof(T)));
    }

    // Where a range's share of a sum goes, or null.
    T* outer(const SumGroup& group, int64_t range, size_t sum) const {
        T* own = static_cast<T*>(run_.sums[sum].outer);
        return own == nullptr || range == 0 ? own : at(group, range, sum);
    }
    T* columns(const SumGroup& group, int64_t range, size_t sum) const {
        T* own = static_cast<T*>(run_.sums[sum].columns);
        return own == nullptr || range == 0 ? own : at(group, range, sum) + outer_numbers(run_.sums[sum]);
    }

    // One part's share of adding all ranges to the first.
    void add_up(int part, int parts) const {
        for (const SumGroup& group : groups_)
            for (size_t s = group.first; s < group.first + group.count && group.ranges > 1; ++s) {
                add_up(group, part, parts, &SumRanges::outer, s, outer_numbers(run_.sums[s]));
                add_up(group, part, parts, &SumRanges::columns, s, size_t(run_.sums[s].left_width));
            }
    }

   private:
    // Rows from which on a second range is worth while, in all and for each column of the left array, whose results are read and
    // written once more; and bytes of its results: larger ones go back and forth as often as rows would.
    static constexpr int64_t kLeastRows = 512, kRowsForColumn = 4, kMostBytes = 3 << 20;

    using Where = T* (SumRanges::*)(const SumGroup&, int64_t, size_t) const;

    static bool alike(const echoic_sum& one, const echoic_sum& other) {
        return one.left == other.left && one.left_width == other.left_width && one.groups == other.groups;
    }
    static size_t outer_numbers(const echoic_sum& sum) {
        return sum.outer == nullptr ? 0 : size_t(sum.left_width * sum.right_width);
    }
    static size_t numbers_of(const echoic_sum& sum) {
        return outer_numbers(sum) + (sum.columns == nullptr ? 0 : size_t(sum.left_width));
    }

    T* at(const SumGroup& group, int64_t range, size_t sum) const {
        T* to = memory_ + group.begin + size_t(range - 1) * group.size;
        for (size_t s = group.first; s < sum; ++s) to += numbers_of(run_.sums[s]);
        return to;
    }

    void add_up(const SumGroup& group, int part, int parts, Where where, size_t sum, size_t count) const {
        T* to = (this->*where)(group, 0, sum);
        const size_t begin = count * size_t(part) / size_t(parts), end = count * size_t(part + 1) / size_t(parts);
        for (int64_t range = 1; range < group.ranges && to != nullptr; ++range) {
            const T* from = (this->*where)(group, range, sum);
            for (size_t i = begin; i < end; ++i) to[i] += from[i];
        }
    }

    const echoic_run& run_;
    std::vector<SumGroup> groups_;
    size_t numbers_ = 0;
    T* memory_ = nullptr;
};

}  // namespace echoic
