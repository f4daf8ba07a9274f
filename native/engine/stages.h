// The stages of a plan on rows that lie wherever views say: the whole of them, or one thread's share of the columns.
#pragma once
#include <algorithm>
#include <vector>

#include "dispatch.h"
#include "engine.h"
#include "plan.h"
#include "totals.h"

namespace echoic {

// Rows: row i at base + i * stride; of several runs of rows the next one a jump further on.
template <class T>
struct View {
    T* base = nullptr;
    int64_t stride = 0;
    int64_t jump = 0;
};

template <class T>
class Stages {
   public:
    Stages(const Plan& plan, const echoic_run& run, const Matrices<T>& matrices)
        : plan_(plan), run_(run), kernels_(matrices.kernels), packed_(matrices.packed), views_(plan.ports.size()) {
        reaches_.resize(plan.micros.size() * 4);
        moving_.reserve(reaches_.size());  // nothing is allocated in a step
        layouts_.resize(plan.stages.size());
    }

    // Numbers of a thread's own: tiles and constants.
    static int64_t own_numbers(const Plan& plan) { return (plan.tiles + int64_t(plan.constants.size())) * kTile; }
    void lay_out(T* own) {
        tiles_ = own;
        constants_ = own + plan_.tiles * kTile;
        ready_ = false;
        for (size_t c = 0; c < plan_.constants.size(); ++c)
            std::fill_n(constants_ + int64_t(c) * kTile, kTile, T(plan_.constants[c]));
    }

    // What a thread adds up goes to the totals of a part.
    void add_to(Totals<T>& totals, int64_t part) { totals_ = &totals, total_part_ = size_t(part), ready_ = false; }

    // What is recent of this thread's columns of the totals becomes part of the sums.
    void settle() {
        for (size_t t = 0; t < plan_.totals.size(); ++t) {
            const Range mine = share_of(plan_.totals[t], piece());
            totals_->settle(total_part_, t, mine.begin, mine.end);
        }
    }

    View<T>& view(size_t port) { return views_[port]; }
    void share(int64_t part, int64_t parts) {
        ready_ = ready_ && part == part_ && parts == parts_;
        part_ = part, parts_ = parts;
    }
    // Of stages within the recurrence threads share so many columns of every block of as many; 0: of all of them.
    void share_units(int64_t units) { units_ = units; }
    // Matrices as what follows takes them.
    void take(const Packed<T>* packed) { packed_ = packed; }
    // Weights are read in the other direction from now on: what was read last is still in the cache.
    void turn() { backwards_ = !backwards_; }

    // Stages one after the other, by a thread that has all columns; or this thread's columns of one stage, or of matmuls that
    // go abreast. Stages without a matmul between them are run for a few rows at a time, which stay in the nearest cache.
    void run(size_t first, size_t last, int64_t rows) {
        if (!ready_) get_ready();
        while (first < last) {
            if (plan_.stages[first].kind == Stage::matmul) {
                const size_t count = std::min(plan_.stages[first].abreast, last - first);
                matmuls(first, first + count, rows);
                first += count;
                continue;
            }
            size_t end = first;
            for (; end < last && plan_.stages[end].kind != Stage::matmul; ++end) reach_ports(end);
            const int64_t few = end == first + 1 ? rows : rows_near(first, end);
            for (int64_t row = 0; row < rows; row += few)
                for (size_t i = first; i < end; ++i) {
                    const int64_t high = std::min(rows, row + few);
                    if (plan_.stages[i].kind == Stage::pointwise)
                        pointwise(i, row, high);
                    else
                        reduce(plan_.stages[i], row, high);
                }
            first = end;
        }
    }

    // Whether a stage can be done for several runs of rows at once.
    bool takes_runs(size_t stage) const {
        const Stage& one = plan_.stages[stage];
        return one.kind == Stage::matmul && one.groups == 1 && packed_[size_t(one.matrix)].data != nullptr;
    }

    // Such a stage by a thread that has all columns.
    void run_in_runs(size_t stage, int64_t rows, int64_t rows_of_run) {
        const Stage& one = plan_.stages[stage];
        Product<T> product = product_of(one);
        product.m = rows, product.run = rows_of_run;
        product.last_panel = panels(kernels_, product.n);
        product.backwards = backwards_;
        multiply(one, product);
    }

