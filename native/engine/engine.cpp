#include "engine.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>

#include "dispatch.h"
#include "executor.h"
#include "plan.h"
#include "session.h"
#include "team.h"

struct echoic_plan {
    echoic::Plan plan;
};

struct echoic_session {
    std::unique_ptr<echoic::Session> session;
};

namespace {

void say(char* message, size_t size, const char* what) {
    if (message != nullptr && size > 0) std::snprintf(message, size, "%s", what);
}

constexpr const char* kNames[] = {
#define X(name, arity) #name,
    ECHOIC_POINTWISE(X)
#undef X
};

}  // namespace

extern "C" {

int echoic_opcode(const char* name) {
    for (int op = 0; op < echoic::op_count; ++op)
        if (std::strcmp(name, kNames[op]) == 0) return op;
    return -1;
}

const char* echoic_instruction_set(void) { return echoic::instruction_set().name; }
int echoic_instruction_set_count(void) { return int(echoic::instruction_sets().size()); }
const char* echoic_instruction_set_name(int index) {
    const auto& sets = echoic::instruction_sets();
    return index >= 0 && size_t(index) < sets.size() ? sets[size_t(index)].name : nullptr;
}

int echoic_has_bfloat16(void) { return echoic::instruction_set().of_parts != nullptr; }

int echoic_choose_instruction_set(const char* name, char* message, size_t size) {
    if (echoic::choose_instruction_set(name)) return 1;
    say(message, size, "this processor or this build has no such instruction set");
    return 0;
}

void echoic_use_openmp(void* gomp_parallel) { echoic::use_openmp(gomp_parallel); }

echoic_plan* echoic_plan_new(const int64_t* code, size_t count, const double* constants, size_t constant_count, int type,
                             char* message, size_t size) {
    try {
        auto plan = std::make_unique<echoic_plan>(echoic_plan{echoic::decode(code, count, constants, constant_count, type)});
        echoic::kernels_for<float>(plan->plan);  // there are some
        return plan.release();
    } catch (const std::exception& error) {
        say(message, size, error.what());
        return nullptr;
    }
}

void echoic_plan_free(echoic_plan* plan) { delete plan; }

size_t echoic_packed_bytes(const echoic_plan* plan, size_t matrix) {
    try {
        return matrix < plan->plan.matrix_rows.size() ? echoic::packed_bytes(plan->plan, matrix) : 0;
    } catch (const std::exception&) {
        return 0;
    }
}

void echoic_pack(const echoic_plan* plan, size_t matrix, const echoic_matrix* from, void* packed) {
    if (matrix < plan->plan.matrix_rows.size()) echoic::pack_matrix(plan->plan, matrix, *from, packed);
}

int echoic_execute(const echoic_plan* const* plans, const echoic_run* runs, size_t count, int threads, char* message,
                   size_t size) {
    try {
        std::vector<echoic::Run> list;
        for (size_t i = 0; i < count; ++i) list.push_back({&plans[i]->plan, &runs[i]});
        echoic::execute(list, threads);
        return 1;
    } catch (const std::exception& error) {
        say(message, size, error.what());
        return 0;
    }
}

echoic_session* echoic_session_new(const echoic_plan* plan, int64_t batch, int threads, echoic_weights weights,
                                   const void* const* vectors, size_t vector_count, const echoic_matrix* matrices,
                                   size_t matrix_count, char* message, size_t size) {
    try {
        // round brackets: in braces a pair of pointers would be a list of two
        const std::vector<const void*> vector_list(vectors, vectors + vector_count);
        const std::vector<echoic_matrix> matrix_list(matrices, matrices + matrix_count);
        return new echoic_session{echoic::make_session(plan->plan, batch, threads, weights, vector_list, matrix_list)};
    } catch (const std::exception& error) {
        say(message, size, error.what());
        return nullptr;
    }
}

void echoic_session_free(echoic_session* session) { delete session; }
void echoic_session_step(echoic_session* session, const void* input, void* output) {
    session->session->step(input, output);
}

void* echoic_session_state(echoic_session* session, size_t index) {
    try {
        return session->session->state(index);
    } catch (const std::exception&) {
        return nullptr;
    }
}

int echoic_session_type(const echoic_session* session) { return session->session->plan().type; }

int64_t echoic_session_width(const echoic_session* session, size_t port) {
    const echoic::Plan& plan = session->session->plan();
    return port < size_t(plan.outside) ? plan.ports[port] : 0;
}
}
