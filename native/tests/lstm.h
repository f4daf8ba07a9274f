// An LSTM written by hand: as codes for the engine, forward and backward, and as plain loops over one row at a time.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "../engine/engine.h"
#include "check.h"

namespace lstm {

inline int64_t op(const char* name) { return echoic_opcode(name); }
inline Code port(int64_t index, int64_t column = 0) { return {1, index, column}; }
inline Code tile(int64_t index) { return {2, index, 0}; }
inline Code micro(const char* name, const Code& to, const Code& a, const Code& b = {0, 0, 0}, const Code& c = {0, 0, 0}) {
    return Code{op(name)} + to + a + b + c;
}

// Features of an input.
inline int64_t inputs(int64_t h) { return h + 2; }

// Ports: input [I], h and c before, h and c after, what is saved [5H]: i, f, g, o, tanh c; scratch for the gates and
// for the projected input, which is made ahead. The matrices: recurrent, of the input.
inline Code forward_code(int64_t h) {
    return Code{8, 6, inputs(h), h, h, h, h, 5 * h, 4 * h, 4 * h, 1, 4 * h, 2, h, 4 * h, inputs(h), 4 * h, 0, 0, 4} +  //
           Code{2, 0, 1, 1} + port(0) + port(7) + Code{0, 0, 0} + Code{0} +                                        //
           Code{2, 1, 0, 1} + port(1) + port(6) + port(7) + Code{-1} +                                             //
           Code{1, 1, h, 7} + micro("sigmoid", port(5, 0), port(6, 0)) + micro("sigmoid", port(5, h), port(6, h)) +
           micro("tanh", tile(0), port(6, 2 * h)) + micro("copy", port(5, 2 * h), tile(0)) +
           micro("mul", tile(1), port(5, h), port(2)) + micro("fma", port(4), port(5, 0), tile(0), tile(1)) +
           micro("sigmoid", port(5, 3 * h), port(6, 3 * h)) +  //
           Code{1, 1, h, 2} + micro("tanh", port(5, 4 * h), port(4)) +
           micro("mul", port(3), port(5, 3 * h), port(5, 4 * h));
}

// Ports: gradient of h as output [H], saved [5H], c before, gradients of h and c after, of the gates [4H], of h and c
// before, of the input [I], which is made behind. The matrices are the transposed ones. The total belongs to no
// parameter: what a peephole of the forget gate would be given before its sigmoid.
inline Code backward_code(int64_t h) {
    return Code{9, 9, h, 5 * h, h, h, h, 4 * h, h, h, inputs(h), 0, 2, 4 * h, h, 4 * h, inputs(h), 1, h, 0, 3} + Code{1, 1, h, 14} +
           micro("add", tile(0), port(3), port(0)) + micro("mul", tile(1), tile(0), port(1, 3 * h)) +
           micro("tanh_grad", tile(1), tile(1), port(1, 4 * h)) + micro("add", tile(1), tile(1), port(4)) +
           micro("mul", tile(2), tile(0), port(1, 4 * h)) +
           micro("sigmoid_grad", port(5, 3 * h), tile(2), port(1, 3 * h)) +
           micro("mul", tile(2), tile(1), port(1, 2 * h)) + micro("sigmoid_grad", port(5, 0), tile(2), port(1, 0)) +
           micro("mul", tile(2), tile(1), port(2)) + micro("sigmoid_grad", port(5, h), tile(2), port(1, h)) +
           micro("fma", Code{5, 0, 0}, port(5, h), port(2), Code{5, 0, 0}) +
           micro("mul", tile(2), tile(1), port(1, 0)) + micro("tanh_grad", port(5, 2 * h), tile(2), port(1, 2 * h)) +
           micro("mul", port(7), tile(1), port(1, h)) + Code{2, 1, 0, 1} + port(5) + port(6) + Code{0, 0, 0} + Code{-1} +
           Code{2, 2, 1, 1} + port(5) + port(8) + Code{0, 0, 0} + Code{-1};
}

// Rows of unequal lengths, longest first, and where each step's rows lie.
struct Shape {
    int64_t h, batch, rows = 0;
    std::vector<int64_t> lengths, offsets, active;
    std::vector<uint8_t> cleared;  // empty without resets

