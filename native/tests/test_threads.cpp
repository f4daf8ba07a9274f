// Several threads in one call, several calls at once, and errors that threads meet.
#include <algorithm>
#include <atomic>
#include <numeric>
#include <thread>

#include "../engine/ranks.h"
#include "../engine/units.h"
#include "lstm.h"

namespace {

const std::vector<int64_t> kLengths = {12, 11, 9, 9, 6, 4, 2, 1, 1};

// The same bits, but for totals: they are the sums of the threads' own sums, so their last bits go with their number.
template <class T>
bool same(lstm::Numbers<T> found, const lstm::Numbers<T>& expected) {
    const bool near = lstm::apart(found.grad_peephole, expected.grad_peephole) < (sizeof(T) == 4 ? 1e-5 : 1e-13);
    found.grad_peephole = expected.grad_peephole;
    return near && lstm::apart(found, expected) == 0;
}

template <class T>
void calls_at_once() {
    Random random(11);
    const lstm::Shape shape(17, kLengths, true, random);
    const lstm::Plans plans(17, sizeof(T) == 8);
    const lstm::Numbers<T> given(shape, random);
    lstm::Numbers<T> expected(given, shape);
    lstm::run_by_engine(plans, shape, expected, 1);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&, caller] {
            for (int i = 0; i < 10; ++i) {
                lstm::Numbers<T> found(given, shape);
                lstm::run_by_engine(plans, shape, found, 1 + (caller + i) % 3);
                wrong += !same(found, expected);
            }
        });
    for (auto& caller : callers) caller.join();
    CHECK(wrong == 0);
}

// Bits do not depend on the number of threads, nor on the rows a row is together with: a few rows of different lengths, and
// many of one length, whose sums are made in two ranges.
void rows_by_themselves() {
    Random random(12);
    const std::vector<int64_t> alike(20, 40);
    for (const auto& [lengths, hidden] : {std::pair(kLengths, int64_t(33)), {alike, int64_t(19)}}) {
        const lstm::Shape shape(hidden, lengths, false, random);
        const lstm::Plans plans(hidden, 0);
        const lstm::Numbers<float> given(shape, random);
        lstm::Numbers<float> expected(given, shape);
        lstm::run_by_engine(plans, shape, expected, 1);
        for (int threads = 2; threads <= 12; ++threads) {
            lstm::Numbers<float> found(given, shape);
            lstm::run_by_engine(plans, shape, found, threads);
            CHECK(same(found, expected));
            lstm::Numbers<float> again(given, shape);
            lstm::run_by_engine(plans, shape, again, threads);
            CHECK(lstm::apart(again, found) == 0);
        }
    }
}

// Every rank belongs to one part, and no part has much more work than another.
void ranks_of_parts() {
    Random random(13);
    for (int64_t batch : {1, 3, 8, 17, 64})
        for (int64_t longest : {0, 1, 5, 300}) {
            std::vector<int64_t> lengths(size_t(batch), longest), active;
            for (int64_t& length : lengths) length = random.below(2) ? longest : random.below(longest + 1);
            lengths[0] = longest;
            std::sort(lengths.rbegin(), lengths.rend());
            for (int64_t s = 0; s < longest; ++s)
                active.push_back(std::count_if(lengths.begin(), lengths.end(), [s](int64_t length) { return length > s; }));
            echoic_run run{};
            run.steps = longest, run.batch = batch, run.active = active.data();
            for (int64_t parts = 1; parts <= 5; ++parts) {
                std::vector<int> taken(size_t(batch), 0);
                for (int64_t part = 0; part < parts; ++part) {
                    const echoic::Ranks ranks = echoic::ranks_of(run, part, parts);
                    int64_t count = 0, work = 0;
                    for (int64_t r = ranks.first; r < std::min(ranks.end, batch); r += ranks.every, ++count)
                        ++taken[size_t(r)], work += lengths[size_t(r)];
                    CHECK(count == ranks.among(batch));
                    const int64_t all = std::accumulate(lengths.begin(), lengths.end(), int64_t(0));
                    CHECK(work <= all / parts + 4 * longest);
                }
                CHECK(std::count(taken.begin(), taken.end(), 1) == batch);
            }
        }
}

