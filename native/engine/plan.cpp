#include "plan.h"

#include <stdexcept>

#include "engine.h"

namespace echoic {
namespace {

constexpr int64_t kMostWidth = int64_t(1) << 24, kMostItems = 1 << 16, kMostTiles = 4096;
constexpr size_t kMostAbreast = 8;  // a cell has one or two
constexpr int kArity[op_count] = {
#define X(name, arity) arity,
    ECHOIC_POINTWISE(X)
#undef X
};

class Reader {
   public:
    Reader(const int64_t* code, size_t count) : code_(code), left_(count) {}
    int64_t number(int64_t low, int64_t high, const char* what) {
        if (left_ == 0) throw std::invalid_argument(std::string("plan: it ends before ") + what);
        const int64_t value = *code_++;
        --left_;
        if (value < low || value > high)
            throw std::invalid_argument(std::string("plan: ") + what + ": found " + std::to_string(value) +
                                        ", expected " + std::to_string(low) + " to " + std::to_string(high));
        return value;
    }
    bool done() const { return left_ == 0; }

   private:
    const int64_t* code_;
    size_t left_;
};

class Decoder {
   public:
    Decoder(const int64_t* code, size_t count, const double* constants, size_t constant_count, int type)
        : in_(code, count) {
        if (type < ECHOIC_FLOAT32 || type > ECHOIC_BFLOAT16_PAIRS) throw std::invalid_argument("plan: found an unknown type of numbers");
        if (constant_count > size_t(kMostItems)) throw std::invalid_argument("plan: too many constants");
        plan_.type = type;
        plan_.constants.assign(constants, constants + constant_count);
    }

    Plan decode() {
        const int64_t ports = in_.number(0, kMostItems, "number of ports");
        plan_.outside = in_.number(0, ports, "number of ports given from outside");
        for (int64_t i = 0; i < ports; ++i) plan_.ports.push_back(in_.number(1, kMostWidth, "width of a port"));
        const int64_t vectors = in_.number(0, kMostItems, "number of vectors");
        for (int64_t i = 0; i < vectors; ++i) plan_.vectors.push_back(in_.number(1, kMostWidth, "size of a vector"));
        const int64_t matrices = in_.number(0, kMostItems, "number of matrices");
        for (int64_t i = 0; i < matrices; ++i) {
            plan_.matrix_rows.push_back(in_.number(1, kMostWidth, "rows of a matrix"));
            plan_.matrix_columns.push_back(in_.number(1, kMostWidth, "columns of a matrix"));
            plan_.matrix_groups.push_back(1);
        }
        const int64_t totals = in_.number(0, kMostItems, "number of totals");
        for (int64_t i = 0; i < totals; ++i) plan_.totals.push_back(in_.number(1, kMostWidth, "width of a total"));
        const int64_t forms = in_.number(0, kMostItems, "number of forms");
        for (int64_t i = 0; i < forms; ++i) form();
        const int64_t stages = in_.number(0, kMostItems, "number of stages");
        for (int64_t i = 0; i < stages; ++i) stage();
        if (!in_.done()) throw std::invalid_argument("plan: it goes on after its end");
        settle(plan_.wide);
        for (size_t i = 0; i < plan_.stages.size(); ++i) plan_.stages[i].abreast = abreast(i);
        for (Phase phase : {Phase::ahead, Phase::within, Phase::behind}) {
            PhaseOf& of = plan_.phases[size_t(phase)];
            auto later = [&](const Stage& stage) { return stage.phase >= phase; };
            auto after = [&](const Stage& stage) { return stage.phase > phase; };
            of.first = size_t(std::find_if(plan_.stages.begin(), plan_.stages.end(), later) - plan_.stages.begin());
            of.last = size_t(std::find_if(plan_.stages.begin(), plan_.stages.end(), after) - plan_.stages.begin());
            settle(of.touched);
            settle(of.written);
        }
        return std::move(plan_);
    }

   private:
    void form() {
        Form form{};
        int64_t low = form.offset = in_.number(0, kMostWidth, "first column of a form"), high = low, columns = 1;
        for (int d = 0; d < kDimensions; ++d) {
            form.sizes[d] = in_.number(1, kMostWidth / columns, "size of a form");
            form.strides[d] = in_.number(-kMostWidth, kMostWidth, "stride of a form");
            const int64_t end = (form.sizes[d] - 1) * form.strides[d];
            low += std::min(end, int64_t(0)), high += std::max(end, int64_t(0));
            columns *= form.sizes[d];
        }
        if (low < 0) throw std::invalid_argument("plan: a form takes what lies before the first column");
        plan_.forms.push_back(form);
        taken_.push_back({columns, high + 1});
    }

