// Runs a plan over packed sequences.
#pragma once
#include "engine.h"
#include "plan.h"

namespace echoic {

constexpr int kMostThreads = 1024;

struct Run {
    const Plan* plan;
    const echoic_run* run;
};

// All runs side by side on so many threads. Raises std::invalid_argument with a sentence if a run does not fit its plan;
// touches no memory before.
void execute(const std::vector<Run>& runs, int threads);

size_t packed_bytes(const Plan& plan, size_t matrix);
void pack_matrix(const Plan& plan, size_t matrix, const echoic_matrix& from, void* packed);

}  // namespace echoic