// Threads that share the columns of all rows: few rows or large weights. The bits are those of one thread, those of
// totals too, also where other work holds the threads up.
template <class T>
void columns_by_themselves(int64_t h, const std::vector<int64_t>& lengths, bool resets) {
    Random random(13);
    const lstm::Shape shape(h, lengths, resets, random);
    const lstm::Plans plans(h, sizeof(T) == 8);
    const lstm::Numbers<T> given(shape, random);
    lstm::Numbers<T> expected(given, shape);
    lstm::run_by_engine(plans, shape, expected, 1);
    for (int threads : {2, 3, 5}) {
        lstm::Numbers<T> found(given, shape);
        lstm::run_by_engine(plans, shape, found, threads);
        CHECK(lstm::apart(found, expected) == 0);
    }
}

// In a step of 64 units threads wait before matmuls of what others have just made, and before what others still read is
// written over: a scratch port in every step, an array of all steps in the same one, a state in another.
void waits_within_a_step() {
    constexpr int64_t kUnits = 64;
    const int64_t copy = echoic_opcode("copy");
    const Code nothing = {0, 0, 0};
    auto place = [](int64_t port, int64_t offset = 0) { return Code{1, port, offset}; };
    auto pointwise = [&](const Code& target, const Code& source) {
        return Code{1, 1, kUnits, 1, copy} + target + source + nothing + nothing;
    };
    auto matmul = [&](const Code& target, const Code& source) {
        return Code{2, 1, 0, 1} + source + target + nothing + Code{-1};
    };
    enum : int64_t { given, made, held, other };  // two ports from outside, two of scratch
    auto plan = [&](const std::vector<Code>& stages) {
        Code code = {4, 2, kUnits, kUnits, kUnits, 2 * kUnits, 0, 1, kUnits, kUnits, 0, 0, int64_t(stages.size())};
        for (const Code& stage : stages) code = code + stage;
        return echoic::decode(code.data(), code.size(), nullptr, 0, ECHOIC_FLOAT32);
    };
    auto waits = [&](const std::vector<Code>& stages, int32_t from, int32_t to) {
        float numbers[2];
        echoic_port ports[] = {{from, 0, &numbers[0], kUnits}, {to, 0, &numbers[1], kUnits}};
        echoic_run run{};
        run.steps = 10, run.ports = ports, run.port_count = 2;
        const echoic::Plan decoded = plan(stages);
        CHECK(echoic::units_of(decoded, 32) == kUnits);
        const echoic::Waits found(decoded, run);
        std::vector<bool> before;
        for (size_t i = 0; i < stages.size(); ++i) before.push_back(found.before(i));
        return before;
    };
    using Before = std::vector<bool>;
    const Code state_first = matmul(place(held), place(given)), state_last = pointwise(place(made), place(held));
    CHECK((waits({state_first, state_last}, ECHOIC_ENTERING, ECHOIC_LEAVING) == Before{true, false}));
    CHECK((waits({state_first, state_last}, ECHOIC_PACKED, ECHOIC_PACKED) == Before{false, false}));
    const Code array_first = pointwise(place(given), place(made)), array_last = matmul(place(made), place(given));
    CHECK((waits({array_first, array_last}, ECHOIC_PACKED, ECHOIC_GRADIENT_OUT) == Before{false, true}));
    const Code scratch_first = pointwise(place(held), place(given)), scratch_next = matmul(place(other), place(held));
    const Code scratch_last = pointwise(place(made), place(other, kUnits));
    CHECK((waits({scratch_first, scratch_next, scratch_last}, ECHOIC_ENTERING, ECHOIC_LEAVING) == Before{true, true, false}));
    const Code written_over = pointwise(place(given), place(held));
    CHECK((waits({state_first, written_over}, ECHOIC_PACKED, ECHOIC_LEAVING) == Before{false, true}));
    CHECK((waits({state_last, state_first}, ECHOIC_ENTERING, ECHOIC_LEAVING) == Before{true, true}));

    const Code askew = pointwise(place(made), place(other, kUnits / 2));
    CHECK(echoic::units_of(plan({state_first, askew}), 32) == 0);
    const Code sum = Code{3, 1, kUnits, kUnits, 1, echoic::reduce_sum} + place(given) + nothing + place(held);
    CHECK(echoic::units_of(plan({state_first, sum, state_last}), 32) == 0);
    CHECK(echoic::units_of(plan({state_first}), 32) == 0);
}