    void stage() {
        Stage stage;
        stage.kind = Stage::Kind(in_.number(1, 3, "kind of a stage"));
        stage.phase = phase_ = Phase(in_.number(int64_t(phase_), int64_t(Phase::behind), "phase of a stage"));
        if (stage.kind == Stage::pointwise) {
            stage.width = in_.number(1, kMostWidth, "width of a stage");
            stage.first = int64_t(plan_.micros.size());
            stage.count = in_.number(1, kMostItems, "operations of a stage");
            for (int64_t i = 0; i < stage.count; ++i) micro(stage.width);
        } else if (stage.kind == Stage::matmul) {
            matmul(stage);
            ++plan_.operations;
        } else {
            stage.width = in_.number(1, kMostWidth, "width of a reduction");
            stage.size = in_.number(1, stage.width, "size of a reduction");
            stage.inner = in_.number(1, stage.width / stage.size, "columns of a reduction that stay apart");
            if (stage.width % (stage.size * stage.inner) != 0)
                throw std::invalid_argument("plan: a reduction has groups of different sizes");
            stage.reducing = in_.number(0, reduction_count - 1, "kind of a reduction");
            stage.source = place(stage.width, false);
            stage.other = place(stage.width, true);
            stage.target = written(place(stage.width / stage.size, false));
            if ((stage.other.space == Space::port) != (stage.reducing == reduce_dot))
                throw std::invalid_argument("plan: a reduction has too many or too few operands");
            ++plan_.operations;
        }
        plan_.stages.push_back(stage);
    }

    void matmul(Stage& stage) {
        stage.matrix = in_.number(0, int64_t(plan_.matrix_rows.size()) - 1, "number of a matrix");
        const size_t matrix = size_t(stage.matrix);
        const int64_t k = plan_.matrix_rows[matrix], n = plan_.matrix_columns[matrix];
        stage.groups = in_.number(1, kMostWidth / std::max(k, n), "groups of a matmul");
        stage.source = place(stage.groups * k, false);
        stage.target = written(place(stage.groups * n, false));
        stage.added = place(stage.groups * n, true);
        stage.bias = in_.number(-1, int64_t(plan_.vectors.size()) - 1, "number of a vector");
        if (stage.bias >= 0 && plan_.vectors[size_t(stage.bias)] < n)
            throw std::invalid_argument("plan: a bias is shorter than its matmul");
        if (stage.bias >= 0 && stage.groups > 1) throw std::invalid_argument("plan: a matmul of groups has a bias");
        plan_.matrix_groups[matrix] = std::max(plan_.matrix_groups[matrix], stage.groups);
    }

    // Matmuls of one group and as wide as the first, none of which reads what another writes but to add to it column by column.
    size_t abreast(size_t first) const {
        const Stage& one = plan_.stages[first];
        auto columns = [&](const Stage& stage) { return plan_.matrix_columns[size_t(stage.matrix)]; };
        auto apart = [](const Operand& a, const Operand& b) { return a.space != b.space || a.index != b.index; };
        auto in_step = [&](const Operand& a, const Operand& b) { return apart(a, b) || a.offset == b.offset; };
        // Two ports from outside may be the same memory
        auto scratch = [&](const Stage& stage) { return stage.target.index >= plan_.outside; };
        auto together = [&](const Stage& earlier, const Stage& later) {
            return scratch(earlier) && scratch(later) && in_step(earlier.target, later.target) &&
                   apart(earlier.target, later.source) && in_step(earlier.target, later.added) &&
                   apart(earlier.source, later.target) && in_step(earlier.added, later.target);
        };
        const size_t end = std::min(plan_.stages.size(), first + kMostAbreast);
        size_t last = first + 1;
        for (; one.kind == Stage::matmul && last < end; ++last) {
            const Stage& next = plan_.stages[last];
            if (next.kind != Stage::matmul || next.phase != one.phase || columns(next) != columns(one)) break;
            if (next.groups > 1 || one.groups > 1) break;
            auto fits = [&](const Stage& earlier) { return together(earlier, next); };
            if (!std::all_of(&one, &next, fits)) break;
        }
        return last - first;
    }