   private:
    static constexpr int64_t kNear = 2048;  // numbers of one operand in the nearest cache
    static constexpr int64_t kFewRows = 6, kPanelsAbreast = 4;

    // of a whole, in pieces of a size, this thread's: [begin, end)
    struct Range {
        int64_t begin, end;
    };
    Range share_of(int64_t whole, int64_t piece) const {
        const int64_t pieces = (whole + piece - 1) / piece;
        return {std::min(whole, pieces * part_ / parts_ * piece), std::min(whole, pieces * (part_ + 1) / parts_ * piece)};
    }

    // Columns that threads do not share: whole panels, and lines of the cache.
    int64_t piece() const { return std::max(kernels_.panel, kMaxLanes); }

    View<T> place(const Operand& operand) const {
        View<T> view = views_[size_t(operand.index)];
        view.base += operand.offset;
        return view;
    }

    // A step of few rows reads all weights. Where they do not stay in the second cache, it turns round with all matrices
    // at once, and begins with what of each the one before left.
    void matmuls(size_t first, size_t last, int64_t rows) {
        const Stage& one = plan_.stages[first];
        if (one.groups > 1) return matmul_of_groups(one, rows);
        const int64_t all = plan_.matrix_columns[size_t(one.matrix)];
        const bool by_units = units_ > 0 && one.phase == Phase::within;
        const int64_t block = by_units ? units_ : all;
        const Range mine = share_of(block, by_units ? piece() : kernels_.panel);
        for (int64_t done = 0; done < all; done += block) {
            const int64_t begin = backwards_ ? all - block - done : done;
            matmuls(first, last, rows, {begin + mine.begin, begin + mine.end});
        }
    }

    void matmuls(size_t first, size_t last, int64_t rows, Range columns) {
        const int64_t bytes = last > first + 1 && rows <= kFewRows ? packed_together(first, last) / parts_ : 0;
        if (bytes <= kSecondCache) {
            for (size_t i = first; i < last; ++i) matmul(plan_.stages[i], rows, columns, 0);
            return;
        }
        const int64_t wide = kPanelsAbreast * kernels_.panel, pieces = (columns.end - columns.begin + wide - 1) / wide;
        for (int64_t piece = 0; piece < pieces; ++piece) {
            const int64_t begin = columns.begin + (backwards_ ? pieces - 1 - piece : piece) * wide;
            for (size_t i = first; i < last; ++i)
                matmul(plan_.stages[i], rows, {begin, std::min(begin + wide, columns.end)}, bytes);
        }
    }

    // Bytes of the matrices of some stages; 0 if one is not packed.
    int64_t packed_together(size_t first, size_t last) const {
        int64_t bytes = 0;
        for (; first < last; ++first) {
            const Packed<T>& packed = packed_[size_t(plan_.stages[first].matrix)];
            if (packed.data == nullptr) return 0;
            bytes += int64_t(packed.bytes);
        }
        return bytes;
    }

    // between: bytes of other weights that are read before these again.
    void matmul(const Stage& stage, int64_t rows, Range columns, int64_t between) {
        Product<T> product = product_of(stage);
        product.m = rows;
        product.first_panel = columns.begin / kernels_.panel;
        product.last_panel = panels(kernels_, columns.end);
        product.backwards = backwards_;
        product.between = between;
        multiply(stage, product);
    }

    // This thread's groups: all at once where they lie side by side, else those of a row, or one of all rows.
    void matmul_of_groups(const Stage& stage, int64_t rows) {
        const Range mine = share_of(stage.groups, 1);
        const int64_t groups = mine.end - mine.begin;
        if (groups == 0) return;
        Product<T> product = product_of(stage);
        const int64_t k = product.k, n = product.n;
        product.last_panel = panels(kernels_, n);
        product.backwards = backwards_;
        go_on(product, mine.begin * k, mine.begin * n, mine.begin * n);
        const Lines of_groups{groups, k, n, n}, together{rows * groups, k, n, n}, once{1, 0, 0, 0};
        const Lines of_rows{rows, product.source_stride, product.target_stride, product.added_stride};
        const bool side_by_side = of_rows.source == groups * k && of_rows.target == groups * n &&
                                  (product.added == nullptr || of_rows.added == groups * n);
        const Lines at_once = side_by_side ? together : groups > rows ? of_groups : of_rows;
        const Lines in_turn = side_by_side ? once : groups > rows ? of_rows : of_groups;
        product.m = at_once.count;
        product.source_stride = at_once.source, product.target_stride = at_once.target, product.added_stride = at_once.added;
        for (int64_t i = 0; i < in_turn.count; ++i) {
            multiply(stage, product);
            go_on(product, in_turn.source, in_turn.target, in_turn.added);
        }
    }

