// A whole recurrence, forward and backward, by every instruction set against plain loops.
#include "lstm.h"

namespace {

const std::vector<std::vector<int64_t>> kLengths = {{1}, {1, 1}, {5}, {4, 4, 4}, {9, 7, 7, 3, 1, 0},
                                                    {3, 3, 2, 2, 1, 1, 1, 1}, {6, 6, 6, 6, 6, 6}};
// Rows enough for products of parts of numbers.
const std::vector<std::vector<int64_t>> kMany = {std::vector<int64_t>(63, 5), std::vector<int64_t>(100, 3)};
// Of the largest cell more steps than are done ahead at once; with rows of no step among them, of which a thread may have nothing else.
const std::vector<std::vector<int64_t>> kLong = {{150}, {90, 90, 90, 90}, {130, 70, 69, 3, 1},
                                                 {90, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
                                                 {1200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};

template <class T>
void compare(int64_t h, const std::vector<int64_t>& lengths, bool resets, double tolerance, bool descending = false,
             int type = sizeof(T) == 8 ? ECHOIC_FLOAT64 : ECHOIC_FLOAT32) {
    Random random(uint64_t(h) * 100 + lengths.size() + resets);
    const lstm::Shape shape(h, lengths, resets, random, descending);
    lstm::Numbers<double> expected(shape, random);
    lstm::run_plainly(shape, expected);
    const lstm::Plans plans(h, type);
    for (int threads : {1, 2, 3}) {
        lstm::Numbers<T> found(expected, shape);
        lstm::run_by_engine(plans, shape, found, threads);
        if (!CHECK(lstm::apart(found, expected) < tolerance))
            std::fprintf(stderr, "  %s, H %d, %d threads: %g\n", echoic_instruction_set(), int(h), threads,
                         lstm::apart(found, expected));
        lstm::Numbers<T> forward_only(expected, shape);
        lstm::run_by_engine(plans, shape, forward_only, threads, false);
        CHECK(lstm::apart(forward_only.last_h, found.last_h) == 0);
        CHECK(lstm::apart(forward_only.last_c, found.last_c) == 0);
    }
}

// The hand-written gradient is that of the numbers themselves.
void check_the_loops() {
    Random random(5);
    const lstm::Shape shape(3, {4, 2, 1}, true, random);
    lstm::Numbers<double> base(shape, random);
    auto loss = [&](const lstm::Numbers<double>& n) {
        double sum = 0;
        for (size_t i = 0; i < n.h.size(); ++i) sum += n.h[i] * n.pull[i];
        for (size_t i = 0; i < n.last_h.size(); ++i) sum += n.last_h[i] * n.pull_h[i] + n.last_c[i] * n.pull_c[i];
        return sum;
    };
    auto slope = [&](std::vector<double> lstm::Numbers<double>::*part, size_t i) {
        double found[2];
        for (int sign : {0, 1}) {
            lstm::Numbers<double> moved(base, shape);
            (moved.*part)[i] += sign ? 1e-6 : -1e-6;
            moved.clear(shape);
            lstm::run_plainly(shape, moved);
            found[sign] = loss(moved);
        }
        return (found[1] - found[0]) / 2e-6;
    };
    lstm::Numbers<double> solved(base, shape);
    lstm::run_plainly(shape, solved);
    using N = lstm::Numbers<double>;
    for (size_t i = 0; i < solved.grad_h0.size(); ++i) {
        CHECK(std::abs(slope(&N::h0, i) - solved.grad_h0[i]) < 1e-7);
        CHECK(std::abs(slope(&N::c0, i) - solved.grad_c0[i]) < 1e-7);
        CHECK(std::abs(slope(&N::fresh_h, i) - solved.grad_fresh_h[i]) < 1e-7);
        CHECK(std::abs(slope(&N::fresh_c, i) - solved.grad_fresh_c[i]) < 1e-7);
    }
    for (size_t i = 0; i < solved.grad_x.size(); ++i) CHECK(std::abs(slope(&N::x, i) - solved.grad_x[i]) < 1e-7);
    for (size_t j = 0; j < solved.bias.size(); ++j) {
        double sum = 0;
        for (size_t i = j; i < solved.gates.size(); i += solved.bias.size()) sum += solved.gates[i];
        CHECK(std::abs(slope(&N::bias, j) - sum) < 1e-7);
    }
}

}  // namespace

void test_recurrence() {
    check_the_loops();
    by_every_instruction_set([] {
        for (int64_t h : {1, 3, 7, 17, 67})
            for (const auto& lengths : kLengths)
                for (bool resets : {false, true}) {
                    compare<float>(h, lengths, resets, 2e-5);
                    compare<double>(h, lengths, resets, 1e-12);
                    compare<float>(h, lengths, resets, 2e-5, true);
                }
        for (int64_t h : {1, 7, 67})  // rounded: by a 256th, in every step
            for (const auto& lengths : kLengths)
                if (echoic_has_bfloat16()) compare<float>(h, lengths, true, 0.15, false, ECHOIC_BFLOAT16);
        for (const auto& lengths : kMany)
            if (echoic_has_bfloat16()) compare<float>(67, lengths, true, 2e-4, false, ECHOIC_BFLOAT16_PAIRS);
        for (const auto& lengths : kMany) compare<float>(67, lengths, true, 2e-5);
        for (const auto& lengths : kLong)
            for (bool descending : {false, true}) {
                compare<float>(67, lengths, true, 2e-4, descending);
                compare<double>(67, lengths, true, 1e-11, descending);
            }
    });
}