    // With the last step first in memory where all rows are equally long, if asked.
    Shape(int64_t h, std::vector<int64_t> lengths_, bool resets, Random& random, bool descending = false)
        : h(h), batch(int64_t(lengths_.size())), lengths(std::move(lengths_)) {
        for (int64_t s = 0; s < lengths[0]; ++s) {
            int64_t count = 0;
            while (count < batch && lengths[size_t(count)] > s) ++count;
            offsets.push_back(rows);
            active.push_back(count);
            rows += count;
        }
        if (descending && lengths.front() == lengths.back()) std::reverse(offsets.begin(), offsets.end());
        for (int64_t r = 0; resets && r < rows; ++r) cleared.push_back(random.below(4) == 0);
    }
    size_t at(int64_t step, int64_t row) const { return size_t(offsets[size_t(step)] + row); }
    bool clears(int64_t step, int64_t row) const { return !cleared.empty() && cleared[at(step, row)]; }
};

// What goes in, and what comes out of forward and backward. Outputs begin as NaN.
template <class T>
struct Numbers {
    std::vector<T> x, weight_in, weight, bias, h0, c0, fresh_h, fresh_c, pull, pull_h, pull_c;
    std::vector<T> h, c, saved, last_h, last_c;
    std::vector<T> gates, grad_x, grad_weight, grad_weight_in, grad_bias, grad_cells, grad_peephole, grad_h0, grad_c0, grad_fresh_h, grad_fresh_c;

    template <class Other>
    explicit Numbers(const Numbers<Other>& from, const Shape& shape) { take(from), clear(shape); }
    Numbers(const Shape& s, Random& random) {
        const int64_t h = s.h;
        for (auto [to, count] : {std::pair{&x, s.rows * inputs(h)}, {&weight_in, inputs(h) * 4 * h}, {&weight, h * 4 * h}, {&bias, 4 * h},
                                 {&h0, s.batch * h}, {&c0, s.batch * h}, {&fresh_h, s.batch * h},
                                 {&fresh_c, s.batch * h}, {&pull, s.rows * h}, {&pull_h, s.batch * h},
                                 {&pull_c, s.batch * h}})
            *to = random.numbers<T>(count);
        clear(s);
    }

    void clear(const Shape& s) {
        const T nan = std::numeric_limits<T>::quiet_NaN();
        auto fill = [&](std::vector<T>& to, int64_t count, T value) { to.assign(size_t(count), value); };
        for (auto* to : {&h, &c}) fill(*to, s.rows * s.h, nan);
        fill(saved, s.rows * 5 * s.h, nan), fill(gates, s.rows * 4 * s.h, nan);
        fill(grad_x, s.rows * inputs(s.h), nan);
        fill(grad_weight, 4 * s.h * s.h, nan), fill(grad_weight_in, 4 * s.h * inputs(s.h), nan);
        fill(grad_bias, 4 * s.h, nan), fill(grad_cells, s.h * s.h, nan), fill(grad_peephole, s.h, nan);
        last_h = h0, last_c = c0;            // rows of no step keep their state
        grad_h0 = pull_h, grad_c0 = pull_c;  // and hand their gradient through
        for (auto* to : {&grad_fresh_h, &grad_fresh_c}) fill(*to, s.batch * s.h, 0);
    }

