// Sessions: one step at a time gives what the whole sequence gives, and allocates nothing.
#include <atomic>
#include <cstdlib>
#include <new>

#include "../engine/plan.h"
#include "lstm.h"

namespace {
std::atomic<long> allocations{0};
}

// Not inlined, lest the compiler see only one of a pair and warn of a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace {

using lstm::micro, lstm::port, lstm::tile;

// Ports: input [I], output [H], h and c before, h and c after; scratch for the gates.
Code session_code(int64_t h, int64_t phase = 1) {
    return Code{7, 6, lstm::inputs(h), h, h, h, h, h, 4 * h, 1, 4 * h, 2, h, 4 * h, lstm::inputs(h), 4 * h, 0, 0, 3} +  //
           Code{2, phase, 1, 1} + port(0) + port(6) + Code{0, 0, 0} + Code{0} +                                   //
           Code{2, 1, 0, 1} + port(2) + port(6) + port(6) + Code{-1} +                                            //
           Code{1, 1, h, 9} + micro("sigmoid", tile(0), port(6, 0)) + micro("sigmoid", tile(1), port(6, h)) +
           micro("tanh", tile(2), port(6, 2 * h)) + micro("mul", tile(1), tile(1), port(3)) +
           micro("fma", port(5), tile(0), tile(2), tile(1)) + micro("sigmoid", tile(0), port(6, 3 * h)) +
           micro("tanh", tile(1), port(5)) + micro("mul", port(4), tile(0), tile(1)) + micro("copy", port(1), port(4));
}

// Weights that eight bits hold as they are: whole numbers to 127 of a unit, 127 among each column's first rows of a span.
void make_whole(std::vector<double>& weight, int64_t columns) {
    constexpr double most = 1.0 / 16;
    for (size_t i = 0; i < weight.size(); ++i)
        weight[i] = int64_t(i) / columns % 512 == 0 ? most : std::nearbyint(weight[i] * 127) / 127 * most;
}

template <class T>
void step_by_step(int64_t h, int64_t batch, double tolerance, int threads = 1,
                  echoic_weights weights = ECHOIC_WEIGHTS_AS_GIVEN) {
    Random random(uint64_t(h + batch));
    const lstm::Shape shape(h, std::vector<int64_t>(size_t(batch), 6), false, random);
    lstm::Numbers<double> expected(shape, random);
    for (auto* part : {&expected.h0, &expected.c0}) std::fill(part->begin(), part->end(), 0.0);
    if (weights == ECHOIC_WEIGHTS_INT8) make_whole(expected.weight, 4 * h), make_whole(expected.weight_in, 4 * h);
    lstm::run_plainly(shape, expected);
    lstm::Numbers<T> given(expected, shape);
    char message[256] = "";
    const Code code = session_code(h);
    echoic_plan* plan = echoic_plan_new(code.data(), code.size(), nullptr, 0, sizeof(T) == 8, message, sizeof message);
    const void* vectors[] = {given.bias.data()};
    const echoic_matrix matrices[] = {{given.weight.data(), 4 * h, 1, nullptr}, {given.weight_in.data(), 4 * h, 1, nullptr}};
    echoic_session* session = echoic_session_new(plan, batch, threads, weights, vectors, 1, matrices, 2, message, sizeof message);
    if (!CHECK(session != nullptr)) return (void)std::fprintf(stderr, "%s\n", message);
    echoic_plan_free(plan);                                  // what it needs it has copied
    std::fill(given.weight.begin(), given.weight.end(), T(0));
    std::fill(given.weight_in.begin(), given.weight_in.end(), T(0));
    std::fill(given.bias.begin(), given.bias.end(), T(0));
    std::vector<T> output(size_t(batch * h));
    for (int round : {0, 1}) {
        for (size_t s = 0; s < 2; ++s) {  // begin anew
            T* state = static_cast<T*>(echoic_session_state(session, s));
            std::fill(state, state + batch * h, T(0));
        }
        for (int64_t t = 0; t < 6; ++t) {
            const long before = allocations;
            echoic_session_step(session, given.x.data() + t * batch * lstm::inputs(h), output.data());
            CHECK(round == 0 || allocations == before);
            const std::vector<double> due(expected.h.begin() + t * batch * h, expected.h.begin() + (t + 1) * batch * h);
            CHECK(lstm::apart(output, due) < tolerance);
            const T* cell = static_cast<const T*>(echoic_session_state(session, 1));
            const std::vector<T> held(cell, cell + batch * h);
            const std::vector<double> kept(expected.c.begin() + t * batch * h, expected.c.begin() + (t + 1) * batch * h);
            CHECK(lstm::apart(held, kept) < tolerance);
        }
    }
    CHECK(echoic_session_state(session, 2) == nullptr);
    CHECK(echoic_session_type(session) == (sizeof(T) == 8 ? ECHOIC_FLOAT64 : ECHOIC_FLOAT32));
    CHECK(echoic_session_width(session, 0) == lstm::inputs(h) && echoic_session_width(session, 5) == h);
    CHECK(echoic_session_width(session, 6) == 0);  // a scratch port is nobody's business
    echoic_session_free(session);
}

