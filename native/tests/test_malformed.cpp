// Codes that are no plans, and plans that nobody would write: nothing is read or written beyond its memory, which the
// sanitizers watch, every array being as long as the plan says and no longer.
#include <memory>

#include "lstm.h"

namespace {

constexpr int64_t kRows = 3;

// Runs a plan, if it is one, with every port as packed rows. Gives whether it was one.
template <class T>
bool run_if_a_plan(const Code& code) {
    const double constants[] = {0.5, -2.0};
    char message[200] = "";
    std::unique_ptr<echoic_plan, void (*)(echoic_plan*)> plan(
        echoic_plan_new(code.data(), code.size(), constants, 2, sizeof(T) == 8, message, sizeof message), echoic_plan_free);
    if (plan == nullptr) {
        CHECK(std::string(message).rfind("plan: ", 0) == 0);
        return false;
    }
    size_t at = 0;
    const size_t ports = size_t(code[0]), outside = size_t(code[1]);
    int64_t total = 0;
    for (at = 2; at < 2 + ports; ++at) total += code[at];
    const size_t vectors = size_t(code[at++]), first_vector = at;
    for (; at < first_vector + vectors; ++at) total += code[at];
    const size_t matrices = size_t(code[at++]), first_matrix = at;
    for (size_t m = 0; m < matrices; ++m) total += code[first_matrix + 2 * m] * code[first_matrix + 2 * m + 1];
    const size_t totals = size_t(code[first_matrix + 2 * matrices]), first_total = first_matrix + 2 * matrices + 1;
    for (size_t t = 0; t < totals; ++t) total += code[first_total + t];
    if (total > 100000) return true;
    Random random(1);
    std::vector<std::vector<T>> memory;
    std::vector<echoic_port> given;
    for (size_t p = 0; p < outside; ++p) {
        memory.push_back(random.numbers<T>(kRows * code[2 + p]));
        given.push_back({ECHOIC_PACKED, 0, memory.back().data(), code[2 + p]});
    }
    std::vector<const void*> vector_data;
    for (size_t v = 0; v < vectors; ++v) {
        memory.push_back(random.numbers<T>(code[first_vector + v]));
        vector_data.push_back(memory.back().data());
    }
    std::vector<echoic_matrix> matrix_data;
    for (size_t m = 0; m < matrices; ++m) {
        const int64_t k = code[first_matrix + 2 * m], n = code[first_matrix + 2 * m + 1];
        memory.push_back(random.numbers<T>(k * n));
        matrix_data.push_back({memory.back().data(), n, 1, nullptr});
    }
    std::vector<void*> total_data;
    for (size_t t = 0; t < totals; ++t) {
        memory.push_back(random.numbers<T>(code[first_total + t]));
        total_data.push_back(memory.back().data());
    }
    const int64_t offset = 0, active = kRows;
    echoic_run run{};
    run.steps = 1, run.batch = run.rows = kRows, run.offsets = &offset, run.active = &active, run.threads = 2;
    run.ports = given.data(), run.port_count = given.size();
    run.vectors = vector_data.data(), run.vector_count = vector_data.size();
    run.matrices = matrix_data.data(), run.matrix_count = matrix_data.size();
    run.totals = total_data.data(), run.total_count = total_data.size();
    const echoic_plan* decoded = plan.get();
    CHECK(echoic_execute(&decoded, &run, 1, 2, message, sizeof message));
    return true;
}

// Every kind of stage, of phase and of operand.
Code example() {
    using lstm::micro, lstm::port, lstm::tile;
    const Code vector = {3, 0, 21}, constant = {4, 1, 0}, total = {5, 1, 0}, form = {6, 0, 0};
    return Code{4, 3, 28, 7, 300, 3, 1, 28, 1, 7, 28, 2, 9, 7} +                             //
           Code{1, 3, 1, 0, 2, -1, 2, 0, 7, 2, 10} +                                             //
           Code{2, 0, 0, 1} + port(1) + port(0) + port(0) + Code{0} +                            //
           Code{2, 0, 0, 3} + port(2, 30) + port(2, 60) + port(2, 144) + Code{-1} +              //
           Code{1, 1, 7, 5} + micro("sigmoid", tile(0), port(0, 7)) +                            //
           micro("fma", tile(1), tile(0), constant, port(1)) + micro("mul", port(2, 1), tile(1), vector) +
           micro("add", total, tile(1), total) + micro("fma", total, tile(0), vector, total) +
           Code{3, 2, 7, 7, 1, 0} + port(2) + Code{0, 0, 0} + port(3, 2) +                       //
           Code{3, 2, 7, 7, 1, 2} + port(2) + port(2, 9) + port(3, 2) +                          //
           Code{3, 2, 12, 2, 2, 1} + port(2) + Code{0, 0, 0} + port(1, 1) +                      //
           Code{3, 2, 6, 3, 1, 2} + port(2) + port(2, 9) + port(3, 1) +                          //
           Code{1, 2, 28, 2} + micro("take", tile(0), port(2, 5), form) + micro("add", port(0), tile(0), port(0)) +
           Code{1, 2, 300, 1} + micro("broadcast", port(2), {3, 0, 3}) +                         //
           Code{1, 2, 28, 2} + micro("fma_column", port(0), port(0), port(3, 2), port(2)) +
           micro("where", port(0), port(0), port(2, 100), constant);
}

int64_t odd_number(Random& random) {
    constexpr int64_t odd[] = {-1, 256, 299, 300, 301, 4095, 4096, 65536, 1 << 24, (1 << 24) + 1, int64_t(1) << 32,
                               INT64_MAX, INT64_MIN};
    return random.below(4) ? random.below(40) - 1 : odd[random.below(int64_t(std::size(odd)))];
}

void damaged_plans(int count) {
    const Code whole = example();
    CHECK(run_if_a_plan<float>(whole) && run_if_a_plan<double>(whole));
    Random random(7);
    int accepted = 0;
    for (int i = 0; i < count; ++i) {
        Code code = whole;
        for (int64_t change = 0; change <= random.below(3); ++change) {
            const size_t at = size_t(random.below(int64_t(code.size())));
            const int64_t how = random.below(8);
            if (how < 6)
                code[at] = odd_number(random);
            else if (how == 6)
                code.insert(code.begin() + long(at), odd_number(random));
            else if (code.size() > 1)
                code.erase(code.begin() + long(at));
        }
        accepted += i % 2 ? run_if_a_plan<float>(code) : run_if_a_plan<double>(code);
    }
    CHECK(accepted > count / 100 && accepted < count);
    for (int i = 0; i < count; ++i) {
        Code code(size_t(random.below(80)));
        for (int64_t& number : code) number = odd_number(random);
        run_if_a_plan<float>(code);
    }
}

// Every function of the interface with arguments that are there and not good.
void the_interface() {
    CHECK(echoic_opcode("tanh") >= 0 && echoic_opcode("matmul") == -1 && echoic_opcode("") == -1);
    CHECK(echoic_instruction_set_name(-1) == nullptr);
    CHECK(echoic_instruction_set_name(echoic_instruction_set_count()) == nullptr);
    CHECK(std::string(echoic_instruction_set_name(echoic_instruction_set_count() - 1)) == "scalar");
    char small[8] = "unread", none[1] = {'x'};
    CHECK(!echoic_choose_instruction_set("sse9", small, sizeof small) && small[7] == 0 && small[0] == 't');
    CHECK(!echoic_choose_instruction_set("sse9", none, 0) && none[0] == 'x');
    CHECK(!echoic_choose_instruction_set("sse9", nullptr, 0));
    CHECK(echoic_plan_new(nullptr, 0, nullptr, 0, 0, nullptr, 0) == nullptr);
    const Code code = example();
    const double constants[] = {0.5, -2.0};
    CHECK(echoic_plan_new(code.data(), code.size(), constants, 2, 4, nullptr, 0) == nullptr);
    CHECK(echoic_plan_new(code.data(), code.size(), constants, 1, 0, small, sizeof small) == nullptr);
    echoic_plan_free(nullptr);
    echoic_plan* plan = echoic_plan_new(code.data(), code.size(), constants, 2, 0, nullptr, 0);
    CHECK(plan != nullptr && echoic_packed_bytes(plan, 0) >= 7 * 28 * 4 && echoic_packed_bytes(plan, 1) == 0);
    Random random(3);
    const std::vector<float> matrix = random.numbers<float>(7 * 28);
    std::vector<char> packed(echoic_packed_bytes(plan, 0));
    const echoic_matrix from{matrix.data(), 28, 1, nullptr};
    echoic_pack(plan, 0, &from, packed.data());
    echoic_pack(plan, 1, &from, nullptr);
    echoic_run nothing{};
    nothing.threads = 1;
    const echoic_plan* decoded = plan;
    CHECK(!echoic_execute(&decoded, &nothing, 1, 1, nullptr, 0));
    CHECK(echoic_execute(nullptr, nullptr, 0, 1, nullptr, 0) && !echoic_execute(nullptr, nullptr, 0, 0, nullptr, 0));
    echoic_plan_free(plan);
}

}  // namespace

void test_malformed() {
    the_interface();
    char message[64];
    for (int i = 0; i < echoic_instruction_set_count(); ++i) {
        CHECK(echoic_choose_instruction_set(echoic_instruction_set_name(i), message, sizeof message));
        damaged_plans(20000);
    }
    CHECK(echoic_choose_instruction_set("", message, sizeof message));
}