    // So many lines of numbers, and how far apart they are in what a product reads and writes.
    struct Lines {
        int64_t count, source, target, added;
    };

    static void go_on(Product<T>& product, int64_t source, int64_t target, int64_t added) {
        product.source += source, product.target += target;
        if (product.added != nullptr) product.added += added;
    }

    // All but which rows and columns.
    Product<T> product_of(const Stage& stage) const {
        const size_t matrix = size_t(stage.matrix);
        const View<T> source = place(stage.source), target = place(stage.target);
        const View<T> added = stage.added.space == Space::none ? View<T>{} : place(stage.added);
        Product<T> product{};
        product.source = source.base;
        product.source_stride = source.stride, product.source_jump = source.jump;
        product.packed = packed_[matrix].data;
        product.target = target.base;
        product.target_stride = target.stride, product.target_jump = target.jump;
        product.added = added.base;
        product.added_stride = added.stride, product.added_jump = added.jump;
        product.bias = stage.bias < 0 ? nullptr : static_cast<const T*>(run_.vectors[stage.bias]);
        product.k = plan_.matrix_rows[matrix];
        product.n = plan_.matrix_columns[matrix];
        return product;
    }

    void multiply(const Stage& stage, Product<T>& product) const {
        const size_t matrix = size_t(stage.matrix);
        if (product.packed != nullptr) return packed_[matrix].kernels->matmul(product);
        product.columns = static_cast<const T*>(run_.matrices[matrix].data);
        product.column_stride = run_.matrices[matrix].column_stride;
        kernels_.matmul_unpacked(product);
    }

    void reduce(const Stage& stage, int64_t begin, int64_t end) {
        const View<T> source = place(stage.source), target = place(stage.target);
        const View<T> other = stage.other.space == Space::none ? source : place(stage.other);
        const Range mine = share_of(end - begin, 1);
        begin += mine.begin;
        const int64_t rows = mine.end - mine.begin, size = stage.size, inner = stage.inner;
        T* to = target.base + begin * target.stride;
        const T *from = source.base + begin * source.stride, *with = other.base + begin * other.stride;
        if (size == stage.width)
            return kernels_.reductions[stage.reducing](to, target.stride, from, source.stride, with, other.stride, rows, size);
        const int64_t groups = stage.width / (size * inner);
        for (int64_t row = 0; row < rows; ++row, to += target.stride, from += source.stride, with += other.stride)
            if (inner == 1)
                kernels_.reductions[stage.reducing](to, 1, from, size, with, size, groups, size);
            else
                for (int64_t g = 0; g < groups; ++g)
                    kernels_.reductions_down[stage.reducing](to + g * inner, from + g * size * inner, with + g * size * inner,
                                                             size, inner);
    }

    // Rows of some stages of which one operand stays in the nearest cache.
    int64_t rows_near(size_t first, size_t end) const {
        int64_t width = 1;
        for (size_t i = first; i < end; ++i) width = std::max(width, plan_.stages[i].width);
        return std::max(int64_t(1), kNear / width);
    }

    // An operand of a pointwise stage before the tile is known.
    struct Reach {
        T* base;
        int64_t stride, by_row, by_column;
    };

    // One that lies in a port, of which a step knows where it is.
    struct Moving {
        size_t reach, port;
        int64_t offset;
    };

    // How this thread's columns of a pointwise stage are cut in tiles, and which of its operands are in ports.
    struct Layout {
        Range columns;
        int64_t wide, rows;
        size_t moving, moving_end;
    };

