// Sums over all rows and steps of what is the same in every step, which threads add to while the recurrence goes on.
#pragma once
#include <cstdint>
#include <vector>

#include "plan.h"

namespace echoic {

// The totals of a plan, for so many parts that have rows of their own. Numbers are added to what is recent, which is
// added to the part's sum after some rows, so that a million small ones are not lost beside a large one.
template <class T>
class Totals {
   public:
    Totals(const Plan& plan, int parts) : parts_(size_t(parts)) {
        for (int64_t width : plan.totals) {
            begins_.push_back(all_);
            all_ += size_t((width + 15) / 16 * 16);
        }
        begins_.push_back(all_);
        numbers_.assign(2 * parts_ * all_, T(0));
    }

    static constexpr int64_t kRows = 256;  // that stay recent

    T* recent(size_t part, size_t total) { return numbers_.data() + 2 * part * all_ + begins_[total]; }

    // Of one total the columns [begin, end).
    void settle(size_t part, size_t total, int64_t begin, int64_t end) {
        T *from = recent(part, total), *to = from + all_;
        for (int64_t i = begin; i < end; ++i) {
            to[i] += from[i];
            from[i] = 0;
        }
    }

    // The sums of all parts in their order.
    void write(const Plan& plan, void* const* to) {
        for (size_t t = 0; t < plan.totals.size(); ++t) {
            T* target = static_cast<T*>(to[t]);
            for (int64_t i = 0; i < plan.totals[t]; ++i) {
                target[i] = 0;
                for (size_t part = 0; part < parts_; ++part) target[i] += recent(part, t)[all_ + size_t(i)];
            }
        }
    }

   private:
    const size_t parts_;
    size_t all_ = 0;               // numbers of the totals of one part
    std::vector<size_t> begins_;   // of each total among them
    std::vector<T> numbers_;       // of each part what is recent, then its sums
};

}  // namespace echoic
