// A plan as the executor reads it. It is decoded from whole numbers and checked once: after that no operand of any
// stage can lie outside its memory.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "../isa/kernels.h"

namespace echoic {

// total: a vector that every row is added to. form: which columns are taken.
enum class Space : int64_t { none = 0, port = 1, tile = 2, vector = 3, constant = 4, total = 5, form = 6 };

struct Operand {
    Space space;
    int64_t index, offset;
};

struct Micro {
    int64_t op;
    Operand target, operands[3];
};

// When a stage is run: for many steps at once ahead of the recurrence or behind it, or within it, in every step.
enum class Phase : int64_t { ahead = 0, within = 1, behind = 2 };

struct Stage {
    enum Kind : int64_t { pointwise = 1, matmul = 2, reduce = 3 } kind;
    Phase phase = Phase::within;
    int64_t width = 0;          // columns of a pointwise stage or of what is reduced
    int64_t first = 0, count = 0;  // micros
    int64_t size = 0, inner = 0;   // of a reduction of [.., size, inner] columns to [.., inner]
    int64_t matrix = 0, bias = -1, reducing = 0;
    int64_t groups = 1;  // of columns, each of which is multiplied
    Operand source{}, target{}, added{}, other{};  // other: what is multiplied with in a reduction
    size_t abreast = 1;  // matmuls from this one on of which columns may be computed before the others' next ones
};

// The stages of one phase, and for those ahead or behind the ports from outside that they touch and that they write.
struct PhaseOf {
    size_t first = 0, last = 0;
    std::vector<size_t> touched, written;
};

struct Plan {
    int type = 0;
    std::vector<int64_t> ports;  // widths
    int64_t outside = 0;         // ports given by the caller; the others are scratch
    std::vector<int64_t> vectors;
    std::vector<int64_t> matrix_rows, matrix_columns;
    std::vector<int64_t> matrix_groups;  // that a row has for each, at most
    std::vector<int64_t> totals;  // widths
    std::vector<Form> forms;
    std::vector<double> constants;
    std::vector<Stage> stages;   // in the order of their phases
    PhaseOf phases[3];
    std::vector<size_t> wide;    // scratch ports that need room for many steps, in order
    std::vector<Micro> micros;
    int64_t tiles = 0;
    int64_t operations = 0;

    const PhaseOf& phase(Phase which) const { return phases[size_t(which)]; }
    bool is_wide(size_t port) const { return std::binary_search(wide.begin(), wide.end(), port); }
};

// Raises std::invalid_argument with a sentence.
Plan decode(const int64_t* code, size_t count, const double* constants, size_t constant_count, int type);

}  // namespace echoic