    // What is the same in every step.
    void get_ready() {
        moving_.clear();
        for (size_t s = 0; s < plan_.stages.size(); ++s) {
            const Stage& stage = plan_.stages[s];
            if (stage.kind != Stage::pointwise) continue;
            const Range mine = share_of(stage.width, piece());
            const int64_t width = mine.end - mine.begin;
            const bool only_taken = stage.count == 1 && plan_.micros[size_t(stage.first)].op == op_take;  // whole rows, no tiles
            const int64_t pieces = only_taken ? 1 : (width + kTile - 1) / kTile;
            const int64_t wide = pieces <= 1 ? width : ((width + pieces - 1) / pieces + 15) / 16 * 16;
            const int64_t stride = pieces <= 1 && wide < kTile ? std::min((wide + 15) / 16 * 16, kTile) : kTile;
            const size_t moving = moving_.size();
            for (size_t m = size_t(stage.first); m < size_t(stage.first + stage.count); ++m) {
                const Micro& micro = plan_.micros[m];
                reach(4 * m, micro.target, stride, false);
                const int64_t column = column_operand(micro.op);
                for (size_t i = 0; i < 3; ++i) reach(4 * m + 1 + i, micro.operands[i], stride, int64_t(i) == column);
            }
            const int64_t rows = std::max(int64_t(1), kTile / std::max(int64_t(1), stride));
            layouts_[s] = {mine, wide, rows, moving, moving_.size()};
        }
        ready_ = true;
    }

    void reach(size_t at, const Operand& operand, int64_t tile_stride, bool one_column) {
        Reach& reach = reaches_[at];
        switch (operand.space) {
            case Space::port:
                reach = {nullptr, 0, 0, one_column ? 0 : 1};
                return moving_.push_back({at, size_t(operand.index), operand.offset});
            case Space::tile: reach = {tiles_ + operand.index * kTile, tile_stride, 0, 0}; break;
            case Space::vector:
                reach = {static_cast<T*>(const_cast<void*>(run_.vectors[operand.index])) + operand.offset, 0, 0,
                         one_column ? 0 : 1};
                break;
            case Space::total: reach = {totals_->recent(total_part_, size_t(operand.index)), 0, 0, 1}; break;
            case Space::constant: reach = {constants_ + operand.index * kTile, 0, 0, 0}; break;
            default: reach = {nullptr, 0, 0, 0};
        }
    }

    void reach_ports(size_t stage) {
        if (plan_.stages[stage].kind != Stage::pointwise) return;
        for (size_t i = layouts_[stage].moving; i < layouts_[stage].moving_end; ++i) {
            const Moving& moving = moving_[i];
            const View<T>& view = views_[moving.port];
            Reach& reach = reaches_[moving.reach];
            reach.base = view.base + moving.offset, reach.stride = reach.by_row = view.stride;
        }
    }

    void pointwise(size_t index, int64_t begin, int64_t end) {
        const Stage& stage = plan_.stages[index];
        const Layout& layout = layouts_[index];
        for (int64_t row = begin; row < end; row += layout.rows) {
            const int64_t high = std::min(layout.rows, end - row);
            for (int64_t column = layout.columns.begin; column < layout.columns.end; column += layout.wide) {
                const int64_t wide = std::min(layout.wide, layout.columns.end - column);
                const Reach* r = &reaches_[size_t(4 * stage.first)];
                const Micro* micro = &plan_.micros[size_t(stage.first)];
                for (const Micro* last = micro + stage.count; micro < last; ++micro, r += 4) {
                    auto at = [&](const Reach& x) { return x.base + row * x.by_row + column * x.by_column; };
                    if (micro->op == op_take) {
                        const Form& form = plan_.forms[size_t(micro->operands[1].index)];
                        kernels_.take(at(r[0]), r[0].stride, at(r[1]), r[1].stride, form, high, column, wide);
                        continue;
                    }
                    kernels_.pointwise[micro->op](at(r[0]), r[0].stride, at(r[1]), r[1].stride, at(r[2]), r[2].stride,
                                                  at(r[3]), r[3].stride, high, wide);
                }
            }
        }
    }

    const Plan& plan_;
    const echoic_run& run_;
    const Kernels<T>& kernels_;
    const Packed<T>* packed_;
    int64_t part_ = 0, parts_ = 1;  // of the columns
    int64_t units_ = 0;
    bool backwards_ = false;
    Totals<T>* totals_ = nullptr;
    size_t total_part_ = 0;
    T *tiles_ = nullptr, *constants_ = nullptr;
    std::vector<View<T>> views_;
    bool ready_ = false;             // what follows: not after columns, tiles or totals have changed
    std::vector<Reach> reaches_;     // of each micro its target and operands
    std::vector<Moving> moving_;     // those among them in ports, stage by stage
    std::vector<Layout> layouts_;    // of each stage
};

}  // namespace echoic
