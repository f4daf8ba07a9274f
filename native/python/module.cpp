// The engine for Python. Addresses are whole numbers: the callers (engine/native.py, runtime) hold the arrays.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "../engine/engine.h"

namespace nb = nanobind;

namespace {

using Address = uintptr_t;
using Port = std::tuple<int32_t, int32_t, Address, int64_t>;
using State = std::tuple<int64_t, Address, Address, Address, int64_t, Address>;
using Gradient = std::tuple<int64_t, Address, Address, Address>;
using Sum = std::tuple<Address, int64_t, Address, int64_t, int32_t, Address, Address>;
using Matrix = std::tuple<Address, int64_t, int64_t, Address>;

template <class T = void>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

// Of a run: steps, rows of the batch, rows in all; offsets, active rows, cleared rows.
using Sizes = std::tuple<int64_t, int64_t, int64_t>;
using Steps = std::tuple<Address, Address, Address>;

// A run with the arrays that describe it.
class Arguments {
   public:
    Arguments(const Sizes& sizes, const Steps& steps, bool backward, int threads, const std::vector<Port>& ports,
              const std::vector<State>& states, const std::vector<Gradient>& gradients,
              const std::vector<Address>& vectors, const std::vector<Matrix>& matrices, const std::vector<Sum>& sums,
              const std::vector<Address>& totals) {
        for (const auto& [role, index, data, stride] : ports) ports_.push_back({role, index, at(data), stride});
        for (const auto& [width, initial, fresh, kept, stride, last] : states)
            states_.push_back({width, at(initial), at(fresh), at(kept), stride, at(last)});
        for (const auto& [width, last, initial, fresh] : gradients)
            gradients_.push_back({width, at(last), at(initial), at(fresh)});
        for (Address vector : vectors) vectors_.push_back(at(vector));
        for (const auto& [data, rows, columns, packed] : matrices) matrices_.push_back({at(data), rows, columns, at(packed)});
        for (const auto& [left, left_width, right, right_width, state, outer, columns] : sums)
            sums_.push_back({at(left), left_width, at(right), right_width, state, at(outer), at(columns)});
        for (Address total : totals) totals_.push_back(at(total));
        std::tie(run_.steps, run_.batch, run_.rows) = sizes;
        run_.offsets = at<const int64_t>(std::get<0>(steps));
        run_.active = at<const int64_t>(std::get<1>(steps));
        run_.cleared = at<const uint8_t>(std::get<2>(steps));
        run_.backward = backward;
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
    std::vector<echoic_port> ports_;
    std::vector<echoic_state> states_;
    std::vector<echoic_gradient> gradients_;
    std::vector<const void*> vectors_;
    std::vector<echoic_matrix> matrices_;
    std::vector<echoic_sum> sums_;
    std::vector<void*> totals_;
    echoic_run run_{};
};

void execute(const std::vector<const echoic_plan*>& plans, const std::vector<echoic_run>& runs, int threads) {
    char message[256] = "";
    int done;
    {
        nb::gil_scoped_release released;
        done = echoic_execute(plans.data(), runs.data(), runs.size(), threads, message, sizeof message);
    }
    if (!done) throw std::invalid_argument(message);
}

class Plan {
   public:
    Plan(const std::vector<int64_t>& code, const std::vector<double>& constants, int type) {
        char message[256] = "";
        plan_ = echoic_plan_new(code.data(), code.size(), constants.data(), constants.size(), type, message, sizeof message);
        if (plan_ == nullptr) throw std::invalid_argument(message);
    }
    Plan(const Plan&) = delete;
    ~Plan() { echoic_plan_free(plan_); }

    void execute(const Sizes& sizes, const Steps& steps, bool backward, int threads, const std::vector<Port>& ports,
                 const std::vector<State>& states, const std::vector<Gradient>& gradients,
                 const std::vector<Address>& vectors, const std::vector<Matrix>& matrices,
                 const std::vector<Sum>& sums, const std::vector<Address>& totals) const {
        Arguments arguments(sizes, steps, backward, threads, ports, states, gradients, vectors, matrices, sums, totals);
        ::execute({plan_}, {arguments.run()}, threads);
    }

    size_t packed_bytes(size_t matrix) const {
        const size_t bytes = echoic_packed_bytes(plan_, matrix);
        if (bytes == 0) throw std::invalid_argument("the plan has no such matrix");
        return bytes;
    }

    void pack(size_t matrix, Matrix from, Address packed) const {
        packed_bytes(matrix);
        const echoic_matrix source{at(std::get<0>(from)), std::get<1>(from), std::get<2>(from), nullptr};
        echoic_pack(plan_, matrix, &source, at(packed));
    }

    const echoic_plan* get() const { return plan_; }

   private:
    echoic_plan* plan_;
};

// A C-contiguous array [rows, columns] for the length of a call. By the buffer protocol itself: nanobind's ndarray as an
// argument takes three times as long, which a small step would notice.
class Borrowed {
   public:
    Borrowed(nb::handle array, int flags)
        : held_(PyObject_GetBuffer(array.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) == 0) {
        if (!held_) PyErr_Clear();  // of another kind, which `is` answers
    }
    Borrowed(const Borrowed&) = delete;
    ~Borrowed() {
        if (held_) PyBuffer_Release(&view_);
    }

    bool is(char format, int64_t rows, int64_t columns) const {
        return held_ && view_.ndim == 2 && view_.shape[0] == rows && view_.shape[1] == columns &&
               view_.format[0] == format && view_.format[1] == 0;
    }
    void* data() const { return view_.buf; }

