// The instruction sets of this build, best first, and the one in use.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "../isa/kernels.h"
#include "engine.h"
#include "plan.h"

namespace echoic {

const std::vector<InstructionSet>& instruction_sets();  // those this processor has
const InstructionSet& instruction_set();                // in use: the best, ECHOIC_ISA, or the one chosen
bool choose_instruction_set(const std::string& name);   // "" for the best; false if there is none of that name

// Rows, at a time and in all, from which on products by tiles, of parts or digits of numbers, are faster, and pay for their packing.
constexpr int64_t kRowsForParts = 16, kRowsForPackingParts = 256;

// Numbers in a row from which on products of digits are faster than those of three parts.
constexpr int64_t kDepthForDigits = 128;

// Columns from which on it pays to take rows apart. With 64 the products alone are a little faster, whole calls are slower.
constexpr int64_t kColumnsForTiles = 128;

template <class T>
const Kernels<T>& kernels() {  // of the one in use
    if constexpr (sizeof(T) == sizeof(float))
        return *instruction_set().float32;
    else
        return *instruction_set().float64;
}

// Of the one in use, those for a plan and products of so many rows at a time and in all, of so many numbers each. Raises
// std::invalid_argument where it has none.
template <class T>
const Kernels<T>& kernels_for(const Plan& plan, int64_t rows = 1, int64_t all = 1, int64_t depth = 1, int64_t columns = kColumnsForTiles) {
    if constexpr (sizeof(T) == sizeof(float)) {
        const InstructionSet& set = instruction_set();
        const bool single = plan.type == ECHOIC_BFLOAT16, pairs = plan.type == ECHOIC_BFLOAT16_PAIRS;
        if ((single || pairs) && set.of_parts == nullptr)
            throw std::invalid_argument("plan: the instruction set in use has no bfloat16 products");
        if (single) return *set.of_parts(1);
        if (set.of_parts != nullptr && rows >= kRowsForParts && all >= kRowsForPackingParts) {
            if (pairs) return *set.of_parts(2);
            if (columns < kColumnsForTiles) return *set.float32;
            return depth >= kDepthForDigits ? *set.of_digits() : *set.of_parts(3);
        }
    }
    return kernels<T>();
}

// Whether large products of a plan are made of digits.
inline bool makes_digits(const Plan& plan) { return plan.type == ECHOIC_FLOAT32 && instruction_set().of_digits != nullptr; }

// Rows of a step from which on tiles take its matrices. Digits of many numbers are faster from fewer rows on: such weights come
// from afar, and digits are three quarters of them.
inline int64_t rows_for_tiles(const Plan& plan, int64_t depth) {
    constexpr int64_t kDepthForFewRows = 512;
    return makes_digits(plan) && depth >= kDepthForFewRows ? kRowsForParts / 2 : kRowsForParts;
}

// For sums over so many rows: the fastest, and those that take all numbers, of blocks and panels as large.
template <class T>
struct KernelsForSums {
    const Kernels<T>&best, &for_all;
};
template <class T>
KernelsForSums<T> kernels_for_sums(const Plan& plan, int64_t rows) {
    return {kernels_for<T>(plan, rows, rows, rows), kernels_for<T>(plan, rows, rows)};
}

// A matrix as products take it, or null where it is not packed.
template <class T>
struct Packed {
    const void* data = nullptr;
    const Kernels<T>* kernels = nullptr;  // by which it was packed
    size_t bytes = 0;
};

// All matrices of a plan as its products take them, and as those of a step of few rows do.
template <class T>
struct Matrices {
    const Kernels<T>& kernels;
    const Packed<T>*packed, *few;
    int64_t few_rows;  // steps of fewer rows take those of few
};

// Panels that so many columns are packed in.
template <class T>
int64_t panels(const Kernels<T>& kernels, int64_t columns) {
    return (columns + kernels.panel - 1) / kernels.panel;
}

}  // namespace echoic
