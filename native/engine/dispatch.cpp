#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#if defined(ECHOIC_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
const Kernels<float>* kernels_of_parts_amx(int parts);
const Kernels<float>* kernels_of_digits_amx();

namespace {

bool always() { return true; }
#if defined(__x86_64__)
bool has_v2() { return __builtin_cpu_supports("x86-64-v2"); }
bool has_v3() { return __builtin_cpu_supports("x86-64-v3"); }
bool has_v4() { return __builtin_cpu_supports("x86-64-v4"); }
#endif

#if defined(ECHOIC_AMX)
// The processor's own bits, as compilers know no name for all of them; and Linux gives the tiles to those who ask.
bool has_amx() {
    constexpr unsigned tiles = 1u << 24, of_bfloat16 = 1u << 22, of_int8 = 1u << 25, bfloat16 = 1u << 5;
    constexpr long ask = 0x1023, for_tiles = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned a, b, c, d;
    if (!has_v4() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tiles) == 0 || (d & of_bfloat16) == 0 || (d & of_int8) == 0) return false;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a & bfloat16) == 0) return false;
    return syscall(SYS_arch_prctl, ask, for_tiles) == 0;
}
#endif

std::vector<InstructionSet> available() {
    const InstructionSet all[] = {
#if defined(__x86_64__)
#if defined(ECHOIC_AMX)
        {"amx", has_amx, float_kernels_v4(), double_kernels_v4(), kernels_of_parts_amx, kernels_of_digits_amx},
#endif
        {"avx512", has_v4, float_kernels_v4(), double_kernels_v4(), nullptr, nullptr},
        {"avx2", has_v3, float_kernels_v3(), double_kernels_v3(), nullptr, nullptr},
        {"sse4", has_v2, float_kernels_v2(), double_kernels_v2(), nullptr, nullptr},
#elif defined(__aarch64__)
        {"neon", always, float_kernels_neon(), double_kernels_neon(), nullptr, nullptr},
#endif
        {"scalar", always, float_kernels_scalar(), double_kernels_scalar(), nullptr, nullptr},
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
