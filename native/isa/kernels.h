// What every instruction set provides: the same table of kernels, compiled several times.
#pragma once
#include <cstddef>
#include <cstdint>

namespace echoic {

// name, number of operands; the order is the numbering. From take on one operand is not read column by column: of take
// the first, of which its form says what is read; of broadcast the first, of the others the second, a single column.
#define ECHOIC_POINTWISE(X) \
    X(copy, 1) X(neg, 1) X(abs, 1) X(sign, 1) X(floor, 1) X(relu, 1) X(exp, 1) X(expm1, 1) X(log, 1) X(log1p, 1) \
    X(sqrt, 1) X(rsqrt, 1) X(reciprocal, 1) X(sin, 1) X(cos, 1) X(sigmoid, 1) X(tanh, 1) X(softplus, 1) X(erf, 1) \
    X(add, 2) X(sub, 2) X(mul, 2) X(div, 2) X(maximum, 2) X(minimum, 2) X(lt, 2) X(le, 2) X(eq, 2) X(ne, 2) \
    X(sigmoid_grad, 2) X(tanh_grad, 2) X(relu_grad, 2) X(where, 3) X(fma, 3) X(take, 2) X(broadcast, 1) \
    X(add_column, 2) X(sub_column, 2) X(mul_column, 2) X(fma_column, 3)

enum Op : int {
#define X(name, arity) op_##name,
    ECHOIC_POINTWISE(X)
#undef X
    op_count
};

enum Reducing : int { reduce_sum, reduce_max, reduce_dot, reduction_count };

// Which operand is not read column by column; -1: none.
constexpr int64_t column_operand(int64_t op) { return op < op_take ? -1 : op <= op_broadcast ? 0 : 1; }

constexpr int kDimensions = 4;

// Which columns are taken of a row: offset + index * stride in each dimension, the innermost last.
struct Form {
    int64_t offset, sizes[kDimensions], strides[kDimensions];
};

constexpr int64_t kTile = 512;     // numbers in a register of a pointwise stage
constexpr int64_t kMaxLanes = 16;  // widest vector of float
constexpr int64_t kMostSummed = 256;  // rows of a sum that are multiplied at once
constexpr int64_t kSecondCache = 1 << 20;  // bytes of weights that stay there beside other things

// target[r, c] = op(a[r, c], b[r, c], c[r, c]) for rows x columns; a stride of 0 repeats a row.
template <class T>
using Pointwise = void (*)(T* target, int64_t target_stride, const T* a, int64_t a_stride, const T* b,
                           int64_t b_stride, const T* c, int64_t c_stride, int64_t rows, int64_t columns);

// target[r, 0 .. columns) = of source[r] the columns [first, first + columns) of what a form takes.
template <class T>
using Take = void (*)(T* target, int64_t target_stride, const T* source, int64_t source_stride, const Form& form,
                      int64_t rows, int64_t first, int64_t columns);

// target[r] = sum or maximum of source[r, 0 .. columns), or the sum of its products with other[r, 0 .. columns).
template <class T>
using Reduction = void (*)(T* target, int64_t target_stride, const T* source, int64_t source_stride, const T* other,
                           int64_t other_stride, int64_t rows, int64_t columns);

// target[c] = sum or maximum of source[0 .. size, c], or the sum of its products with other[0 .. size, c], of rows of
// so many columns that follow each other.
template <class T>
using ReductionDown = void (*)(T* target, const T* source, const T* other, int64_t size, int64_t columns);

// target [M, N] = source [M, K] @ packed [K, N] + added [M, N] + bias [N]; added and bias may be null. A matrix that is
// not packed has its columns one after the other, column_stride numbers apart.
template <class T>
struct Product {
    const T* source;
    int64_t source_stride;
    const void* packed;
    T* target;
    int64_t target_stride;
    const T* added;
    int64_t added_stride;
    const T* bias;
    int64_t m, k, n;
    int64_t first_panel, last_panel;  // columns of the panels [first, last) alone
    const T* columns;  // of a matrix that is not packed
    int64_t column_stride;
    bool backwards;  // the last panels first
    int64_t between = 0;  // bytes of other weights that are read before these again
    // Rows may come in runs of so many: from the first one of a run to that of the next. 0: all are one run.
    int64_t run = 0, source_jump = 0, target_jump = 0, added_jump = 0;
};

template <class T>
struct Kernels {
    int64_t panel;  // columns that are packed together
    int64_t block;  // rows of a transposed source, and panels that it is best multiplied with at once
    int64_t block_panels;
    int64_t (*depth)(int64_t k);  // numbers that a packed column, or a row of such a source, takes
    Pointwise<T> pointwise[op_count];
    Take<T> take;
    Reduction<T> reductions[reduction_count];
    ReductionDown<T> reductions_down[reduction_count];
    void (*matmul)(const Product<T>&);
    // The same for m <= block, from a transposed source as `deal` makes it.
    void (*matmul_transposed)(const Product<T>&);
    // As matmul, from a matrix that is not packed.
    void (*matmul_unpacked)(const Product<T>&);
    // Sizes of rows that lie anywhere, up to kMostSummed of them, that the next two are given; null: they need none.
    void (*sizes)(const T* const* rows, int64_t k, int64_t n, T* sizes);
    // The columns [begin, end) of rows [K] that lie anywhere, `block` of them after the other as such sources; of the last
    // one as many as there are, and whatever was there. False where other kernels have to be taken: some are no numbers.
    bool (*deal)(const T* const* rows, const T* sizes, int64_t k, int64_t begin, int64_t end, T* blocks);
    // A matrix [K, N] whose rows lie anywhere, packed; or false.
    bool (*pack_rows)(const T* const* rows, const T* sizes, int64_t k, int64_t n, T* packed);
    // sums[c - begin] of the columns [begin, end) of such rows.
    void (*sum_columns)(const T* const* rows, int64_t k, int64_t begin, int64_t end, T* sums);
    // packed[p][k][column of panel p] = source[k * row_stride + column * column_stride], 0 past n; of the columns [first, last)
    // alone, from the panel on where packed points.
    void (*pack)(const T* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, int64_t first, int64_t last,
                 T* packed);
    // In whole numbers of eight bits, float alone: the same product, how it is packed, and in how much memory.
    void (*matmul_int8)(const Product<T>&);
    void (*pack_int8)(const T* source, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, void* packed);
    size_t (*int8_bytes)(int64_t k, int64_t n);
};

struct InstructionSet {
    const char* name;
    bool (*available)();
    const Kernels<float>* float32;
    const Kernels<double>* float64;
    // As float32, but products are of numbers rounded to bfloat16, their one part, to the sum of two, or to that of three, which
    // is what they are; or of whole numbers in three digits. Null: it has none of these.
    const Kernels<float>* (*of_parts)(int parts);
    const Kernels<float>* (*of_digits)();
};

}  // namespace echoic
