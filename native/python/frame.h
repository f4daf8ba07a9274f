// A run laid out but for where its arrays lie: every call gives the addresses anew.
#pragma once
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "../engine/engine.h"

namespace echoic {

using Address = uintptr_t;

// Where something lies: the address of this number in a call's list; -1: nowhere; from -2 downwards: area 0 and so on.
using Place = int32_t;

// What engine.h describes by these names, with places for addresses.
using Port = std::tuple<int32_t, int32_t, Place, int64_t>;
using State = std::tuple<int64_t, Place, Place, Place, int64_t, Place>;
using Gradient = std::tuple<int64_t, Place, Place, Place>;
using Sum = std::tuple<Place, int64_t, Place, int64_t, int32_t, Place, Place, int64_t>;
using Matrix = std::tuple<Place, int64_t, int64_t, Place>;

// A piece of the memory at a place: rows of this width, after the other pieces there.
using Area = std::tuple<Place, int64_t>;

using Sizes = std::tuple<int64_t, int64_t, int64_t>;  // steps, rows of the batch, rows in all

struct Frame {
    const echoic_plan* plan;
    size_t number_size;  // bytes of a number
    bool backward;
    std::vector<Port> ports;
    std::vector<State> states;
    std::vector<Gradient> gradients;
    std::vector<Place> vectors;
    std::vector<Matrix> matrices;
    std::vector<Sum> sums;
    std::vector<Place> totals;
    std::vector<Area> areas;
};

constexpr size_t kOffsets = 0, kActive = 1, kCleared = 2;  // the first three of a call's addresses

// A run of a frame with the arrays that describe it.
class Arguments {
   public:
    Arguments(const Frame& frame, const Sizes& sizes, int threads, std::vector<Address> addresses)
        : addresses_(std::move(addresses)) {
        std::tie(run_.steps, run_.batch, run_.rows) = sizes;
        if (run_.rows < 0) throw std::invalid_argument("a size is negative");
        for (const auto& [place, width] : frame.areas) {
            Address begin = address(place);
            for (size_t i = 0; begin != 0 && i < areas_.size(); ++i)
                if (const auto& [other, wide] = frame.areas[i]; other == place)
                    begin += size_t(run_.rows * wide) * frame.number_size;
            areas_.push_back(begin);
        }
        for (const auto& [role, index, data, stride] : frame.ports) ports_.push_back({role, index, at(data), stride});
        for (const auto& [width, initial, fresh, kept, stride, last] : frame.states)
            states_.push_back({width, at(initial), at(fresh), at(kept), stride, at(last)});
        for (const auto& [width, last, initial, fresh] : frame.gradients)
            gradients_.push_back({width, at(last), at(initial), at(fresh)});
        for (Place vector : frame.vectors) vectors_.push_back(at(vector));
        for (const auto& [data, rows, columns, packed] : frame.matrices)
            matrices_.push_back({at(data), rows, columns, at(packed)});
        for (const auto& [left, left_width, right, right_width, state, outer, columns, groups] : frame.sums)
            sums_.push_back({at(left), left_width, at(right), right_width, state, at(outer), at(columns), groups});
        for (Place total : frame.totals) totals_.push_back(at(total));
        run_.offsets = at<const int64_t>(kOffsets);
        run_.active = at<const int64_t>(kActive);
        run_.cleared = at<const uint8_t>(kCleared);
        run_.backward = frame.backward;
        run_.threads = threads;
    }

    echoic_run run() {
        run_.ports = ports_.data(), run_.port_count = ports_.size();
        run_.states = states_.data(), run_.state_count = states_.size();
        run_.gradients = gradients_.data(), run_.gradient_count = gradients_.size();
        run_.vectors = vectors_.data(), run_.vector_count = vectors_.size();
        run_.matrices = matrices_.data(), run_.matrix_count = matrices_.size();
        run_.sums = sums_.data(), run_.sum_count = sums_.size();
        run_.totals = totals_.data(), run_.total_count = totals_.size();
        return run_;
    }

   private:
    Address address(Place place) const {
        if (place == -1) return 0;
        const std::vector<Address>& from = place < -1 ? areas_ : addresses_;
        const size_t index = place < -1 ? size_t(-2 - place) : size_t(place);
        if (index >= from.size()) throw std::invalid_argument("a frame names an address that was not given");
        return from[index];
    }
    template <class T = void>
    T* at(Place place) const {
        return reinterpret_cast<T*>(address(place));
    }

    const std::vector<Address> addresses_;
    std::vector<Address> areas_;
    std::vector<echoic_port> ports_;
    std::vector<echoic_state> states_;
    std::vector<echoic_gradient> gradients_;
    std::vector<const void*> vectors_;
    std::vector<echoic_matrix> matrices_;
    std::vector<echoic_sum> sums_;
    std::vector<void*> totals_;
    echoic_run run_{};
};

}  // namespace echoic