// Several runs of different sizes and types in one call: each as if it were alone, also where there are more of them
// than threads.
void side_by_side() {
    Random random(14);
    const lstm::Shape large(263, {9, 9}, true, random), small(17, kLengths, false, random), none(3, {0, 0}, false, random);
    const lstm::Plans large_plans(263, 0), small_plans(17, 1), no_plans(3, 0);
    const lstm::Numbers<float> large_given(large, random), none_given(none, random);
    const lstm::Numbers<double> small_given(small, random);
    lstm::Numbers<float> large_expected(large_given, large);
    lstm::Numbers<double> small_expected(small_given, small);
    lstm::run_by_engine(large_plans, large, large_expected, 1);
    lstm::run_by_engine(small_plans, small, small_expected, 1);
    for (int threads : {1, 2, 3, 4}) {
        lstm::Numbers<float> large_found(large_given, large), none_found(none_given, none);
        lstm::Numbers<double> small_found(small_given, small);
        const int each = std::max(1, threads / 2);
        lstm::Forward<float> there(large, large_found, each), nowhere(none, none_found, 1);
        lstm::Forward<double> other(small, small_found, each);
        lstm::execute({large_plans.forward, no_plans.forward, small_plans.forward}, {there.run, nowhere.run, other.run}, threads);
        const lstm::Backward<float> back(large, large_found, each);
        const lstm::Backward<double> other_back(small, small_found, each);
        lstm::execute({large_plans.backward, small_plans.backward}, {back.run, other_back.run}, threads);
        CHECK(same(large_found, large_expected));
        CHECK(same(small_found, small_expected));
    }
}

// Memory that is not there is an error of the call, whichever thread meets it.
void too_little_memory() {
    Code code = {2001, 1, 1};
    for (int i = 0; i < 2000; ++i) code.push_back(1 << 24);
    code = code + Code{0, 0, 0, 0, 0};
    char message[256] = "";
    echoic_plan* plan = echoic_plan_new(code.data(), code.size(), nullptr, 0, 0, message, sizeof message);
    CHECK(plan != nullptr);
    std::vector<float> numbers(64);
    const int64_t offset = 0, active = 64;
    echoic_port port{ECHOIC_PACKED, 0, numbers.data(), 1};
    for (int threads = 1; threads <= 3; ++threads) {
        echoic_run run{};
        run.steps = 1, run.batch = run.rows = 64, run.offsets = &offset, run.active = &active, run.threads = threads;
        run.ports = &port, run.port_count = 1;
        const echoic_plan* decoded = plan;
        CHECK(!echoic_execute(&decoded, &run, 1, threads, message, sizeof message));
        CHECK(message[0] != 0);
    }
    echoic_plan_free(plan);
}

}  // namespace

void test_threads() {
    calls_at_once<float>();
    calls_at_once<double>();
    rows_by_themselves();
    ranks_of_parts();
    for (bool resets : {false, true}) {
        columns_by_themselves<float>(160, {7}, resets);
        columns_by_themselves<double>(160, {7}, resets);
        columns_by_themselves<float>(190, {9, 5, 2}, resets);
        columns_by_themselves<double>(190, {6, 6, 1}, resets);
        columns_by_themselves<float>(192, {9, 9, 2}, resets);
        columns_by_themselves<double>(192, {9, 5, 5}, resets);
    }
    waits_within_a_step();
    too_little_memory();
    side_by_side();
    calls_at_once<float>();
}
