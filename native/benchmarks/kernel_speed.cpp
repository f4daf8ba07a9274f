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
    constexpr auto kFor = std::chrono::milliseconds(600);
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

// Numbers from -1 to 1.
std::vector<float> numbers(int64_t count) {
    std::vector<float> found;
    for (int64_t i = 0; i < count; ++i) found.push_back(float(i * 7919 % 2001 - 1000) / 1000);
    return found;
}

// [M, K] by packed weights [K, N], and the weights packed from a matrix whose columns lie contiguously.
void products(int64_t m, int64_t k, int64_t n) {
    const Kernels<float>& use = kernels<float>();
    const std::vector<float> x = numbers(m * k), w = numbers(k * n), added = numbers(m * n);
    std::vector<float> packed(size_t(panels(use, n) * use.panel * k)), y(size_t(m * n));
    auto pack = [&] { use.pack(w.data(), 1, k, k, n, packed.data()); };
    pack();
    const Product<float> product{x.data(), k, packed.data(), y.data(), n, added.data(), n, nullptr,
                                 m, k, n, 0, panels(use, n), nullptr, 0};
    use.matmul(product);
    for (int64_t at : {int64_t(0), m * n / 2, m * n - 1}) {
        double due = added[size_t(at)];
        for (int64_t i = 0; i < k; ++i) due += double(x[size_t(at / n * k + i)]) * w[size_t(at % n * k + i)];
        if (std::abs(y[size_t(at)] - due) > 1e-3) {
            std::fprintf(stderr, "product of %d by %d by %d: found %g, expected %g\n", int(m), int(k), int(n),
                         double(y[size_t(at)]), due);
            std::exit(1);
        }
    }
    const int calls = int(std::max(int64_t(1), 10'000'000 / (m * k * n)));
    const Seconds took = timed([&] { use.matmul(product); }, calls), packing = timed(pack, 1);
    const double flops = 2e-9 * double(m * k * n);
    std::printf("product  %4d rows by %4d by %4d  %6.1f %6.1f %6.1f GFLOP/s, packing %7.1f us\n", int(m), int(k), int(n),
                flops / took.fast, flops / took.median, flops / took.slow, 1e6 * packing.median);
}

// An operation on a tile of rows of 128 numbers.
void operation(const char* name, Op op) {
    constexpr int64_t columns = 128, rows = kTile / columns;
    const std::vector<float> a = numbers(kTile), b = numbers(kTile), c = numbers(kTile);
    std::vector<float> y(kTile);
    const auto run = kernels<float>().pointwise[op];
    const Seconds took = timed(
        [&] { run(y.data(), columns, a.data(), columns, b.data(), columns, c.data(), columns, rows, columns); }, 500);
    const double scale = 1e9 * 8 / kTile;
    std::printf("%-13s  %6.2f %6.2f %6.2f ns for eight numbers\n", name, scale * took.fast, scale * took.median,
                scale * took.slow);
}

}  // namespace

int main() {
    std::printf("%s, float32, one core; the fastest fiftieth, the median, the slowest sixth\n", instruction_set().name);
    for (int64_t hidden : {64, 128, 256, 512})
        for (int64_t m : {1, 4, 6, 8, 32, 128}) products(m, hidden, 4 * hidden);
    operation("exp", op_exp);
    operation("sigmoid", op_sigmoid);
    operation("tanh", op_tanh);
    operation("mul", op_mul);
    operation("fma", op_fma);
}