void refusals() {
    char message[256] = "";
    const Code code = session_code(3);
    const std::vector<float> numbers(200);
    echoic_plan* plan = echoic_plan_new(code.data(), code.size(), nullptr, 0, 0, message, sizeof message);
    const void *vectors[] = {numbers.data()}, *no_vectors[] = {nullptr};
    const echoic_matrix given{numbers.data(), 12, 1, nullptr}, matrices[] = {given, given},
                        no_matrices[] = {given, {nullptr, 12, 1, nullptr}};
    auto refused = [&](int64_t batch, const void* const* v, size_t vs, const echoic_matrix* m, size_t ms) {
        message[0] = 0;
        echoic_session* session = echoic_session_new(plan, batch, 1, ECHOIC_WEIGHTS_AS_GIVEN, v, vs, m, ms, message, sizeof message);
        echoic_session_free(session);
        return session == nullptr && message[0] != 0;
    };
    CHECK(!refused(1, vectors, 1, matrices, 2));
    echoic_plan* wide = echoic_plan_new(code.data(), code.size(), nullptr, 0, 1, message, sizeof message);
    CHECK(echoic_session_new(wide, 1, 1, ECHOIC_WEIGHTS_INT8, vectors, 1, matrices, 2, message, sizeof message) == nullptr);
    echoic_plan_free(wide);
    CHECK(refused(0, vectors, 1, matrices, 2));
    CHECK(refused(-1, vectors, 1, matrices, 2));
    CHECK(refused(1, vectors, 0, matrices, 2));
    CHECK(refused(1, vectors, 1, matrices, 0));
    CHECK(refused(1, no_vectors, 1, matrices, 2));
    CHECK(refused(1, vectors, 1, no_matrices, 2));
    echoic_plan_free(plan);
    const Code ahead = session_code(3, 0);  // of a stage that is for many steps at once
    plan = echoic_plan_new(ahead.data(), ahead.size(), nullptr, 0, 0, message, sizeof message);
    CHECK(plan != nullptr && refused(1, vectors, 1, matrices, 2));
    echoic_plan_free(plan);
    for (const Code& odd : {Code{1, 1, 4, 0, 0, 0, 0, 0}, Code{3, 3, 4, 4, 4, 0, 0, 0, 0, 0}, Code{4, 4, 4, 4, 4, 5, 0, 0, 0, 0, 0},
                            Code{2, 2, 4, 4, 0, 0, 1, 4, 0, 0}}) {
        plan = echoic_plan_new(odd.data(), odd.size(), nullptr, 0, 0, message, sizeof message);
        CHECK(plan != nullptr && refused(1, nullptr, 0, nullptr, 0));
        echoic_plan_free(plan);
    }
}

// Whether columns of a second matmul may be computed before the first has all of its own.
bool abreast(int64_t phase, const Code& first, const Code& second) {
    const Code code = Code{5, 1, 8, 16, 16, 16, 16, 0, 2, 8, 8, 8, 8, 0, 0, 2} +  //
                      Code{2, 1, 0, 1} + first + Code{-1} + Code{2, phase, 1, 1} + second + Code{-1};
    return echoic::decode(code.data(), code.size(), nullptr, 0, 0).stages[0].abreast == 2;
}

void which_are_abreast() {
    const Code nothing{0, 0, 0}, given = port(0), first = given + port(1) + port(2);
    CHECK(abreast(1, first, given + port(3) + nothing));
    CHECK(abreast(1, first, given + port(3) + port(1)));           // adds to it
    CHECK(abreast(1, first, given + port(1) + port(1)));           // in place
    CHECK(abreast(1, first, given + port(2) + nothing));           // writes what was read at the same columns
    CHECK(!abreast(2, first, given + port(3) + nothing));          // later
    CHECK(!abreast(1, first, port(1) + port(3) + nothing));        // reads it all
    CHECK(!abreast(1, first, port(1, 8) + port(3) + nothing));     // or a part: not told apart
    CHECK(!abreast(1, first, given + port(3) + port(1, 8)));       // other columns
    CHECK(!abreast(1, first, given + port(1, 4) + nothing));
    CHECK(!abreast(1, first, given + port(2, 4) + nothing));
    CHECK(!abreast(1, port(3) + port(1) + nothing, given + port(3) + nothing));  // writes what the first reads
    CHECK(!abreast(1, given + port(0) + nothing, given + port(3) + nothing));    // perhaps in another port's memory
}

}  // namespace

void test_session() {
    refusals();
    which_are_abreast();
    by_every_instruction_set([] {
        step_by_step<float>(263, 1, 1e-5, 3);  // columns shared
        step_by_step<float>(263, 1, 1e-5, 40);  // with more threads than can come in time
        step_by_step<double>(263, 9, 1e-13, 2);  // rows shared
        step_by_step<float>(263, 1, 1e-5);  // matrices abreast, as they are more than the second cache holds
        step_by_step<double>(263, 3, 1e-13, 2);
        step_by_step<double>(263, 5, 1e-13);
        step_by_step<float>(263, 1, 1e-3, 1, ECHOIC_WEIGHTS_INT8);
        step_by_step<float>(520, 1, 1e-3, 3, ECHOIC_WEIGHTS_INT8);
        step_by_step<float>(67, 9, 1e-3, 2, ECHOIC_WEIGHTS_INT8);
        for (int64_t h : {1, 7, 67})
            for (int64_t batch : {1, 2, 9}) {
                step_by_step<float>(h, batch, 1e-5);
                step_by_step<double>(h, batch, 1e-13);
            }
    });
}
