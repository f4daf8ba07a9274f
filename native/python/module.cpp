// The engine for Python. Addresses are whole numbers: the callers (engine/passes.py, engine/stepper.py) hold the arrays.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>

#include "buffers.h"
#include "frame.h"

namespace nb = nanobind;

namespace {

using echoic::Address;

template <class T = void>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

// Where a matrix lies, the strides of its rows and columns, and where it lies packed.
using GivenMatrix = std::tuple<Address, int64_t, int64_t, Address>;

class Plan {
   public:
    Plan(const std::vector<int64_t>& code, const std::vector<double>& constants, int type)
        : number_size_(type == ECHOIC_FLOAT64 ? sizeof(double) : sizeof(float)) {
        char message[256] = "";
        plan_ = echoic_plan_new(code.data(), code.size(), constants.data(), constants.size(), type, message, sizeof message);
        if (plan_ == nullptr) throw std::invalid_argument(message);
    }
    Plan(const Plan&) = delete;
    ~Plan() { echoic_plan_free(plan_); }

    size_t packed_bytes(size_t matrix) const {
        const size_t bytes = echoic_packed_bytes(plan_, matrix);
        if (bytes == 0) throw std::invalid_argument("the plan has no such matrix");
        return bytes;
    }

    void pack(size_t matrix, GivenMatrix from, Address packed) const {
        packed_bytes(matrix);
        const echoic_matrix source{at(std::get<0>(from)), std::get<1>(from), std::get<2>(from), nullptr};
        echoic_pack(plan_, matrix, &source, at(packed));
    }

    const echoic_plan* get() const { return plan_; }
    size_t number_size() const { return number_size_; }

   private:
    echoic_plan* plan_;
    size_t number_size_;
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

class Frame {
   public:
    Frame(const Plan& plan, bool backward, std::vector<echoic::Port> ports, std::vector<echoic::State> states,
          std::vector<echoic::Gradient> gradients, std::vector<echoic::Place> vectors,
          std::vector<echoic::Matrix> matrices, std::vector<echoic::Sum> sums, std::vector<echoic::Place> totals,
          std::vector<echoic::Area> areas)
        : frame_{plan.get(), plan.number_size(), backward, std::move(ports), std::move(states), std::move(gradients),
                 std::move(vectors), std::move(matrices), std::move(sums), std::move(totals), std::move(areas)} {}

    const echoic::Frame& get() const { return frame_; }

   private:
    echoic::Frame frame_;
};

class Buffers {
   public:
    Buffers(size_t least, size_t most) : blocks_(std::make_shared<echoic::Blocks>(least, most)) {}

    echoic::Buffer take(size_t size) const { return {blocks_, size}; }
    size_t idle() const { return blocks_->idle(); }

