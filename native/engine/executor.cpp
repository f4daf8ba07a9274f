#include "executor.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>

#include "checks.h"
#include "dispatch.h"
#include "sums.h"
#include "team.h"
#include "weights.h"
#include "worker.h"

namespace echoic {
namespace {

// One run among those executed together, in rounds of so many parts each.
class Execution {
   public:
    explicit Execution(int parts) : parts_(parts) {}
    virtual ~Execution() = default;
    int parts() const { return parts_; }
    int working_parts() const { return working_; }
    virtual size_t bytes_to_pack() const = 0;
    virtual void pack(int part) = 0;
    virtual void work(int part) = 0;
    virtual void sum(int part) = 0;
    virtual bool sums_in_ranges() const = 0;
    virtual void add_ranges(int part) = 0;

   protected:
    const int parts_;
    int working_ = 1;  // of the round of work: there may be fewer rows, or nobody to share them
};

// Whether threads share the columns of every row rather than the rows. They meet after every stage, which pays where
// there are too few rows for all threads, or few for weights that no core keeps: each reads its own part alone. With
// more rows it was measured to be no faster, whatever the cache.
// early: tiles take few rows of a step, but are not much faster with a thread's share of them.
bool splits_columns(const echoic_run& run, size_t weight_bytes, bool of_digits, bool early) {
    constexpr size_t kWorthMeeting = 128 << 10, kWorthTiles = 1 << 20, kMoreThanCoresKeep = 2 << 20;
    const int64_t few = of_digits ? 11 : 16;  // digits take three bytes of a weight, and are fast from few rows on
    if (run.threads == 1) return false;
    return (weight_bytes >= kWorthMeeting && run.batch < 2 * run.threads) ||
           (early && weight_bytes >= kWorthTiles && run.batch <= 5 * run.threads) ||
           (weight_bytes >= kMoreThanCoresKeep && run.batch <= few * run.threads);
}

// Calls in which threads are not to wait for each other, since other work held them up.
std::atomic<int> apart{0};
constexpr int kCallsApart = 16;
bool held_up() { return apart > 0 && apart-- > 0; }

template <class T>
class ExecutionOf final : public Execution {
   public:
    // Memory for packed weights, and for what threads share.
    struct Memory {
        Arena packed, carried, ranges;
    };

    ExecutionOf(const Plan& plan, const echoic_run& run, Memory& memory)
        : Execution(run.threads), plan_(plan), run_(run), weights_(plan, run), ranges_(run), totals_(plan, run.threads) {
        const Kernels<T>& kernels = kernels_for<T>(plan);
        size_t weight_bytes = 0, other_bytes = 0;  // read in every step, or for many of them
        for (const Stage& stage : plan.stages) {
            size_t& bytes = stage.phase == Phase::within ? weight_bytes : other_bytes;
            if (stage.kind == Stage::matmul) bytes += packed_bytes(kernels, plan, size_t(stage.matrix));
        }
        // Then threads do not meet in a step at all
        if (weight_bytes == 0 && units_of(plan, run, kernels.panel) > 0) weight_bytes = other_bytes;
        const bool shared = splits_columns(run, weight_bytes, makes_digits(plan), weights_.takes_few_rows()), alone = shared && held_up();
        weights_.make_room(memory.packed);
        ranges_.make_room(memory.ranges);
        meeting_.emplace(alone ? 1 : run.threads);
        // Totals do not change with what else the machine does: one thread has all columns where others would have rows
        by_columns_ = shared && (!alone || !plan.totals.empty());
        working_ = by_columns_ ? (alone ? 1 : parts_) : int(std::min(int64_t(parts_), run.batch));
        if (by_columns_) carried_ = memory.carried.at_least(Worker<T>::carried_bytes(plan, run, Ranks{}));
    }
    ~ExecutionOf() override {
        if (meeting_->broken()) apart = kCallsApart;
    }

    size_t bytes_to_pack() const override { return weights_.bytes(); }
    void pack(int part) override { weights_.pack(part, parts_); }

    void work(int part) override {
        static thread_local Arena arena;
        if (by_columns_)
            work(Worker<T>(plan_, run_, weights_.taken(), &*meeting_, carried_, arena), 0);
        else
            work(Worker<T>(plan_, run_, weights_.taken(), ranks_of(run_, part, working_), arena), part);
    }

    void sum(int part) override {
        static thread_local Arena arena;
        Sums<T>(run_, ranges_, kernels_for_sums<T>(plan_, run_.rows), arena).work(part, parts_);
        if (part == 0) totals_.write(plan_, run_.totals);
    }

