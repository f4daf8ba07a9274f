// The engine without Python: run under the sanitizers by `make sanitize`.
#include <chrono>

#include "check.h"

// Too much memory asked for is refused as the system refuses it.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

int main() {
    const std::pair<const char*, void (*)()> tests[] = {
        {"recurrence", test_recurrence}, {"threads", test_threads}, {"malformed", test_malformed}, {"session", test_session}};
    for (const auto& [name, test] : tests) {
        const auto begin = std::chrono::steady_clock::now();
        const int before = failures();
        test();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        std::printf("%s: %s (%.1f s)\n", name, failures() == before ? "holds" : "FAILS", took.count());
    }
    return failures() != 0;
}
