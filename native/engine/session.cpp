#include "session.h"

#include <algorithm>
#include <stdexcept>

#include "dispatch.h"
#include "executor.h"
#include "team.h"
#include "worker.h"

namespace echoic {
namespace {

// For which a second thread is not worth its waking.
constexpr int64_t kWorthAThread = 1 << 20;  // bytes of weights, for each row
// A step is short: other threads are there at once, or not needed.
constexpr std::chrono::microseconds kPatience{20};

template <class T>
class SessionOf final : public Session {
   public:
    SessionOf(const Plan& plan, int64_t batch, int threads, bool int8, const std::vector<const void*>& vectors,
              const std::vector<echoic_matrix>& matrices)
        : plan_(plan), kernels_(kernels_for<T>(plan)), active_(batch), count_(size_t(plan.outside - 2) / 2) {
        if (int8) kernels_.matmul = kernels_.matmul_int8;
        if (!plan.totals.empty()) throw std::invalid_argument("session: its plan sums over all steps");
        for (size_t v = 0; v < plan.vectors.size(); ++v) {
            const T* from = static_cast<const T*>(vectors[v]);
            held_vectors_.emplace_back(from, from + plan.vectors[v]);
            vectors_.push_back(held_vectors_.back().data());
        }
        int64_t weight_bytes = 0;
        for (size_t m = 0; m < plan.matrix_rows.size(); ++m) {
            const int64_t k = plan.matrix_rows[m], n = plan.matrix_columns[m];
            const echoic_matrix& from = matrices[m];
            const size_t bytes = int8 ? kernels_.int8_bytes(k, n) : packed_bytes(plan, m);
            weight_bytes += int64_t(bytes);
            char* packed = packed_.emplace_back().at_least(bytes);
            if (int8)
                kernels_.pack_int8(static_cast<const T*>(from.data), from.row_stride, from.column_stride, k, n, packed);
            else
                pack_matrix(plan, m, from, packed);
            packed_matrices_.push_back({packed, &kernels_, bytes});
        }
        for (size_t s = 0; s < count_; ++s) {
            const int64_t width = plan.ports[2 + s];
            if (plan.ports[2 + count_ + s] != width) throw std::invalid_argument("session: a state changes its width");
            for (auto& side : values_) side.emplace_back(size_t(batch * width), T(0));
            states_.push_back({width, nullptr, nullptr, nullptr, width, nullptr});
        }
        // Each step says where input and output lie; workers are told that it is never one place, nor a state's
        ports_.push_back({ECHOIC_PACKED, 0, &offset_, plan.ports[0]});
        ports_.push_back({ECHOIC_PACKED, 0, &active_, plan.ports[1]});
        held_input_.resize(size_t(batch * plan.ports[0]));
        for (int32_t role : {ECHOIC_ENTERING, ECHOIC_LEAVING})
            for (size_t s = 0; s < count_; ++s) ports_.push_back({role, int32_t(s), nullptr, 0});
        run_ = {};
        run_.steps = 1, run_.batch = batch, run_.rows = batch;
        run_.offsets = &offset_, run_.active = &active_;
        run_.threads = 1;
        run_.ports = ports_.data(), run_.port_count = ports_.size();
        run_.states = states_.data(), run_.state_count = states_.size();
        run_.vectors = vectors_.data(), run_.vector_count = vectors_.size();
        by_columns_ = batch < 2 * threads;
        threads_ = (by_columns_ ? weight_bytes : weight_bytes * batch / threads) < kWorthAThread ? 1 : threads;
        arenas_.resize(size_t(threads_));
        workers_.reserve(size_t(threads_));
        char* carried = by_columns_ ? carried_.at_least(Worker<T>::carried_bytes(plan_, run_, Ranks{})) : nullptr;
        for (int i = 0; i < threads_; ++i) {
            Arena& arena = arenas_[size_t(i)];
            const Matrices<T> matrices{kernels_, packed_matrices_.data(), packed_matrices_.data(), 0};
            if (threads_ > 1 && by_columns_)
                workers_.emplace_back(plan_, run_, matrices, nullptr, carried, arena);
            else
                workers_.emplace_back(plan_, run_, matrices, ranks_of(run_, i, threads_), arena);
        }
    }

    void step(const void* input, void* output) override {
        ports_[0].data = const_cast<void*>(writes_over(input, output) ? held(input) : input);
        ports_[1].data = output;
        for (size_t s = 0; s < count_; ++s) {
            states_[s].initial = values_[now_][s].data();
            states_[s].kept = values_[1 - now_][s].data();
        }
        if (threads_ == 1)
            workers_[0].work();
        else if (alone_ > 0)
            work_alone();
        else
            work_together();
        now_ = 1 - now_;
    }