   private:
    template <class Other>
    void take(const Numbers<Other>& from) {
        auto copy = [](const std::vector<Other>& a, std::vector<T>& b) { b.assign(a.begin(), a.end()); };
        copy(from.x, x), copy(from.weight_in, weight_in), copy(from.weight, weight), copy(from.bias, bias), copy(from.h0, h0);
        copy(from.c0, c0), copy(from.fresh_h, fresh_h), copy(from.fresh_c, fresh_c), copy(from.pull, pull);
        copy(from.pull_h, pull_h), copy(from.pull_c, pull_c);
    }
};

// The same without the engine, one row after the other.
inline void run_plainly(const Shape& s, Numbers<double>& n) {
    const int64_t h = s.h, d = inputs(h);
    for (auto* sum : {&n.grad_weight, &n.grad_weight_in, &n.grad_bias, &n.grad_cells, &n.grad_peephole}) std::fill(sum->begin(), sum->end(), 0.0);
    auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    for (int64_t row = 0; row < s.batch; ++row) {
        std::vector<double> hidden(n.h0.begin() + row * h, n.h0.begin() + (row + 1) * h);
        std::vector<double> cell(n.c0.begin() + row * h, n.c0.begin() + (row + 1) * h);
        std::vector<std::vector<double>> cells;
        const int64_t length = s.lengths[size_t(row)];
        for (int64_t step = 0; step < length; ++step) {
            if (s.clears(step, row))
                for (int64_t i = 0; i < h; ++i) {
                    hidden[size_t(i)] = n.fresh_h[size_t(row * h + i)];
                    cell[size_t(i)] = n.fresh_c[size_t(row * h + i)];
                }
            cells.push_back(cell);
            const size_t at = s.at(step, row);
            std::vector<double> gates(size_t(4 * h));
            for (int64_t j = 0; j < 4 * h; ++j) {
                double sum = n.bias[size_t(j)];
                for (int64_t i = 0; i < d; ++i) sum += n.x[at * size_t(d) + size_t(i)] * n.weight_in[size_t(i * 4 * h + j)];
                for (int64_t i = 0; i < h; ++i) sum += hidden[size_t(i)] * n.weight[size_t(i * 4 * h + j)];
                gates[size_t(j)] = j / h == 2 ? std::tanh(sum) : sigmoid(sum);
            }
            for (int64_t i = 0; i < h; ++i) {
                auto gate = [&](int64_t k) { return gates[size_t(k * h + i)]; };
                const size_t u = size_t(i), out = at * size_t(h) + u;
                cell[u] = gate(1) * cell[u] + gate(0) * gate(2);
                hidden[u] = gate(3) * std::tanh(cell[u]);
                n.h[out] = hidden[u], n.c[out] = cell[u];
                for (int64_t k = 0; k < 4; ++k) n.saved[at * size_t(5 * h) + size_t(k * h + i)] = gate(k);
                n.saved[at * size_t(5 * h) + size_t(4 * h + i)] = std::tanh(cell[u]);
            }
        }
        std::vector<double> dh(n.pull_h.begin() + row * h, n.pull_h.begin() + (row + 1) * h);
        std::vector<double> dc(n.pull_c.begin() + row * h, n.pull_c.begin() + (row + 1) * h);
        for (int64_t i = 0; i < h; ++i) n.last_h[size_t(row * h + i)] = hidden[size_t(i)];
        for (int64_t i = 0; i < h; ++i) n.last_c[size_t(row * h + i)] = cell[size_t(i)];
        for (int64_t step = length - 1; step >= 0; --step) {
            const size_t at = s.at(step, row);
            double* gates = &n.gates[at * size_t(4 * h)];
            for (int64_t i = 0; i < h; ++i) {
                const double* saved = &n.saved[at * size_t(5 * h)];
                const double in = saved[i], keep = saved[h + i], g = saved[2 * h + i], o = saved[3 * h + i];
                const double t = saved[4 * h + i], total = dh[size_t(i)] + n.pull[at * size_t(h) + size_t(i)];
                const double inner = dc[size_t(i)] + total * o * (1 - t * t);
                gates[i] = inner * g * in * (1 - in);
                gates[h + i] = inner * cells[size_t(step)][size_t(i)] * keep * (1 - keep);
                gates[2 * h + i] = inner * in * (1 - g * g);
                gates[3 * h + i] = total * t * o * (1 - o);
                dc[size_t(i)] = inner * keep;
            }
            const bool cleared = s.clears(step, row);
            const double* before = cleared ? &n.fresh_h[size_t(row * h)]
                                   : step == 0 ? &n.h0[size_t(row * h)]
                                               : &n.h[s.at(step - 1, row) * size_t(h)];
            for (int64_t j = 0; j < 4 * h; ++j) {
                n.grad_bias[size_t(j)] += gates[j];
                for (int64_t i = 0; i < h; ++i) n.grad_weight[size_t(j * h + i)] += gates[j] * before[i];
                for (int64_t i = 0; i < d; ++i) n.grad_weight_in[size_t(j * d + i)] += gates[j] * n.x[at * size_t(d) + size_t(i)];
            }
            for (int64_t j = 0; j < h; ++j)  // of no parameter: a sum of other operands
                for (int64_t i = 0; i < h; ++i)
                    n.grad_cells[size_t(j * h + i)] += n.pull[at * size_t(h) + size_t(j)] * cells[size_t(step)][size_t(i)];
            for (int64_t i = 0; i < h; ++i) n.grad_peephole[size_t(i)] += gates[h + i] * cells[size_t(step)][size_t(i)];
            for (int64_t i = 0; i < d; ++i) {
                double& sum = n.grad_x[at * size_t(d) + size_t(i)] = 0;
                for (int64_t j = 0; j < 4 * h; ++j) sum += gates[j] * n.weight_in[size_t(i * 4 * h + j)];
            }
            for (int64_t i = 0; i < h; ++i) {
                dh[size_t(i)] = 0;
                for (int64_t j = 0; j < 4 * h; ++j) dh[size_t(i)] += gates[j] * n.weight[size_t(i * 4 * h + j)];
            }
            if (s.clears(step, row))
                for (int64_t i = 0; i < h; ++i) {
                    n.grad_fresh_h[size_t(row * h + i)] += dh[size_t(i)];
                    n.grad_fresh_c[size_t(row * h + i)] += dc[size_t(i)];
                    dh[size_t(i)] = dc[size_t(i)] = 0;
                }
        }
        for (int64_t i = 0; i < h; ++i) n.grad_h0[size_t(row * h + i)] = dh[size_t(i)];
        for (int64_t i = 0; i < h; ++i) n.grad_c0[size_t(row * h + i)] = dc[size_t(i)];
    }
}

// The plans of both directions for one type of numbers.
struct Plans {
    echoic_plan *forward, *backward;

