#include "team.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace echoic {
namespace {

struct Job {
    void (*task)(void*, int);
    void* context;
    int count, threads;
    std::atomic<int> seats{threads - 1};  // for others than the caller
    std::atomic<int> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error{};  // the first, which no thread but the caller's may raise

    void work() noexcept {
        for (int i = next.fetch_add(1); i < count; i = next.fetch_add(1)) try {
                task(context, i);
            } catch (...) {
                if (!failed.exchange(true)) error = std::current_exception();
            }
    }
    static void enter(void* job) { static_cast<Job*>(job)->work(); }
    void help() noexcept {
        if (seats.fetch_sub(1) > 0) work();
    }
};

using Gomp = void (*)(void (*)(void*), void*, unsigned, unsigned);
std::atomic<Gomp> openmp{nullptr};

// Threads of our own, which sleep between calls. One call at a time; another caller works alone meanwhile.
class Pool {
   public:
    ~Pool() {
        {
            std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (auto& thread : threads_) thread.join();
    }

    void run(Job& job) {
        std::unique_lock turn(turn_, std::try_to_lock);
        if (!turn.owns_lock()) return job.work();
        {
            std::lock_guard lock(mutex_);
            while (int(threads_.size()) < job.threads - 1) threads_.emplace_back([this] { serve(); });
            job_ = &job;
            ++number_;
            busy_ = int(threads_.size());
        }
        wake_.notify_all();
        job.work();
        std::unique_lock lock(mutex_);
        idle_.wait(lock, [this] { return busy_ == 0; });
        job_ = nullptr;
    }

   private:
    void serve() {
        unsigned seen = 0;
        {
            std::lock_guard lock(mutex_);
            seen = number_ - (job_ != nullptr ? 1 : 0);  // a thread made for a job takes part in it
        }
        for (;;) {
            Job* job;
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return stop_ || number_ != seen; });
                if (stop_) return;
                seen = number_;
                job = job_;
            }
            if (job != nullptr) job->help();
            std::lock_guard lock(mutex_);
            if (--busy_ == 0) idle_.notify_one();
        }
    }

    std::mutex turn_, mutex_;
    std::condition_variable wake_, idle_;
    std::vector<std::thread> threads_;
    Job* job_ = nullptr;
    unsigned number_ = 0;
    int busy_ = 0;
    bool stop_ = false;
};

}  // namespace

void use_openmp(void* gomp_parallel) { openmp = reinterpret_cast<Gomp>(gomp_parallel); }

void run_together(int count, int threads, void (*task)(void*, int), void* context) {
    Job job{task, context, count, std::min(count, threads)};
    if (job.threads <= 1) {
        job.work();
    } else if (const Gomp gomp = openmp) {
        gomp(Job::enter, &job, unsigned(job.threads), 0);
    } else {
        static Pool pool;
        pool.run(job);
    }
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace echoic
