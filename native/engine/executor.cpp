#include "executor.h"

#include <atomic>
#include <stdexcept>

#include "dispatch.h"
#include "sums.h"
#include "team.h"
#include "worker.h"

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
        require(gradient.width >= 1 && gradient.initial != nullptr, "a gradient has no memory");
        require(run.cleared == nullptr || gradient.fresh != nullptr, "a gradient has no fresh value");
    }
    for (size_t p = 0; p < run.port_count; ++p) check_port(plan, run, p);
    for (Phase phase : {Phase::ahead, Phase::behind})
        for (size_t p : plan.phase(phase).touched)
            require(run.ports[p].role == ECHOIC_PACKED, "a stage outside the recurrence touches a state");
    require(run.sum_count == 0 || run.backward, "sums belong to a backward run");
    for (size_t s = 0; s < run.sum_count; ++s) {
        const echoic_sum& sum = run.sums[s];
        require(sum.left_width >= 1 && (sum.left != nullptr || run.rows == 0), "a sum has no memory");
        if (sum.outer == nullptr || sum.right != nullptr) {
            require(sum.outer == nullptr || sum.right_width >= 1, "a sum has no memory");
            continue;
        }
        require(sum.state >= 0 && size_t(sum.state) < run.state_count, "a sum names a state that is not there");
        require(run.states[sum.state].width == sum.right_width, "a sum is wider or narrower than its state");
        require(run.states[sum.state].kept != nullptr, "a sum needs a state that was not kept");
    }
    for (size_t v = 0; v < run.vector_count; ++v) require(run.vectors[v] != nullptr, "a vector has no memory");
    for (size_t m = 0; m < run.matrix_count; ++m)
        require(run.matrices[m].data != nullptr || run.matrices[m].packed != nullptr, "a matrix has no memory");
}

template <class T>
const Kernels<T>& kernels();
template <>
const Kernels<float>& kernels<float>() {
    return *instruction_set().float32;
}
template <>
const Kernels<double>& kernels<double>() {
    return *instruction_set().float64;
}

// What the threads of a run share.
template <class T>
struct Shared {
    const Plan& plan;
    const echoic_run& run;
    const Kernels<T>& table;
    std::vector<const void*> packed;
    std::vector<T*> room;  // where each matrix is packed, or null
    int parts = 1;
    Meeting* meeting = nullptr;  // where columns are split, not rows
    char* carried = nullptr;

    void pack(int part) {
        for (size_t m = 0; m < room.size(); ++m) {
            if (room[m] == nullptr) continue;
            const int64_t k = plan.matrix_rows[m], n = plan.matrix_columns[m];
            const int64_t panels = (n + table.panel - 1) / table.panel;
            const int64_t begin = panels * part / run.threads * table.panel;
            const int64_t end = std::min(n, panels * (part + 1) / run.threads * table.panel);
            const echoic_matrix& from = run.matrices[m];
            if (begin < end)
                table.pack(static_cast<const T*>(from.data) + begin * from.column_stride, from.row_stride,
                           from.column_stride, k, end - begin, room[m] + begin * k);
        }
    }

    void sum(int part) {
        static thread_local Arena arena;
        Sums<T>(run, table, arena).work(part, run.threads);
    }

    void work(int part) {
        static thread_local Arena arena;
        if (meeting != nullptr)
            Worker<T>(plan, run, table, packed.data(), meeting, carried, arena).work();
        else
            Worker<T>(plan, run, table, packed.data(), Ranks{part, parts}, arena).work();
    }
};

// Whether threads share the columns of every row rather than the rows. They meet after every stage, which only large
// weights are worth. With rows enough for all threads it was measured to be no faster, whatever the cache.
bool splits_columns(const echoic_run& run, size_t weight_bytes) {
    constexpr size_t kWorthMeeting = 384 << 10;
    return run.threads > 1 && run.batch < 2 * run.threads && weight_bytes >= kWorthMeeting;
}