    Plans(int64_t h, int type) {
        char message[256] = "";
        const Code there = forward_code(h), back = backward_code(h);
        forward = echoic_plan_new(there.data(), there.size(), nullptr, 0, type, message, sizeof message);
        backward = echoic_plan_new(back.data(), back.size(), nullptr, 0, type, message, sizeof message);
        if (!CHECK(forward != nullptr && backward != nullptr)) std::fprintf(stderr, "%s\n", message);
    }
    Plans(const Plans&) = delete;
    ~Plans() { echoic_plan_free(forward), echoic_plan_free(backward); }
};

// Forward by the engine: the run with the arrays that describe it.
template <class T>
struct Forward {
    echoic_state states[2];
    echoic_port ports[6];
    const void* vectors[1];
    echoic_matrix matrices[2];
    echoic_run run{};

    Forward(const Shape& s, Numbers<T>& n, int threads)
        : states{{s.h, n.h0.data(), n.fresh_h.data(), n.h.data(), s.h, n.last_h.data()},
                 {s.h, n.c0.data(), n.fresh_c.data(), n.c.data(), s.h, n.last_c.data()}},
          ports{{ECHOIC_PACKED, 0, n.x.data(), inputs(s.h)}, {ECHOIC_ENTERING, 0, nullptr, 0},
                {ECHOIC_ENTERING, 1, nullptr, 0},            {ECHOIC_LEAVING, 0, nullptr, 0},
                {ECHOIC_LEAVING, 1, nullptr, 0},             {ECHOIC_PACKED, 0, n.saved.data(), 5 * s.h}},
          vectors{n.bias.data()},
          matrices{{n.weight.data(), 4 * s.h, 1, nullptr}, {n.weight_in.data(), 4 * s.h, 1, nullptr}} {
        run.steps = int64_t(s.offsets.size()), run.batch = s.batch, run.rows = s.rows, run.threads = threads;
        run.offsets = s.offsets.data(), run.active = s.active.data();
        run.cleared = s.cleared.empty() ? nullptr : s.cleared.data();
        run.ports = ports, run.port_count = 6, run.states = states, run.state_count = 2;
        run.vectors = vectors, run.vector_count = 1, run.matrices = matrices, run.matrix_count = 2;
    }
    Forward(const Forward&) = delete;
};

// Backward, after it.
template <class T>
struct Backward {
    Forward<T> forward;
    echoic_gradient gradients[2];
    echoic_port ports[9];
    echoic_sum sums[3];
    void* totals[1];
    echoic_run run;

