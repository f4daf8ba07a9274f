#include "dispatch.h"

#include <atomic>
#include <cstdlib>

namespace echoic {

#define DECLARE(name) \
    const Kernels<float>* float_kernels_##name(); \
    const Kernels<double>* double_kernels_##name();
DECLARE(scalar)
#if defined(__x86_64__)
DECLARE(v2) DECLARE(v3) DECLARE(v4)
#elif defined(__aarch64__)
DECLARE(neon)
#endif
#undef DECLARE

namespace {

bool always() { return true; }
#if defined(__x86_64__)
bool has_v2() { return __builtin_cpu_supports("x86-64-v2"); }
bool has_v3() { return __builtin_cpu_supports("x86-64-v3"); }
bool has_v4() { return __builtin_cpu_supports("x86-64-v4"); }
#endif

std::vector<InstructionSet> available() {
    const InstructionSet all[] = {
#if defined(__x86_64__)
        {"avx512", has_v4, float_kernels_v4(), double_kernels_v4()},
        {"avx2", has_v3, float_kernels_v3(), double_kernels_v3()},
        {"sse4", has_v2, float_kernels_v2(), double_kernels_v2()},
#elif defined(__aarch64__)
        {"neon", always, float_kernels_neon(), double_kernels_neon()},
#endif
        {"scalar", always, float_kernels_scalar(), double_kernels_scalar()},
    };
    std::vector<InstructionSet> found;
    for (const InstructionSet& set : all)
        if (set.available()) found.push_back(set);
    return found;
}

std::atomic<const InstructionSet*> chosen{nullptr};

}  // namespace

const std::vector<InstructionSet>& instruction_sets() {
    static const std::vector<InstructionSet> sets = available();
    return sets;
}

bool choose_instruction_set(const std::string& name) {
    for (const InstructionSet& set : instruction_sets())
        if (name.empty() || name == set.name) {
            chosen = &set;
            return true;
        }
    return false;
}

const InstructionSet& instruction_set() {
    if (const InstructionSet* set = chosen) return *set;
    const char* asked = std::getenv("ECHOIC_ISA");
    if (asked == nullptr || !choose_instruction_set(asked)) choose_instruction_set("");
    return *chosen;
}

}  // namespace echoic
