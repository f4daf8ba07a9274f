// Memory that is used again: fresh one would cost a page fault for every 4 KiB.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace echoic {

// Blocks that came back. No more lie idle than have been in use at once: a block that is lacking takes the place of
// those that have lain longest.
class Blocks {
   public:
    struct Block {
        struct Free {
            void operator()(void* data) const { std::free(data); }
        };
        std::unique_ptr<void, Free> data;
        size_t size = 0;
    };

    // least: bytes from which on memory is worth keeping. most: bytes that may lie idle.
    Blocks(size_t least, size_t most) : least_(std::max(least, size_t(1))), most_(most) {}

    // The smallest block that lies idle and is large enough, or a new one. Of several that are as large it is the one
    // that came back last: the caches may still have it.
    Block take(size_t bytes) {
        if (bytes < least_) return made(bytes);
        const size_t size = rounded(bytes);
        const std::lock_guard turn(turn_);
        Block found;
        if (const auto fitting = by_size_.lower_bound(size); fitting != by_size_.end()) {
            found = take_out(std::prev(by_size_.upper_bound(fitting->first)));
        } else {
            keep(peak_ > used_ + size ? peak_ - used_ - size : 0);
            found = made(size);
        }
        used_ += found.size;
        peak_ = std::max(peak_, used_);
        return found;
    }

    void give_back(Block block) {
        if (block.size < least_) return;
        const std::lock_guard turn(turn_);
        used_ -= block.size;
        idle_ += block.size;
        const auto place = by_age_.insert(by_age_.end(), Idle{std::move(block), {}});
        place->by_size = by_size_.emplace(place->block.size, place);
        keep(most_);
    }

    // Bytes that lie idle.
    size_t idle() const {
        const std::lock_guard turn(turn_);
        return idle_;
    }

   private:
    struct Idle;
    using ByAge = std::list<Idle>;
    using BySize = std::multimap<size_t, ByAge::iterator>;  // of those that are as large the last one is the youngest
    struct Idle {
        Block block;
        BySize::iterator by_size;
    };

    static Block made(size_t size) {
        constexpr size_t kLine = 64;
        void* data = std::aligned_alloc(kLine, (size + kLine) / kLine * kLine);  // some, where none is asked for
        if (data == nullptr) throw std::bad_alloc();
        return {std::unique_ptr<void, Block::Free>(data), size};
    }

    // To three binary digits, upwards: a batch with other lengths can use what another left.
    static size_t rounded(size_t size) {
        const int digits = std::bit_width(size);
        const size_t step = size_t(1) << std::max(digits - 3, 0);
        return (size + step - 1) / step * step;
    }

    Block take_out(BySize::iterator at) {
        Block block = std::move(at->second->block);
        by_age_.erase(at->second);
        by_size_.erase(at);
        idle_ -= block.size;
        return block;
    }

    // Gives the system what has lain longest, until no more than that lies idle.
    void keep(size_t most) {
        while (idle_ > most) take_out(by_age_.front().by_size);
    }

    const size_t least_, most_;
    mutable std::mutex turn_;
    size_t used_ = 0, peak_ = 0, idle_ = 0;
    ByAge by_age_;  // the one that came back last at the end
    BySize by_size_;
};

// A block that goes back where it came from.
class Buffer {
   public:
    Buffer(std::shared_ptr<Blocks> from, size_t size) : from_(std::move(from)), block_(from_->take(size)), size_(size) {}
    Buffer(Buffer&&) = default;
    ~Buffer() {
        if (from_ != nullptr) from_->give_back(std::move(block_));
    }

    void* data() const { return block_.data.get(); }
    size_t size() const { return size_; }

   private:
    std::shared_ptr<Blocks> from_;
    Blocks::Block block_;
    size_t size_;
};

}  // namespace echoic
