// Columns of rows by strides: repeated, backwards, transposed.
#pragma once
#include "kernels.h"
#include "vector.h"

namespace {

using namespace echoic;

// A piece of the innermost dimension of what is taken: one number again and again, neighbours, or numbers that lie apart.
struct Repeated {
    template <class T>
    ALWAYS Vec<T> at(const T* from, int64_t, int64_t) const { return same(*from); }
    template <class T>
    ALWAYS Vec<T> some(const T* from, int64_t, int64_t) const { return same(*from); }
};
struct Neighbours {
    template <class T>
    ALWAYS Vec<T> at(const T* from, int64_t i, int64_t) const { return load(from + i); }
    template <class T>
    ALWAYS Vec<T> some(const T* from, int64_t i, int64_t count) const { return load_some(from + i, count); }
};
struct Apart {
    int64_t stride;
    template <class T>
    ALWAYS Vec<T> at(const T* from, int64_t i, int64_t) const { return some(from, i, kLanes<T>); }
    template <class T>
    ALWAYS Vec<T> some(const T* from, int64_t i, int64_t count) const {
        Vec<T> found = {};
        for (int64_t lane = 0; lane < count; ++lane) found[lane] = from[(i + lane) * stride];
        return found;
    }
};

template <class T, class Run>
ALWAYS void take_run(T* target, const T* from, int64_t count, Run run) {
    constexpr int lanes = kLanes<T>;
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) store<T>(target + i, run.at(from, i, lanes));
    if (i < count) store_some<T>(target + i, run.some(from, i, count - i), count - i);
}

// Some pieces, one after the other, each of which begins a step further on; of so many vectors if it is known of how many.
template <class T, int kVectors, class Run>
ALWAYS void take_runs(T* target, const T* from, int64_t count, int64_t step, int64_t runs, Run run) {
    for (int64_t r = 0; r < runs; ++r, target += count, from += step) {
        if constexpr (kVectors == 0) take_run(target, from, count, run);
        for (int v = 0; v < kVectors; ++v) store<T>(target + v * kLanes<T>, run.at(from, v * kLanes<T>, kLanes<T>));
    }
}

// The columns [first, first + columns) of what a form takes of a row.
template <class T, class Run>
ALWAYS void take_row(T* target, const T* source, const Form& form, int64_t first, int64_t columns, Run run) {
    constexpr int inner = kDimensions - 1;
    const int64_t size = form.sizes[inner], step = form.strides[inner - 1];
    int64_t index[kDimensions];
    const T* from = source + form.offset;
    for (int d = inner; d >= 0; --d) {
        const auto left = uint32_t(first), columns_of = uint32_t(form.sizes[d]);  // less than 2^25: short ones divide faster
        index[d] = columns_of == 1 ? 0 : left % columns_of, first = columns_of == 1 ? left : left / columns_of;
        from += index[d] * form.strides[d];
    }
    for (const T* end = target + columns; target < end;) {
        // whole runs as far as the dimension around them goes, or a part of one
        const int64_t whole = (end - target) / size, around = form.sizes[inner - 1] - index[inner - 1];
        int64_t runs = whole < around ? whole : around;
        if (index[inner] > 0 || runs == 0) {
            const int64_t left = size - index[inner], count = left < end - target ? left : end - target;
            take_run(target, from, count, run);
            target += count;
            from -= index[inner] * form.strides[inner];
            index[inner] = 0, runs = 1;
        } else {
            constexpr int lanes = kLanes<T>;
            if (size == lanes)
                take_runs<T, 1>(target, from, size, step, runs, run);
            else if (size == 2 * lanes)
                take_runs<T, 2>(target, from, size, step, runs, run);
            else
                take_runs<T, 0>(target, from, size, step, runs, run);
            target += runs * size;
        }
        from += runs * step;
        index[inner - 1] += runs;
        for (int d = inner - 1; d > 0 && index[d] == form.sizes[d]; --d) {
            from += form.strides[d - 1] - index[d] * form.strides[d];
            index[d] = 0, ++index[d - 1];
        }
    }
}

