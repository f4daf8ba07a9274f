// Checks that go on after a failure and count it.
#pragma once
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "../engine/engine.h"

inline int& failures() {
    static int count = 0;
    return count;
}

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)

inline bool check(bool holds, const char* text, const char* file, int line) {
    if (!holds && ++failures() <= 20) std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    return holds;
}

// A small generator of numbers, the same everywhere.
class Random {
   public:
    explicit Random(uint64_t seed) : state_(seed * 2654435769u + 1) {}
    uint64_t bits() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ * 0x2545F4914F6CDD1Du;
    }
    int64_t below(int64_t limit) { return int64_t((bits() >> 33) % uint64_t(limit)); }
    double number() { return double(bits() >> 11) / double(1ull << 53) * 2 - 1; }  // in [-1, 1)
    template <class T>
    std::vector<T> numbers(int64_t count) {
        std::vector<T> found(static_cast<size_t>(count));
        for (T& x : found) x = T(number());
        return found;
    }

   private:
    uint64_t state_;
};

using Code = std::vector<int64_t>;

inline Code operator+(Code left, const Code& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

// The thread sanitizer looks for races, which no instruction set has of its own, and takes ten times as long as the others.
#if defined(__SANITIZE_THREAD__)
constexpr bool kForRaces = true;
#else
constexpr bool kForRaces = false;
#endif

// By every instruction set in turn, or for races by the one in use.
template <class Test>
void by_every_instruction_set(Test test) {
    char message[64];
    for (int i = 0; i < echoic_instruction_set_count() && !kForRaces; ++i) {
        CHECK(echoic_choose_instruction_set(echoic_instruction_set_name(i), message, sizeof message));
        CHECK(std::string(echoic_instruction_set()) == echoic_instruction_set_name(i));
        test();
    }
    CHECK(echoic_choose_instruction_set("", message, sizeof message));
    if (kForRaces) test();
}

void test_kernels();
void test_recurrence();
void test_threads();
void test_malformed();
void test_session();