// Calls in which threads are not to wait for each other, since other work held them up.
std::atomic<int> apart{0};
constexpr int kCallsApart = 64;

template <class T>
void execute_as(const Plan& plan, const echoic_run& run) {
    static thread_local Arena packing, carrying;
    Shared<T> shared{plan, run, kernels<T>(), {}, {}};
    size_t bytes = 0, weight_bytes = 0;  // to pack; read in every step
    for (size_t m = 0; m < run.matrix_count; ++m)
        if (run.matrices[m].packed == nullptr) bytes += packed_bytes(plan, m);
    for (const Stage& stage : plan.stages)
        if (stage.kind == Stage::matmul && stage.phase == Phase::within)
            weight_bytes += packed_bytes(plan, size_t(stage.matrix));
    char* memory = bytes ? packing.at_least(bytes) : nullptr;
    for (size_t m = 0; m < run.matrix_count; ++m) {
        shared.packed.push_back(run.matrices[m].packed);
        shared.room.push_back(nullptr);
        if (run.matrices[m].packed != nullptr) continue;
        shared.packed[m] = shared.room[m] = reinterpret_cast<T*>(memory);
        memory += packed_bytes(plan, m);
    }
    constexpr size_t kWorthSharing = 1 << 18;
    auto pack = [](void* context, int part) { static_cast<Shared<T>*>(context)->pack(part); };
    if (bytes > kWorthSharing)
        run_together(run.threads, pack, &shared);
    else if (bytes > 0)
        for (int part = 0; part < run.threads; ++part) shared.pack(part);
    const bool by_columns = splits_columns(run, weight_bytes) && (apart <= 0 || apart-- <= 0);
    shared.parts = by_columns ? run.threads : int(std::min(int64_t(run.threads), run.batch));
    Meeting meeting(shared.parts);
    if (by_columns) {
        shared.meeting = &meeting;
        shared.carried = carrying.at_least(Worker<T>::carried_bytes(plan, run, Ranks{}));
    }
    auto work = [](void* context, int part) { static_cast<Shared<T>*>(context)->work(part); };
    run_together(shared.parts, work, &shared);
    if (meeting.broken()) apart = kCallsApart;
    auto sum = [](void* context, int part) { static_cast<Shared<T>*>(context)->sum(part); };
    if (run.sum_count > 0) run_together(run.threads, sum, &shared);
}

template <class T>
size_t packed_numbers(const Plan& plan, size_t matrix) {
    const int64_t panel = kernels<T>().panel;
    const int64_t panels = (plan.matrix_columns[matrix] + panel - 1) / panel;
    return size_t(panels * panel * plan.matrix_rows[matrix]);
}

}  // namespace

size_t packed_bytes(const Plan& plan, size_t matrix) {
    const size_t bytes = plan.type == ECHOIC_FLOAT32 ? packed_numbers<float>(plan, matrix) * sizeof(float)
                                                     : packed_numbers<double>(plan, matrix) * sizeof(double);
    return (bytes + 63) / 64 * 64;
}

void pack_matrix(const Plan& plan, size_t matrix, const echoic_matrix& from, void* packed) {
    const int64_t k = plan.matrix_rows[matrix], n = plan.matrix_columns[matrix];
    if (plan.type == ECHOIC_FLOAT32)
        kernels<float>().pack(static_cast<const float*>(from.data), from.row_stride, from.column_stride, k, n,
                              static_cast<float*>(packed));
    else
        kernels<double>().pack(static_cast<const double*>(from.data), from.row_stride, from.column_stride, k, n,
                               static_cast<double*>(packed));
}

void execute(const Plan& plan, const echoic_run& run) {
    check(plan, run);
    if (run.steps == 0 || run.batch == 0) return;
    if (plan.type == ECHOIC_FLOAT32)
        execute_as<float>(plan, run);
    else
        execute_as<double>(plan, run);
}

}  // namespace echoic
