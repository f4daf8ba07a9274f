// The instruction sets of this build, best first, and the one in use.
#pragma once
#include <string>
#include <vector>

#include "../isa/kernels.h"

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

// Panels that so many columns are packed in.
template <class T>
int64_t panels(const Kernels<T>& kernels, int64_t columns) {
    return (columns + kernels.panel - 1) / kernels.panel;
}

}  // namespace echoic
