// The engine without Python: run under the sanitizers by `make sanitize`.
#include <chrono>
#include <cstdlib>
#include <string>

#include "../engine/engine.h"
#include "check.h"

// Too much memory asked for is refused as the system refuses it.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

// All tests, or those named; a test that does not itself go through all instruction sets runs by the one in use.
int main(int count, char** arguments) {
    const std::pair<const char*, void (*)()> tests[] = {
        {"kernels", kForRaces ? nullptr : test_kernels}, {"recurrence", test_recurrence}, {"threads", test_threads},
        {"malformed", test_malformed}, {"session", test_session}};
    const std::string used = echoic_instruction_set();
    std::printf("instruction sets here:");
    for (int i = 0; i < echoic_instruction_set_count(); ++i) std::printf(" %s", echoic_instruction_set_name(i));
    std::printf("; in use: %s\n", used.c_str());
    if (const char* asked = std::getenv("ECHOIC_ISA"); asked && *asked && asked != used) {
        std::fprintf(stderr, "ECHOIC_ISA asks for %s, which is not here\n", asked);
        return 2;
    }
    int ran = 0;
    for (const auto& [name, test] : tests) {
        bool wanted = count < 2;
        for (int i = 1; i < count; ++i) wanted |= std::string(name) == arguments[i];
        if (!wanted) continue;
        ++ran;
        if (test == nullptr) {
            std::printf("%s: one thread, no races\n", name);
            continue;
        }
        char message[64];
        CHECK(echoic_choose_instruction_set(used.c_str(), message, sizeof message));
        const auto begin = std::chrono::steady_clock::now();
        const int before = failures();
        test();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        std::printf("%s: %s (%.1f s)\n", name, failures() == before ? "holds" : "FAILS", took.count());
        std::fflush(stdout);
    }
    if (count > 1 && ran != count - 1) std::fprintf(stderr, "no such test, or one named twice\n");
    return failures() != 0 || (count > 1 && ran != count - 1);
}
