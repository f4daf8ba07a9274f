// Streaming: one step at a time, the state kept, nothing allocated.
#pragma once
#include <memory>
#include <vector>

#include "engine.h"
#include "plan.h"

namespace echoic {

// `batch` sequences that go on together. The plan's first port is the input, the second the output; then come the
// states before the step and after it, in the same order.
class Session {
   public:
    virtual ~Session() = default;
    // input [batch, I] and output [batch, O] in the numbers of the plan
    virtual void step(const void* input, void* output) = 0;
    virtual void* state(size_t index) = 0;  // [batch, width], to be read and written between steps
    virtual const Plan& plan() const = 0;
};

// Raises std::invalid_argument with a sentence. What the run points to is copied.
std::unique_ptr<Session> make_session(const Plan& plan, int64_t batch, int threads, echoic_weights weights,
                                      const std::vector<const void*>& vectors,
                                      const std::vector<echoic_matrix>& matrices);

}  // namespace echoic