    Backward(const Shape& s, Numbers<T>& n, int threads)
        : forward(s, n, threads),
          gradients{{s.h, n.pull_h.data(), n.grad_h0.data(), n.grad_fresh_h.data()},
                    {s.h, n.pull_c.data(), n.grad_c0.data(), n.grad_fresh_c.data()}},
          ports{{ECHOIC_PACKED, 0, n.pull.data(), s.h},      {ECHOIC_PACKED, 0, n.saved.data(), 5 * s.h},
                {ECHOIC_ENTERING, 1, nullptr, 0},            {ECHOIC_GRADIENT_IN, 0, nullptr, 0},
                {ECHOIC_GRADIENT_IN, 1, nullptr, 0},         {ECHOIC_PACKED, 0, n.gates.data(), 4 * s.h},
                {ECHOIC_GRADIENT_OUT, 0, nullptr, 0},        {ECHOIC_GRADIENT_OUT, 1, nullptr, 0},
                {ECHOIC_PACKED, 0, n.grad_x.data(), inputs(s.h)}},
          sums{{n.gates.data(), 4 * s.h, nullptr, s.h, 0, n.grad_weight.data(), n.grad_bias.data(), 1},
               {n.gates.data(), 4 * s.h, n.x.data(), inputs(s.h), -1, n.grad_weight_in.data(), nullptr, 1},
               {n.pull.data(), s.h, nullptr, s.h, 1, n.grad_cells.data(), nullptr, 1}},
          totals{n.grad_peephole.data()},
          run(forward.run) {
        for (echoic_matrix& matrix : forward.matrices) std::swap(matrix.row_stride, matrix.column_stride);
        run.backward = 1, run.ports = ports, run.port_count = 9, run.vector_count = 0;
        run.gradients = gradients, run.gradient_count = 2, run.sums = sums, run.sum_count = 3;
        run.totals = totals, run.total_count = 1;
    }
    Backward(const Backward&) = delete;
};

inline void execute(const std::vector<const echoic_plan*>& plans, const std::vector<echoic_run>& runs, int threads) {
    char message[256] = "";
    if (!CHECK(echoic_execute(plans.data(), runs.data(), runs.size(), threads, message, sizeof message)))
        std::fprintf(stderr, "%s\n", message);
}

// Both directions by the engine.
template <class T>
void run_by_engine(const Plans& plans, const Shape& s, Numbers<T>& n, int threads, bool backward = true) {
    Forward<T> there(s, n, threads);
    if (!backward) there.states[0].kept = there.states[1].kept = nullptr;  // then only the last ones are held
    execute({plans.forward}, {there.run}, threads);
    if (!backward) return;
    const Backward<T> back(s, n, threads);
    execute({plans.backward}, {back.run}, threads);
}

// By how much two results differ at most, relative to 1; infinite where a number is missing.
template <class A, class B>
double apart(const std::vector<A>& a, const std::vector<B>& b) {
    if (a.size() != b.size()) return INFINITY;
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        const double off = std::abs(double(a[i]) - double(b[i])) / (1 + std::abs(double(b[i])));
        if (!(off <= worst)) worst = std::isnan(off) ? INFINITY : off;
    }
    return worst;
}

template <class A, class B>
double apart(const Numbers<A>& a, const Numbers<B>& b) {
    double worst = 0;
    for (double off : {apart(a.h, b.h), apart(a.c, b.c), apart(a.saved, b.saved), apart(a.last_h, b.last_h),
                       apart(a.last_c, b.last_c), apart(a.gates, b.gates), apart(a.grad_x, b.grad_x),
                       apart(a.grad_weight, b.grad_weight), apart(a.grad_weight_in, b.grad_weight_in),
                       apart(a.grad_bias, b.grad_bias), apart(a.grad_cells, b.grad_cells),
                       apart(a.grad_peephole, b.grad_peephole), apart(a.grad_h0, b.grad_h0),
                       apart(a.grad_c0, b.grad_c0), apart(a.grad_fresh_h, b.grad_fresh_h),
                       apart(a.grad_fresh_c, b.grad_fresh_c)})
        worst = std::max(worst, off);
    return worst;
}

}  // namespace lstm