   private:
    Py_buffer view_;
    bool held_;
};

// What Plan.execute takes, after the plan.
using Call = std::tuple<const Plan*, Sizes, Steps, bool, int, std::vector<Port>, std::vector<State>, std::vector<Gradient>,
                        std::vector<Address>, std::vector<Matrix>, std::vector<Sum>, std::vector<Address>>;

void execute_together(const std::vector<Call>& calls, int threads) {
    std::vector<const echoic_plan*> plans;
    std::vector<Arguments> arguments;
    std::vector<echoic_run> runs;
    arguments.reserve(calls.size());
    for (const auto& [plan, sizes, steps, backward, parts, ports, states, gradients, vectors, matrices, sums, totals] : calls) {
        plans.push_back(plan->get());
        arguments.emplace_back(sizes, steps, backward, parts, ports, states, gradients, vectors, matrices, sums, totals);
        runs.push_back(arguments.back().run());
    }
    execute(plans, runs, threads);
}

class Session {
   public:
    Session(const Plan& plan, int64_t batch, int threads, bool int8, const std::vector<Address>& vectors,
            const std::vector<Matrix>& matrices)
        : batch_(batch) {
        std::vector<const void*> vector_array;
        for (Address vector : vectors) vector_array.push_back(at(vector));
        std::vector<echoic_matrix> matrix_array;
        for (const auto& [data, rows, columns, packed] : matrices)
            matrix_array.push_back({at(data), rows, columns, at(packed)});
        char message[256] = "";
        const echoic_weights weights = int8 ? ECHOIC_WEIGHTS_INT8 : ECHOIC_WEIGHTS_AS_GIVEN;
        session_ = echoic_session_new(plan.get(), batch, threads, weights, vector_array.data(), vector_array.size(),
                                      matrix_array.data(), matrix_array.size(), message, sizeof message);
        if (session_ == nullptr) throw std::invalid_argument(message);
        format_ = echoic_session_type(session_) == ECHOIC_FLOAT64 ? 'd' : 'f';
        input_ = echoic_session_width(session_, 0), output_ = echoic_session_width(session_, 1);
    }
    Session(const Session&) = delete;
    ~Session() { echoic_session_free(session_); }

    bool step(nb::handle input, nb::handle output) {
        const Borrowed from(input, PyBUF_SIMPLE), to(output, PyBUF_WRITABLE);
        if (!to.is(format_, batch_, output_))
            throw std::invalid_argument("session: the output is no writable contiguous array of the step's type and shape");
        if (!from.is(format_, batch_, input_)) return false;
        echoic_session_step(session_, from.data(), to.data());
        return true;
    }

    nb::ndarray<nb::numpy> state(size_t index) {
        void* data = echoic_session_state(session_, index);
        if (data == nullptr) throw nb::index_error("session: there is no such state");
        const size_t shape[] = {size_t(batch_), size_t(echoic_session_width(session_, 2 + index))};
        const auto type = format_ == 'f' ? nb::dtype<float>() : nb::dtype<double>();
        return {data, 2, shape, nb::find(this), nullptr, type};
    }

   private:
    echoic_session* session_;
    char format_;  // of a number, in the buffer protocol
    int64_t batch_, input_, output_;
};

}  // namespace

NB_MODULE(_native, m) {
    nb::set_leak_warnings(false);  // plans live as long as the process
    m.doc() = "The native engine: executes programs of recurrent steps.";
    nb::class_<Plan>(m, "Plan", "A step laid out for the engine; see echoic.program.plan.")
        .def(nb::init<const std::vector<int64_t>&, const std::vector<double>&, int>(), nb::arg("code"),
             nb::arg("constants"), nb::arg("type"))
        .def("execute", &Plan::execute, nb::arg("sizes"), nb::arg("steps"), nb::arg("backward"), nb::arg("threads"),
             nb::arg("ports"), nb::arg("states"), nb::arg("gradients"), nb::arg("vectors"), nb::arg("matrices"),
             nb::arg("sums") = std::vector<Sum>{}, nb::arg("totals") = std::vector<Address>{})
        .def("packed_bytes", &Plan::packed_bytes)
        .def("pack", &Plan::pack);
    nb::class_<Session>(m, "Session", "Sequences streamed one step at a time; parameters are copied.")
        .def(nb::init<const Plan&, int64_t, int, bool, const std::vector<Address>&, const std::vector<Matrix>&>(),
             nb::arg("plan"), nb::arg("batch"), nb::arg("threads"), nb::arg("int8"), nb::arg("vectors"), nb::arg("matrices"))
        .def("step", &Session::step, nb::arg("input"), nb::arg("output"),
             "Write the output [batch, O] of an input [batch, I]. False, and nothing is done, where the input is no\n"
             "contiguous array of the plan's type and this shape.")
        .def("state", &Session::state, nb::arg("index"), "A view [batch, W]; the state lies elsewhere after a step.");
    m.def("execute_together", &execute_together, nb::arg("calls"), nb::arg("threads"),
          "Several runs side by side: of each the plan, and what Plan.execute takes.");
    m.def("opcode", [](const std::string& name) { return echoic_opcode(name.c_str()); });
    m.def("instruction_set", [] { return std::string(echoic_instruction_set()); });
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (int i = 0; i < echoic_instruction_set_count(); ++i) names.push_back(echoic_instruction_set_name(i));
        return names;
    });
    m.def("has_bfloat16", [] { return echoic_has_bfloat16() != 0; }, "Whether the instruction set in use multiplies bfloat16.");
    m.def("choose_instruction_set", [](const std::string& name) {
        char message[256] = "";
        if (!echoic_choose_instruction_set(name.c_str(), message, sizeof message))
            throw std::invalid_argument(name + ": " + message);
    });
    m.def("use_openmp", [](Address gomp_parallel) { echoic_use_openmp(at(gomp_parallel)); });
}
