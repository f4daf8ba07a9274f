// Compiled once per instruction set, with ECHOIC_ISA (its name) and ECHOIC_VECTOR_BYTES.
#include <type_traits>

#include "int8.h"
#include "kernels.h"
#include "matmul.h"
#include "pointwise.h"
#include "take.h"

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)

namespace {

template <class T>
constexpr Kernels<T> make_table() {
    Kernels<T> table = {};
    table.panel = kPanel<T>;
    table.block = kBlock;
    table.block_panels = panels_at_once(kBlock);
    table.depth = [](int64_t k) { return k; };
#define X(name, arity) table.pointwise[op_##name] = pointwise<T, do_##name, arity>;
    X(copy, 1) X(neg, 1) X(abs, 1) X(sign, 1) X(floor, 1) X(relu, 1) X(exp, 1) X(expm1, 1) X(log, 1) X(log1p, 1)
    X(sqrt, 1) X(rsqrt, 1) X(reciprocal, 1) X(sin, 1) X(cos, 1) X(sigmoid, 1) X(tanh, 1) X(softplus, 1) X(erf, 1)
    X(add, 2) X(sub, 2) X(mul, 2) X(div, 2) X(maximum, 2) X(minimum, 2) X(lt, 2) X(le, 2) X(eq, 2) X(ne, 2)
    X(sigmoid_grad, 2) X(tanh_grad, 2) X(relu_grad, 2) X(where, 3) X(fma, 3)
#undef X
    table.pointwise[op_broadcast] = broadcast<T>;
#define X(name, arity) table.pointwise[op_##name##_column] = pointwise<T, do_##name, arity, true>;
    X(add, 2) X(sub, 2) X(mul, 2) X(fma, 3)
#undef X
    table.take = take<T>;
    table.reductions[reduce_sum] = sum_rows<T>;
    table.reductions[reduce_max] = max_rows<T>;
    table.reductions[reduce_dot] = dot_rows<T>;
    table.reductions_down[reduce_sum] = sum_down<T>;
    table.reductions_down[reduce_max] = max_down<T>;
    table.reductions_down[reduce_dot] = dot_down<T>;
    table.matmul = matmul<T>;
    table.matmul_transposed = matmul_transposed<T>;
    table.deal = deal<T>;
    table.pack_rows = pack_rows<T>;
    table.sum_columns = sum_columns<T>;
    table.matmul_unpacked = matmul_unpacked<T>;
    table.pack = pack<T>;
    if constexpr (std::is_same_v<T, float>) {
        table.matmul_int8 = matmul_int8;
        table.pack_int8 = pack_int8;
        table.int8_bytes = int8_bytes;
    }
    return table;
}

constexpr Kernels<float> kFloat = make_table<float>();
constexpr Kernels<double> kDouble = make_table<double>();

}  // namespace

namespace echoic {
const Kernels<float>* PASTE(float_kernels_, ECHOIC_ISA)() { return &kFloat; }
const Kernels<double>* PASTE(double_kernels_, ECHOIC_ISA)() { return &kDouble; }
}  // namespace echoic