    bool sums_in_ranges() const override { return ranges_.several(); }
    void add_ranges(int part) override { ranges_.add_up(part, parts_); }

   private:
    void work(Worker<T>&& worker, int part) {
        worker.add_to(totals_, part);
        worker.work();
    }

    const Plan& plan_;
    const echoic_run& run_;
    Weights<T> weights_;
    bool by_columns_ = false;
    SumRanges<T> ranges_;
    Totals<T> totals_;
    std::optional<Meeting> meeting_;
    char* carried_ = nullptr;
};

template <class T>
std::unique_ptr<Execution> begin(const Plan& plan, const echoic_run& run, size_t position) {
    static thread_local std::deque<typename ExecutionOf<T>::Memory> memory;
    while (memory.size() <= position) memory.emplace_back();
    return std::make_unique<ExecutionOf<T>>(plan, run, memory[position]);
}

// A round: every part of every execution.
class Round {
   public:
    using What = void (Execution::*)(int part);
    using Parts = int (Execution::*)() const;

    Round(const std::vector<std::unique_ptr<Execution>>& executions, What what, Parts parts = &Execution::parts)
        : what_(what) {
        for (const auto& execution : executions)
            for (int part = 0; part < (*execution.*parts)(); ++part) tasks_.push_back({execution.get(), part});
    }
    void run(int threads) {
        auto task = [](void* round, int i) {
            const auto& [what, tasks] = *static_cast<Round*>(round);
            (tasks[size_t(i)].execution->*what)(tasks[size_t(i)].part);
        };
        run_together(int(tasks_.size()), threads, task, this);
    }

   private:
    struct Task {
        Execution* execution;
        int part;
    };
    What what_;
    std::vector<Task> tasks_;
};

}  // namespace

size_t packed_bytes(const Plan& plan, size_t matrix) {
    return plan.type == ECHOIC_FLOAT64 ? packed_bytes(kernels<double>(), plan, matrix)
                                       : packed_bytes(kernels_for<float>(plan), plan, matrix);
}

void pack_matrix(const Plan& plan, size_t matrix, const echoic_matrix& from, void* packed) {
    const int64_t k = plan.matrix_rows[matrix], n = plan.matrix_columns[matrix];
    if (plan.type == ECHOIC_FLOAT64)
        kernels<double>().pack(static_cast<const double*>(from.data), from.row_stride, from.column_stride, k, n, 0, n,
                               static_cast<double*>(packed));
    else
        kernels_for<float>(plan).pack(static_cast<const float*>(from.data), from.row_stride, from.column_stride, k, n, 0, n,
                                      static_cast<float*>(packed));
}

void execute(const std::vector<Run>& runs, int threads) {
    // What other threads are worth waking for: bytes to pack, products to sum up
    constexpr size_t kWorthPacking = 1 << 18;
    constexpr double kWorthSumming = 1 << 22;
    for (const auto& [plan, run] : runs) check(*plan, *run);
    if (threads < 1 || threads > kMostThreads) throw std::invalid_argument("run: expected 1 to 1024 threads");
    std::vector<std::unique_ptr<Execution>> executions;
    size_t bytes = 0;
    bool sums = false, in_ranges = false;
    double products = 0;
    for (const auto& [plan, run] : runs) {
        if (run->steps == 0 || run->batch == 0) continue;
        executions.push_back(plan->type == ECHOIC_FLOAT64 ? begin<double>(*plan, *run, executions.size())
                                                          : begin<float>(*plan, *run, executions.size()));
        bytes += executions.back()->bytes_to_pack();
        in_ranges = in_ranges || executions.back()->sums_in_ranges();
        sums = sums || run->sum_count + run->total_count > 0;
        for (size_t i = 0; i < run->sum_count; ++i)
            products += double(run->rows) * double(run->sums[i].groups) * double(run->sums[i].left_width) *
                        double(run->sums[i].right_width);
    }
    if (executions.empty()) return;
    if (bytes > 0) Round(executions, &Execution::pack).run(bytes > kWorthPacking ? threads : 1);
    Round(executions, &Execution::work, &Execution::working_parts).run(threads);
    if (sums) Round(executions, &Execution::sum).run(products > kWorthSumming ? threads : 1);
    if (in_ranges) Round(executions, &Execution::add_ranges).run(products > kWorthSumming ? threads : 1);
}

}  // namespace echoic
