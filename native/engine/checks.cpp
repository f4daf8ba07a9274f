#include "checks.h"

#include <stdexcept>
#include <string>

#include "executor.h"

namespace echoic {
namespace {

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(std::string("run: ") + what);
}

void check_port(const Plan& plan, const echoic_run& run, size_t p) {
    const echoic_port& port = run.ports[p];
    const int64_t width = plan.ports[p];
    if (port.role == ECHOIC_PACKED) {
        require(port.data != nullptr || run.rows == 0, "a port has no memory");
        require(port.stride >= width, "a port's rows are narrower than the plan's");
    } else if (port.role == ECHOIC_ENTERING || port.role == ECHOIC_LEAVING) {
        require(port.index >= 0 && size_t(port.index) < run.state_count, "a port names a state that is not there");
        require(run.states[port.index].width == width, "a state has another width than its port");
        require(!run.backward || run.states[port.index].kept != nullptr,
                "the backward reads a state that was not kept");
    } else {
        require(port.role == ECHOIC_GRADIENT_IN || port.role == ECHOIC_GRADIENT_OUT, "a port has an unknown role");
        require(run.backward && port.index >= 0 && size_t(port.index) < run.gradient_count,
                "a port names a gradient that is not there");
        require(run.gradients[port.index].width == width, "a gradient has another width than its port");
    }
}

}  // namespace

void check(const Plan& plan, const echoic_run& run) {
    require(run.steps >= 0 && run.batch >= 0 && run.rows >= 0 && run.threads >= 1, "a size is negative");
    require(run.threads <= kMostThreads, "too many threads");
    require(run.steps == 0 || (run.offsets != nullptr && run.active != nullptr), "the steps have no memory");
    require(run.port_count == size_t(plan.outside), "another number of ports than the plan's");
    require(run.vector_count == plan.vectors.size(), "another number of vectors than the plan's");
    require(run.matrix_count == plan.matrix_rows.size(), "another number of matrices than the plan's");
    int64_t most = run.batch;
    for (int64_t s = 0; s < run.steps; ++s) {
        require(run.active[s] >= 0 && run.active[s] <= most, "the rows of the steps grow");
        most = run.active[s];
        require(run.offsets[s] >= 0 && run.offsets[s] <= run.rows - run.active[s], "a step lies outside the rows");
    }
    for (size_t s = 0; s < run.state_count; ++s) {
        const echoic_state& state = run.states[s];
        require(state.width >= 1 && state.initial != nullptr, "a state has no first value");
        require(state.kept == nullptr || state.stride >= state.width, "a state's rows are too narrow");
        require(run.cleared == nullptr || state.fresh != nullptr, "a state has no fresh value");
    }
    for (size_t g = 0; g < run.gradient_count; ++g) {
        const echoic_gradient& gradient = run.gradients[g];
        require(gradient.width >= 1, "a gradient has no columns");
        require(run.cleared == nullptr || gradient.fresh != nullptr, "a gradient has no fresh value");
    }
    for (size_t p = 0; p < run.port_count; ++p) check_port(plan, run, p);
    for (Phase phase : {Phase::ahead, Phase::behind})
        for (size_t p : plan.phase(phase).touched)
            require(run.ports[p].role == ECHOIC_PACKED, "a stage outside the recurrence touches a state");
    require(run.sum_count == 0 || run.backward, "sums belong to a backward run");
    for (size_t s = 0; s < run.sum_count; ++s) {
        const echoic_sum& sum = run.sums[s];
        require(sum.groups >= 1, "a sum is over no groups");
        require(sum.left_width >= 1 && (sum.left != nullptr || run.rows == 0), "a sum has no memory");
        if (sum.outer == nullptr || sum.right != nullptr) {
            require(sum.outer == nullptr || sum.right_width >= 1, "a sum has no memory");
            continue;
        }
        require(sum.state >= 0 && size_t(sum.state) < run.state_count, "a sum names a state that is not there");
        require(run.states[sum.state].width == sum.groups * sum.right_width, "a sum is wider or narrower than its state");
        require(run.states[sum.state].kept != nullptr, "a sum needs a state that was not kept");
    }
    require(run.total_count == plan.totals.size(), "another number of totals than the plan's");
    for (size_t t = 0; t < run.total_count; ++t) require(run.totals[t] != nullptr, "a total has no memory");
    for (size_t v = 0; v < run.vector_count; ++v) require(run.vectors[v] != nullptr, "a vector has no memory");
    for (size_t m = 0; m < run.matrix_count; ++m)
        require(run.matrices[m].data != nullptr || run.matrices[m].packed != nullptr, "a matrix has no memory");
}

}  // namespace echoic