// Goes through some dimensions of a form, the last one fastest.
struct Walk {
    const Form& form;
    int first, last;
    int64_t at = 0, index[kDimensions] = {};

    void next() {
        for (int d = last; d >= first; --d) {
            at += form.strides[d];
            if (++index[d] < form.sizes[d]) return;
            at -= index[d] * form.strides[d];
            index[d] = 0;
        }
    }
};

// What is taken once for each of some neighbours, the dimension `around`, `inner` numbers of each after the other: squares
// of some neighbours and some of these numbers are read along the neighbours and turned.
template <class T>
void take_turned(T* target, const T* source, const Form& form, int around, int64_t inner) {
    constexpr int lanes = kLanes<T>;
    Walk within{form, around + 1, kDimensions - 1};
    for (int64_t done = 0; done < inner; done += lanes) {
        const int64_t some = inner - done < lanes ? inner - done : lanes;
        const T* places[lanes];
        for (int64_t i = 0; i < some; ++i, within.next()) places[i] = source + within.at;
        for (int64_t c = 0; c < form.sizes[around]; c += lanes) {
            const int64_t neighbours = form.sizes[around] - c < lanes ? form.sizes[around] - c : lanes;
            Vec<T> square[lanes] = {};
            for (int64_t i = 0; i < some; ++i)
                square[i] = neighbours == lanes ? load(places[i] + c) : load_some(places[i] + c, neighbours);
            if constexpr (lanes > 1) transpose<T, lanes / 2>(square);
            for (int64_t i = 0; i < neighbours; ++i) store_some(target + (c + i) * inner + done, square[i], some);
        }
    }
}

// The dimension of neighbours in which a form is turned, where whole rows are taken and a square is not too empty; -1: none.
template <class T>
ALWAYS int dimension_to_turn(const Form& form) {
    constexpr int64_t least = kLanes<T> / 4 > 2 ? kLanes<T> / 4 : 2;
    int64_t inner = form.sizes[kDimensions - 1];
    for (int d = kDimensions - 2; d >= 0; inner *= form.sizes[d--])
        if (form.strides[d] == 1 && form.sizes[d] > 1)
            return kLanes<T> > 1 && inner >= least && form.sizes[d] >= least ? d : -1;
    return -1;
}

// Whole rows of a form whose innermost numbers lie apart.
template <class T>
void take_rows_turned(T* target, const T* source, const Form& form, int around) {
    int64_t inner = 1, outer = 1;
    for (int d = 0; d < around; ++d) outer *= form.sizes[d];
    for (int d = around + 1; d < kDimensions; ++d) inner *= form.sizes[d];
    Walk outside{form, 0, around - 1};
    for (int64_t block = 0; block < outer; ++block, outside.next(), target += inner * form.sizes[around])
        take_turned(target, source + form.offset + outside.at, form, around, inner);
}

template <class T>
void take(T* target, int64_t target_stride, const T* source, int64_t source_stride, const Form& form, int64_t rows,
          int64_t first, int64_t columns) {
    const int64_t stride = form.strides[kDimensions - 1];
    int64_t all = 1;
    for (int64_t size : form.sizes) all *= size;
    const int turned = stride > 1 && columns == all ? dimension_to_turn<T>(form) : -1;
    if (turned >= 0) {
        for (int64_t row = 0; row < rows; ++row)
            take_rows_turned(target + row * target_stride, source + row * source_stride, form, turned);
        return;
    }
    for (int64_t row = 0; row < rows; ++row, target += target_stride, source += source_stride)
        if (stride == 0)
            take_row(target, source, form, first, columns, Repeated{});
        else if (stride == 1)
            take_row(target, source, form, first, columns, Neighbours{});
        else
            take_row(target, source, form, first, columns, Apart{stride});
}

}  // namespace
