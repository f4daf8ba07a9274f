// Where the threads of one run wait for each other after every stage. Only threads that are running already are
// counted in: a thread that comes late, or never, is not waited for, so a meeting cannot hang. Where other work keeps
// taking the processor from one of them, the first goes on alone.
#pragma once
#include <atomic>
#include <chrono>
#include <thread>

namespace echoic {

inline void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class Meeting {
   public:
    // At most so many members, and no more than 16; the first waits so long for the others to come.
    explicit Meeting(int most, std::chrono::microseconds patience = std::chrono::microseconds(200))
        : most_(most < kMost ? most : kMost), patience_(patience) {}

    // The number of this member, from 0, once it is known who takes part; -1 for one that came too late.
    int join() {
        int here = arrived_.load(std::memory_order_relaxed);
        do {
            if (here < 0 || here >= most_) return -1;
        } while (!arrived_.compare_exchange_weak(here, here + 1, std::memory_order_acq_rel));
        if (here == 0)
            close();
        else
            wait_while([this] { return members_.load(std::memory_order_acquire) == 0; });
        return here;
    }

    int members() const { return members_.load(std::memory_order_relaxed); }

    // Returns when every member has called it as often as this one. What they wrote before can be read after.
    void wait(int member) {
        if (members() == 1) return;
        const unsigned mine = rounds_[member].number.load(std::memory_order_relaxed) + 1;
        rounds_[member].number.store(mine, std::memory_order_release);
        bool took_long = false;
        for (int other = 0; other < members(); ++other)  // who goes on alone has seen all of them come
            took_long |= wait_while([&] { return int(rounds_[other].number.load(std::memory_order_acquire) - mine) < 0; });
        if (took_long) held_up_.fetch_add(1, std::memory_order_relaxed);
    }

    // Like wait, at the end of a step; false for a member that is not needed any more. The first always is.
    bool wait_or_leave(int member) {
        if (members() == 1) return true;
        const unsigned after = rounds_[member].number.load(std::memory_order_relaxed) + 1;
        if (member == 0 && held_up_.load(std::memory_order_relaxed) >= kHeldUp)
            last_round_.store(after, std::memory_order_relaxed);
        wait(member);
        // The number, not a flag: a slow member may look when the first has gone a round further
        if (last_round_.load(std::memory_order_relaxed) != after) return true;
        if (member == 0) members_.store(1, std::memory_order_relaxed);
        return member == 0;
    }

    // Whether the first member went on alone.
    bool broken() const { return last_round_.load(std::memory_order_relaxed) != 0; }

   private:
    // Of a member: how often it came to a meeting. Each has a line of memory of its own, which it writes and the others read: a
    // counter that all add to would go from core to core before the last one, and its answer back.
    struct alignas(64) Round {
        std::atomic<unsigned> number{0};
    };
    static constexpr int kMost = 16;      // each looks at all the others
    static constexpr int kPauses = 2000;  // before the processor is given to whoever else wants it
    static constexpr std::chrono::microseconds kLong{250};  // more than one stage takes longer than another: a lost turn
    static constexpr int kHeldUp = 2;     // times that it took so long before the first goes on alone

    // The first member waits for the others, and says how many came.
    void close() {
        const auto until = std::chrono::steady_clock::now() + patience_;
        while (arrived_.load(std::memory_order_relaxed) < most_ && std::chrono::steady_clock::now() < until)
            pause_briefly();
        members_.store(arrived_.exchange(-1, std::memory_order_acq_rel), std::memory_order_release);
    }

    // Whether it took long.
    template <class Condition>
    static bool wait_while(Condition condition) {
        for (int i = 0; i < kPauses; ++i) {
            if (!condition()) return false;
            pause_briefly();
        }
        const auto until = std::chrono::steady_clock::now() + kLong;
        while (condition()) std::this_thread::yield();
        return std::chrono::steady_clock::now() > until;
    }

    const int most_;
    const std::chrono::microseconds patience_;
    std::atomic<int> arrived_{0};  // -1 once it is known who takes part
    std::atomic<int> members_{0};  // 0 until then
    std::atomic<unsigned> last_round_{0};  // that all take part in; 0: none yet
    std::atomic<int> held_up_{0};
    Round rounds_[kMost];
};

}  // namespace echoic