    void micro(int64_t width) {
        Micro micro{};
        micro.op = in_.number(0, op_count - 1, "an operation");
        micro.target = written(operand(width, false));
        if (micro.target.space != Space::port && micro.target.space != Space::tile && micro.target.space != Space::total)
            throw std::invalid_argument("plan: an operation writes where it cannot");
        for (int i = 0; i < 3; ++i) {
            const bool used = i < kArity[micro.op];
            micro.operands[i] = operand(i == column_operand(micro.op) ? 1 : width, true);
            if (used != (micro.operands[i].space != Space::none))
                throw std::invalid_argument("plan: an operation has too many or too few operands");
        }
        const int64_t column = column_operand(micro.op);
        if (column >= 0 && micro.operands[column].space == Space::tile)
            throw std::invalid_argument("plan: a tile cannot be a column");
        check_form(micro, width);
        check_totals(micro, width);
        plan_.micros.push_back(micro);
        ++plan_.operations;
    }

    // A form stands in take alone, and takes as many columns as the stage has, of what has so many.
    void check_form(const Micro& micro, int64_t width) const {
        for (int i = 0; i < 3; ++i)
            if ((micro.operands[i].space == Space::form) != (micro.op == op_take && i == 1))
                throw std::invalid_argument("plan: a form stands where it cannot");
        if (micro.op != op_take) return;
        const Operand& from = micro.operands[0];
        const Taken& taken = taken_[size_t(micro.operands[1].index)];
        if (from.space != Space::port && from.space != Space::vector)
            throw std::invalid_argument("plan: columns are taken of what is not in memory");
        if (taken.columns != width) throw std::invalid_argument("plan: a form has another width than its stage");
        if (from.offset + taken.needed > room(from)) throw std::invalid_argument("plan: a form takes what lies outside");
    }

    // A total stands on both sides, whole, of an operation that adds to it, and nowhere else.
    void check_totals(const Micro& micro, int64_t width) const {
        int reads = 0;
        for (const Operand& operand : micro.operands) reads += operand.space == Space::total;
        if (micro.target.space != Space::total) {
            if (reads > 0) throw std::invalid_argument("plan: an operation reads a total");
            return;
        }
        const bool adds = micro.op == op_add || micro.op == op_fma;
        const Operand& last = micro.operands[kArity[micro.op] - 1];
        const bool same = last.space == Space::total && last.index == micro.target.index;
        const bool whole = last.offset == 0 && micro.target.offset == 0 && plan_.totals[size_t(last.index)] == width;
        if (!adds || reads != 1 || !same || !whole) throw std::invalid_argument("plan: an operation does not add to its total");
    }

    Operand operand(int64_t width, bool optional) {
        Operand found{};
        found.space = Space(in_.number(optional ? 0 : 1, 6, "kind of an operand"));
        const int64_t limits[] = {1, int64_t(plan_.ports.size()), kMostTiles, int64_t(plan_.vectors.size()),
                                  int64_t(plan_.constants.size()), int64_t(plan_.totals.size()),
                                  int64_t(plan_.forms.size())};
        found.index = in_.number(0, limits[size_t(found.space)] - 1, "number of an operand");
        found.offset = in_.number(0, kMostWidth, "column of an operand");
        if (found.offset + width > room(found)) throw std::invalid_argument("plan: an operand lies outside its memory");
        if (found.space == Space::tile && found.index >= plan_.tiles) plan_.tiles = found.index + 1;
        if (found.space == Space::port && phase_ != Phase::within) {
            const bool outside = found.index < plan_.outside;
            (outside ? plan_.phases[size_t(phase_)].touched : plan_.wide).push_back(size_t(found.index));
        }
        return found;
    }

    // Columns of what an operand names.
    int64_t room(const Operand& operand) const {
        const size_t index = size_t(operand.index);
        switch (operand.space) {
            case Space::port: return plan_.ports[index];
            case Space::vector: return plan_.vectors[index];
            case Space::total: return plan_.totals[index];
            default: return kMostWidth * 2;
        }
    }

    const Operand& written(const Operand& target) {
        if (target.space == Space::port && phase_ != Phase::within && target.index < plan_.outside)
            plan_.phases[size_t(phase_)].written.push_back(size_t(target.index));
        return target;
    }

    static void settle(std::vector<size_t>& ports) {
        std::sort(ports.begin(), ports.end());
        ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
    }

    Operand place(int64_t width, bool optional) {
        const Operand found = operand(width, optional);
        if (found.space != Space::port && !(optional && found.space == Space::none))
            throw std::invalid_argument("plan: expected a place in memory");
        return found;
    }

    // Of a form how many columns it takes, and how many it needs to be there.
    struct Taken {
        int64_t columns, needed;
    };

    Reader in_;
    Plan plan_;
    std::vector<Taken> taken_;
    Phase phase_ = Phase::ahead;  // of the stage that is read
};

}  // namespace

Plan decode(const int64_t* code, size_t count, const double* constants, size_t constant_count, int type) {
    return Decoder(code, count, constants, constant_count, type).decode();
}

}  // namespace echoic
