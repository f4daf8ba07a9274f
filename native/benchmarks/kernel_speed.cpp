// How fast the kernels in use are, each alone in a loop on one core with what it needs in its caches:  make kernels
// Many short rounds of each. The fastest fiftieth, the median and the slowest sixth are far apart where another thread
// has the other half of the core for some tenths of a second at a time, and show what a kernel loses by that.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "../engine/dispatch.h"

namespace {

using namespace echoic;
using Clock = std::chrono::steady_clock;

struct Seconds {
    double fast, median, slow;
};

// Of one call among `calls`, which a round makes.
Seconds timed(const std::function<void()>& call, int calls) {
    constexpr auto kFor = std::chrono::milliseconds(300);
    std::vector<double> rounds;
    call();
    for (const auto end = Clock::now() + kFor; Clock::now() < end;) {
        const auto begin = Clock::now();
        for (int i = 0; i < calls; ++i) call();
        rounds.push_back(std::chrono::duration<double>(Clock::now() - begin).count() / calls);
    }
    std::sort(rounds.begin(), rounds.end());
    auto at = [&](double share) { return rounds[size_t(share * double(rounds.size() - 1))]; };
    return {at(0.02), at(0.5), at(0.85)};
}

// Numbers from -1 to 1, or room for some, at the beginning of a line of the cache, as in the engine.
struct Numbers {
    explicit Numbers(int64_t count) : of(static_cast<float*>(std::aligned_alloc(64, size_t(count + 15) / 16 * 64))) {
        for (int64_t i = 0; i < count; ++i) of[i] = float(i * 7919 % 2001 - 1000) / 1000;
    }
    Numbers(const Numbers&) = delete;
    Numbers& operator=(const Numbers&) = delete;
    ~Numbers() { std::free(of); }

    float* const of;
};

// [M, K] by packed weights [K, N], and the weights packed from a matrix whose columns lie contiguously. Results may be off by
// as much as `limit`.
void products(const char* name, const Kernels<float>& use, double limit, int64_t m, int64_t k, int64_t n) {
    const Numbers x(m * k), w(k * n), added(m * n), packed(panels(use, n) * use.panel * use.depth(k)), y(m * n);
    auto pack = [&] { use.pack(w.of, 1, k, k, n, 0, n, packed.of); };
    pack();
    const Product<float> product{x.of, k, packed.of, y.of, n, added.of, n, nullptr, m, k, n, 0, panels(use, n), nullptr, 0, false};
    use.matmul(product);
    for (int64_t at : {int64_t(0), m * n / 2, m * n - 1}) {
        double due = added.of[at];
        for (int64_t i = 0; i < k; ++i) due += double(x.of[at / n * k + i]) * w.of[at % n * k + i];
        if (std::abs(y.of[at] - due) > limit) {
            std::fprintf(stderr, "product of %d by %d by %d: found %g, expected %g\n", int(m), int(k), int(n),
                         double(y.of[at]), due);
            std::exit(1);
        }
    }
    const int calls = int(std::max(int64_t(1), 10'000'000 / (m * k * n)));
    const Seconds took = timed([&] { use.matmul(product); }, calls), packing = timed(pack, 1);
    const double flops = 2e-9 * double(m * k * n);
    std::printf("%s  %4d rows by %4d by %4d  %6.1f %6.1f %6.1f GFLOP/s, packing %7.1f us\n", name, int(m), int(k), int(n),
                flops / took.fast, flops / took.median, flops / took.slow, 1e6 * packing.median);
}

// An operation on a tile of rows of 128 numbers.
void operation(const char* name, Op op) {
    constexpr int64_t columns = 128, rows = kTile / columns;
    const Numbers a(kTile), b(kTile), c(kTile), y(kTile);
    const auto run = kernels<float>().pointwise[op];
    const Seconds took = timed(
        [&] { run(y.of, columns, a.of, columns, b.of, columns, c.of, columns, rows, columns); }, 500);
    const double scale = 1e9 * 8 / kTile;
    std::printf("%-13s  %6.2f %6.2f %6.2f ns for eight numbers\n", name, scale * took.fast, scale * took.median,
                scale * took.slow);
}

}  // namespace

int main() {
    std::printf("%s, float32, one core; the fastest fiftieth, the median, the slowest sixth\n", instruction_set().name);
    for (int64_t hidden : {64, 128, 256, 512})
        for (int64_t m : {1, 4, 8, 16, 32, 64, 400}) {
            const InstructionSet& set = instruction_set();
            products("float32", *set.float32, 1e-3, m, hidden, 4 * hidden);
            if (set.of_digits != nullptr) products("digits ", *set.of_digits(), 1e-3, m, hidden, 4 * hidden);
            for (int parts = 3; parts > 0 && set.of_parts != nullptr; --parts) {
                const char* name = parts == 3 ? "triples" : parts == 2 ? "pairs  " : "single ";
                products(name, *set.of_parts(parts), parts == 1 ? 0.2 : 1e-3, m, hidden, 4 * hidden);
            }
        }
    operation("exp", op_exp);
    operation("sigmoid", op_sigmoid);
    operation("tanh", op_tanh);
    operation("mul", op_mul);
    operation("fma", op_fma);
}
