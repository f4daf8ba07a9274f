// Runs a plan over packed sequences.
#pragma once
#include "engine.h"
#include "plan.h"

namespace echoic {

constexpr int kMostThreads = 1024;

// Raises std::invalid_argument with a sentence if the run does not fit the plan; touches no memory before.
void execute(const Plan& plan, const echoic_run& run);

size_t packed_bytes(const Plan& plan, size_t matrix);
void pack_matrix(const Plan& plan, size_t matrix, const echoic_matrix& from, void* packed);

}  // namespace echoic