   private:
    std::shared_ptr<echoic::Blocks> blocks_;  // which live on in what was taken
};

int lend(PyObject* buffer, Py_buffer* view, int flags) {
    const auto* given = nb::inst_ptr<echoic::Buffer>(buffer);
    return PyBuffer_FillInfo(view, buffer, given->data(), Py_ssize_t(given->size()), 0, flags);
}

PyType_Slot buffer_protocol[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(lend)}, {0, nullptr}};

// Where an array lies: a tensor, a buffer, an address, or None.
Address address_of(nb::handle array) {
    static PyObject* const data_ptr = PyUnicode_InternFromString("data_ptr");
    if (array.is_none()) return 0;
    nb::object given = nb::borrow(array);
    if (!PyLong_Check(array.ptr())) given = nb::steal(PyObject_CallMethodNoArgs(array.ptr(), data_ptr));
    if (!given.is_valid()) throw nb::python_error();
    Address address;
    if (!nb::try_cast(given, address)) throw std::invalid_argument("an array has no address");
    return address;
}

// A frame, sizes, multiplications, arrays, and what must stay alive meanwhile.
using Call = std::tuple<const Frame*, echoic::Sizes, int64_t, nb::list, nb::object>;

void execute(const std::vector<Call>& calls, int64_t most_threads, int64_t worth_a_thread) {
    if (most_threads < 1 || worth_a_thread < 1) throw std::invalid_argument("fewer than one thread, or worth of one");
    int64_t work = 0;
    for (const Call& call : calls) work += std::get<2>(call);
    if (work == 0) return;
    const int64_t threads = std::max<int64_t>(std::min(most_threads, work / worth_a_thread), 1);
    const int64_t each = std::max<int64_t>(threads / int64_t(calls.size()), 1);
    std::vector<const echoic_plan*> plans;
    std::vector<echoic::Arguments> arguments;
    std::vector<echoic_run> runs;
    arguments.reserve(calls.size());
    for (const auto& [frame, sizes, multiplications, arrays, alive] : calls) {
        std::vector<Address> addresses;
        addresses.reserve(arrays.size());
        for (nb::handle array : arrays) addresses.push_back(address_of(array));
        plans.push_back(frame->get().plan);
        arguments.emplace_back(frame->get(), sizes, int(each), std::move(addresses));
        runs.push_back(arguments.back().run());
    }
    char message[256] = "";
    int done;
    {
        nb::gil_scoped_release released;
        done = echoic_execute(plans.data(), runs.data(), runs.size(), int(threads), message, sizeof message);
    }
    if (!done) throw std::invalid_argument(message);
}

class Session {
   public:
    Session(const Plan& plan, int64_t batch, int threads, bool int8, const std::vector<Address>& vectors,
            const std::vector<GivenMatrix>& matrices)
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
        .def("packed_bytes", &Plan::packed_bytes)
        .def("pack", &Plan::pack);
    nb::class_<Frame>(m, "Frame", "A run of a plan but for where its arrays lie; see native/python/frame.h.")
        .def(nb::init<const Plan&, bool, std::vector<echoic::Port>, std::vector<echoic::State>, std::vector<echoic::Gradient>,
                      std::vector<echoic::Place>, std::vector<echoic::Matrix>, std::vector<echoic::Sum>,
                      std::vector<echoic::Place>, std::vector<echoic::Area>>(),
             nb::arg("plan"), nb::arg("backward"), nb::arg("ports"), nb::arg("states"), nb::arg("gradients"),
             nb::arg("vectors"), nb::arg("matrices"), nb::arg("sums"), nb::arg("totals"), nb::arg("areas"),
             nb::keep_alive<1, 2>());
    nb::class_<Buffers>(m, "Buffers", "Memory that is used again.")
        .def(nb::init<size_t, size_t>(), nb::arg("least"), nb::arg("most"))
        .def("take", &Buffers::take, nb::arg("size"))
        .def_prop_ro("idle", &Buffers::idle);
    nb::class_<echoic::Buffer>(m, "Buffer", nb::type_slots(buffer_protocol), "Bytes; with the last reference they come back.")
        .def("data_ptr", [](const echoic::Buffer& buffer) { return Address(buffer.data()); });
    m.def("execute", &execute, nb::arg("calls"), nb::arg("most_threads"), nb::arg("worth_a_thread"),
          "Runs side by side: of each the frame, its sizes, its multiplications, the arrays that the frame's places mean\n"
          "(tensors, buffers, addresses, None), and what must stay alive meanwhile.");
    nb::class_<Session>(m, "Session", "Sequences streamed one step at a time; parameters are copied.")
        .def(nb::init<const Plan&, int64_t, int, bool, const std::vector<Address>&, const std::vector<GivenMatrix>&>(),
             nb::arg("plan"), nb::arg("batch"), nb::arg("threads"), nb::arg("int8"), nb::arg("vectors"), nb::arg("matrices"))
        .def("step", &Session::step, nb::arg("input"), nb::arg("output"),
             "Write the output [batch, O] of an input [batch, I]. False, and nothing is done, where the input is no\n"
             "contiguous array of the plan's type and this shape.")
        .def("state", &Session::state, nb::arg("index"), "A view [batch, W]; the state lies elsewhere after a step.");
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
