// Scratch memory of a thread, kept from call to call.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <new>

namespace echoic {

class Arena {
   public:
    Arena() = default;
    Arena(Arena&& other) noexcept : memory_(other.memory_), size_(other.size_) { other.memory_ = nullptr, other.size_ = 0; }
    Arena& operator=(Arena&&) = delete;
    ~Arena() { std::free(memory_); }

    // At least this many bytes, aligned to a cache line; what was there before is gone.
    char* at_least(size_t bytes) {
        if (bytes > size_) {
            std::free(memory_);
            size_ = 0;
            const size_t rounded = (bytes + 4095) / 4096 * 4096;
            memory_ = static_cast<char*>(std::aligned_alloc(64, rounded));
            if (memory_ == nullptr) throw std::bad_alloc();
            size_ = rounded;
        }
        return memory_;
    }

   private:
    char* memory_ = nullptr;
    size_t size_ = 0;
};

}  // namespace echoic
