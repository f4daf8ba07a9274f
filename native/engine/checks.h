// Whether a run fits its plan.
#pragma once
#include "engine.h"
#include "plan.h"

namespace echoic {

// Raises std::invalid_argument with a sentence; touches no memory but the numbers of the steps.
void check(const Plan& plan, const echoic_run& run);

}  // namespace echoic
