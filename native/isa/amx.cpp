// Compiled for processors with AMX: their table of kernels for products of bfloat16 numbers.
#include "bfloat16.h"

namespace echoic {

const Kernels<float>* float_kernels_v4();

const Kernels<float>* bfloat16_kernels_amx() {
    static const Kernels<float> table = [] {
        Kernels<float> made = *float_kernels_v4();
        made.block = kTileRows;
        made.block_panels = 2;
        made.depth = bfloat16_depth;
        made.matmul = matmul_bfloat16;
        made.matmul_transposed = matmul_transposed_bfloat16;
        made.pack = pack_bfloat16;
        made.pack_rows = pack_rows_bfloat16;
        made.deal = deal_bfloat16;
        return made;
    }();
    return &table;
}

}  // namespace echoic
