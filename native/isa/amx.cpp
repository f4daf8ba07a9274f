// Compiled for processors with AMX: their tables of kernels with products by tiles.
#include "amx_digit_sums.h"
#include "amx_part_matmul.h"

namespace echoic {

const Kernels<float>* float_kernels_v4();

namespace {

constexpr int64_t kAllPanels = 1 << 20;

template <int kParts>
Kernels<float> make_table() {
    Kernels<float> made = *float_kernels_v4();
    made.block = 2 * kTileRows;
    made.block_panels = kAllPanels;
    made.depth = depth_of_parts<kParts>;
    made.matmul = matmul_parts<kParts>;
    made.matmul_transposed = matmul_transposed_parts<kParts>;
    made.pack = pack_parts<kParts>;
    made.pack_rows = pack_rows_parts<kParts>;
    made.deal = deal_parts<kParts>;
    return made;
}

Kernels<float> make_table_of_digits() {
    Kernels<float> made = *float_kernels_v4();
    made.block = 2 * kTileRows;
    made.block_panels = kAllPanels;
    made.depth = depth_of_digits;
    made.matmul = matmul_digits;
    made.matmul_transposed = matmul_transposed_digits;
    made.pack = pack_digits;
    made.pack_rows = pack_rows_digits;
    made.deal = deal_digits;
    made.sizes = sizes_of_rows;
    return made;
}

}  // namespace

const Kernels<float>* kernels_of_digits_amx() {
    static const Kernels<float> table = make_table_of_digits();
    return &table;
}

const Kernels<float>* kernels_of_parts_amx(int parts) {
    static const Kernels<float> tables[] = {make_table<1>(), make_table<2>(), make_table<3>()};
    return &tables[parts - 1];
}

}  // namespace echoic
