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

template <class T>
const Kernels<T>& kernels() {  // of the one in use
    if constexpr (sizeof(T) == sizeof(float))
        return *instruction_set().float32;
    else
        return *instruction_set().float64;
}

// Of the one in use, those that a plan is for. Raises std::invalid_argument where it has none.
template <class T>
const Kernels<T>& kernels_for(const Plan& plan) {
    if constexpr (sizeof(T) == sizeof(float)) {
        if (plan.type == ECHOIC_BFLOAT16) {
            const auto found = instruction_set().bfloat16;
            if (found == nullptr) throw std::invalid_argument("plan: the instruction set in use has no bfloat16 products");
            return *found();
        }
    }
    return kernels<T>();
}

// Panels that so many columns are packed in.
template <class T>
int64_t panels(const Kernels<T>& kernels, int64_t columns) {
    return (columns + kernels.panel - 1) / kernels.panel;
}

}  // namespace echoic