    void* state(size_t index) override {
        if (index >= count_) throw std::invalid_argument("session: there is no such state");
        return values_[now_][index].data();
    }

    const Plan& plan() const override { return plan_; }

   private:
    // Whether a step would write where its input lies: threads do not wait for each other to have read it.
    bool writes_over(const void* input, const void* output) const {
        const auto begin = reinterpret_cast<uintptr_t>(input), end = begin + held_input_.size() * sizeof(T);
        auto overlaps = [&](const void* written, size_t count) {
            const auto at = reinterpret_cast<uintptr_t>(written);
            return at < end && begin < at + count * sizeof(T);
        };
        if (overlaps(output, size_t(run_.batch * plan_.ports[1]))) return true;
        const auto& next = values_[1 - now_];
        return std::any_of(next.begin(), next.end(), [&](const auto& state) { return overlaps(state.data(), state.size()); });
    }

    const void* held(const void* input) {
        std::copy_n(static_cast<const T*>(input), held_input_.size(), held_input_.data());
        return held_input_.data();
    }

    // A thread that did not come, or lost its turn, holds up the whole step until it has run. It may have slept: now it is
    // awake, and asked again at once. If it fails to come twice in a row it is asked again after some steps, and each time
    // that it does after twice as many.
    void work_alone() {
        --alone_;
        Meeting meeting(1);
        workers_[0].work(&meeting);
    }

    void work_together() {
        struct Shared {
            SessionOf* session;
            Meeting meeting;
        } shared{this, Meeting(threads_, kPatience)};
        auto work = [](void* context, int i) {
            auto& [session, meeting] = *static_cast<Shared*>(context);
            session->workers_[size_t(i)].work(session->by_columns_ ? &meeting : nullptr);
        };
        run_together(threads_, threads_, work, &shared);
        if (!by_columns_) return;
        const bool missed = shared.meeting.members() < threads_;
        missed_ = missed ? missed_ + 1 : 0;
        if (!missed) next_alone_ = kFirstAlone;
        if (missed_ < 2) return;
        missed_ = 0;
        alone_ = next_alone_;
        next_alone_ = std::min(2 * next_alone_, kMostAlone);
    }

    const Plan plan_;
    Kernels<T> kernels_;
    static constexpr int kFirstAlone = 16, kMostAlone = 4096;
    bool by_columns_ = false;  // what threads share
    int alone_ = 0, next_alone_ = kFirstAlone;  // steps that the first thread makes alone, and would next time
    int missed_ = 0;  // steps in a row at which another did not come
    int threads_ = 1;
    int64_t offset_ = 0, active_;
    size_t count_, now_ = 0;
    std::vector<std::vector<T>> held_vectors_, values_[2];
    std::vector<T> held_input_;
    std::vector<const void*> vectors_;
    std::vector<Packed<T>> packed_matrices_;
    std::vector<Arena> packed_;
    std::vector<echoic_port> ports_;
    std::vector<echoic_state> states_;
    echoic_run run_;
    Arena carried_;
    std::vector<Arena> arenas_;
    std::vector<Worker<T>> workers_;
};

}  // namespace

std::unique_ptr<Session> make_session(const Plan& plan, int64_t batch, int threads, echoic_weights weights,
                                      const std::vector<const void*>& vectors,
                                      const std::vector<echoic_matrix>& matrices) {
    if (vectors.size() != plan.vectors.size() || matrices.size() != plan.matrix_rows.size())
        throw std::invalid_argument("session: other parameters than the plan's");
    for (const void* vector : vectors)
        if (vector == nullptr) throw std::invalid_argument("session: a vector has no memory");
    for (const echoic_matrix& matrix : matrices)
        if (matrix.data == nullptr) throw std::invalid_argument("session: a matrix has no memory");
    if (batch < 1) throw std::invalid_argument("session: expected at least one sequence");
    if (threads < 1 || threads > kMostThreads) throw std::invalid_argument("session: expected 1 to 1024 threads");
    const PhaseOf& within = plan.phase(Phase::within);
    if (within.first > 0 || within.last < plan.stages.size())
        throw std::invalid_argument("session: a step has nothing ahead of it or behind it");
    if (plan.outside < 2 || plan.outside % 2 != 0)
        throw std::invalid_argument("session: the plan has no input, output and states in pairs");
    const bool int8 = weights == ECHOIC_WEIGHTS_INT8;
    if (plan.type != ECHOIC_FLOAT64)
        return std::make_unique<SessionOf<float>>(plan, batch, threads, int8, vectors, matrices);
    if (int8) throw std::invalid_argument("session: weights of eight bits are for steps in float32");
    return std::make_unique<SessionOf<double>>(plan, batch, threads, int8, vectors, matrices);
}

}  // namespace echoic
