// What `top` shows: the difference of two samples.
#include <algorithm>
#include <array>
#include <format>
#include <functional>
#include <limits>
#include <map>
#include <utility>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/screen.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

/// Changes between two samples. A count that went down is another daemon's.
class Difference {
public:
    Difference(const TopSample* before, const TopSample& now) : before_(before), now_(now) {
        if (before == nullptr || now.monotonic_us <= before->monotonic_us) {
            before_ = nullptr;
            return;
        }
        for (const Json& task : before->tasks) {
            tasks_before_[number_at(task, 0)] = &task;
        }
    }

    /// Of a field of WorkerStats.
    [[nodiscard]] std::optional<double> worker_rate(std::string_view field) const {
        if (before_ == nullptr) {
            return std::nullopt;
        }
        return rate(number_field(before_->worker, field), number_field(now_.worker, field));
    }
    /// Of a field of a task; one that is new counts from zero.
    [[nodiscard]] std::optional<double> task_rate(const Json& task, std::size_t field) const {
        if (before_ == nullptr) {
            return std::nullopt;
        }
        const auto found = tasks_before_.find(number_at(task, 0));
        const std::uint64_t start =
            found != tasks_before_.end() ? number_at(*found->second, field) : 0;
        return rate(start, number_at(task, field));
    }

private:
    [[nodiscard]] std::optional<double> rate(std::uint64_t from, std::uint64_t to) const {
        if (to < from) {
            return std::nullopt;
        }
        const auto elapsed_us = static_cast<double>(now_.monotonic_us - before_->monotonic_us);
        return static_cast<double>(to - from) * 1e6 / elapsed_us;
    }

    const TopSample* before_;
    const TopSample& now_;
    std::map<std::uint64_t, const Json*> tasks_before_;
};

/// Microseconds a second as a share of one processor.
std::optional<double> percent(std::optional<double> us_per_second) {
    return us_per_second ? std::optional(*us_per_second / 1e4) : std::nullopt;
}

std::string percent_text(std::optional<double> share) {
    return share ? std::format("{:.1f}", *share) : "-";
}

Json or_null(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

/// A task as a row, with what it is sorted by.
struct Row {
    TaskInTree at;
    std::optional<double> cpu_percent;
    std::optional<double> polls;
    std::optional<double> wakes;
};

std::vector<Row> rows_of(const TopSample& now, const Difference& change, const TopLook& look) {
    std::vector<Row> rows;
    for (const TaskInTree& at : task_tree(now.tasks)) {
        rows.push_back(
            {.at = at,
             .cpu_percent = percent(change.task_rate(*at.task, task_field::running_us)),
             .polls = change.task_rate(*at.task, task_field::polls),
             .wakes = change.task_rate(*at.task, task_field::wakeups)}
        );
    }
    // Equals stay in the order of the tree, so rows do not jump.
    const auto largest_first = [&rows](auto&& value) {
        std::ranges::stable_sort(rows, std::greater(), value);
    };
    switch (look.order) {
    case TopOrder::tree:
        break;
    case TopOrder::cpu:
        largest_first(&Row::cpu_percent);
        break;
    case TopOrder::polls:
        largest_first(&Row::polls);
        break;
    case TopOrder::wakes:
        largest_first(&Row::wakes);
        break;
    case TopOrder::age:
        largest_first([](const Row& row) { return number_at(*row.at.task, task_field::age_us); });
        break;
    case TopOrder::name:
        std::ranges::stable_sort(rows, std::less(), [](const Row& row) {
            return text_at(*row.at.task, task_field::name);
        });
        break;
    }
    if (look.reversed) {
        std::ranges::reverse(rows);
    }
    return rows;
}

std::string worker_line(const TopSample& now, const Difference& change) {
    return std::format(
        "worker: {} % busy, {} turns/s, {} system calls/s, {}, {}, {}",
        percent_text(percent(change.worker_rate("busy_usec"))),
        rate_text(change.worker_rate("turns")),
        rate_text(change.worker_rate("system_calls")),
        counted(number_field(now.worker, "tasks"), "task"),
        counted(number_field(now.worker, "timers"), "timer"),
        counted(number_field(now.worker, "stalls"), "stall")
    );
}

std::string memory_line(const TopSample& now) {
    std::string line = std::format(
        "memory: {} ({} pooled), {} ({} pooled)",
        counted(number_field(now.worker, "frames"), "frame"),
        number_field(now.worker, "frames_pooled"),
        counted(number_field(now.worker, "fibers"), "stack"),
        number_field(now.worker, "fibers_pooled")
    );
    std::string deepest;
    std::uint64_t bytes = 0;
    for (const auto& [name, mark] : now.stacks.items()) {
        if (mark.get<std::uint64_t>() > bytes) {
            deepest = name;
            bytes = mark.get<std::uint64_t>();
        }
    }
    if (bytes != 0) {
        line += std::format(", deepest stack {} ({})", size_text(bytes), printable(deepest));
    }
    return line;
}

/// The columns that are worth their room.
struct Columns {
    bool rates; ///< how often it is polled, and its age: not on a narrow screen
    bool stacks;
    bool buffers;
};

Columns columns_for(const std::vector<Row>& rows, std::size_t columns_max) {
    constexpr std::size_t narrow_columns = 110;
    return {
        .rates = columns_max == 0 || columns_max >= narrow_columns,
        .stacks = std::ranges::any_of(rows, [](const Row& row) { return !row.at.stack().empty(); }),
        .buffers =
            std::ranges::any_of(rows, [](const Row& row) { return !row.at.buffers().empty(); }),
    };
}

/// The titles; that of the column that is sorted by has an arrow.
Table table_of(const TopLook& look, const Columns& columns) {
    const auto title = [&look](const char* name, const char* sorted, TopOrder order) {
        return std::string_view(look.order == order ? sorted : name);
    };
    std::vector<Column> titles{
        {.title = title("TASK", "TASK▼", TopOrder::name)},
        {.title = "ID", .align = Align::right},
        {.title = "STATE"},
        {.title = title("CPU %", "CPU %▼", TopOrder::cpu), .align = Align::right},
    };
    if (columns.rates) {
        titles.push_back({title("POLLS/S", "POLLS/S▼", TopOrder::polls), Align::right});
    }
    titles.push_back({title("WAKES/S", "WAKES/S▼", TopOrder::wakes), Align::right});
    if (columns.stacks) {
        titles.push_back({"STACK", Align::right});
    }
    if (columns.buffers) {
        titles.push_back({"BUFFERS", Align::right});
    }
    if (columns.rates) {
        titles.push_back({title("AGE", "AGE▼", TopOrder::age), Align::right});
    }
    titles.push_back({"WAITS AT"});
    return Table(std::move(titles));
}

void add_row(Table& table, const Row& row, const TopLook& look, const Columns& columns) {
    const Json& task = *row.at.task;
    const bool is_tree = look.order == TopOrder::tree;
    std::vector<Cell> cells{
        is_tree ? row.at.label() : text_at(task, task_field::name),
        number_at(task, task_field::id),
        text_at(task, task_field::state),
        percent_text(row.cpu_percent),
    };
    if (columns.rates) {
        cells.emplace_back(rate_text(row.polls));
    }
    cells.emplace_back(rate_text(row.wakes), row.wakes.value_or(0) > 0 ? Tone::good : Tone::plain);
    if (columns.stacks) {
        cells.emplace_back(row.at.stack());
    }
    if (columns.buffers) {
        cells.emplace_back(row.at.buffers());
    }
    if (columns.rates) {
        cells.emplace_back(duration_text(number_at(task, task_field::age_us) / 1000));
    }
    std::vector<Cell> outer(cells.size(), Cell(""));
    cells.emplace_back(row.at.waits_at());
    table.row(std::move(cells));
    if (!look.chains) {
        return;
    }
    outer.emplace_back("");
    for (std::string& place : row.at.outer_awaits()) {
        outer.back() = Cell(std::move(place), Tone::faint);
        table.row(outer);
    }
}

} // namespace

std::optional<TopOrder> top_order(std::string_view name) {
    static constexpr std::array orders{
        std::pair{"tree", TopOrder::tree},
        std::pair{"cpu", TopOrder::cpu},
        std::pair{"polls", TopOrder::polls},
        std::pair{"wakes", TopOrder::wakes},
        std::pair{"age", TopOrder::age},
        std::pair{"name", TopOrder::name},
    };
    for (const auto& [known, order] : orders) {
        if (name == known) {
            return order;
        }
    }
    return std::nullopt;
}

void TopLook::key(char key, std::size_t page) {
    const auto sort_by = [this](TopOrder by) {
        reversed = false;
        first_row = 0;
        order = by;
    };
    switch (key) {
    case 't':
        return sort_by(TopOrder::tree);
    case 'c':
        return sort_by(TopOrder::cpu);
    case 'p':
        return sort_by(TopOrder::polls);
    case 'w':
        return sort_by(TopOrder::wakes);
    case 'a':
        return sort_by(TopOrder::age);
    case 'n':
        return sort_by(TopOrder::name);
    case 'r':
        reversed = !reversed;
        break;
    case 'e':
        chains = !chains;
        break;
    case 'k':
    case keys::up:
        first_row -= std::min<std::size_t>(first_row, 1);
        break;
    case 'j':
    case keys::down:
        ++first_row;
        break;
    case keys::page_up:
        first_row -= std::min(first_row, page);
        break;
    case ' ':
    case keys::page_down:
        first_row += page;
        break;
    case 'g':
    case keys::home:
        first_row = 0;
        break;
    case 'G':
    case keys::end:
        first_row = std::numeric_limits<std::size_t>::max() / 2;
        break;
    default:
        break;
    }
}

std::vector<std::string> top_lines(
    const TopSample* before,
    const TopSample& now,
    const Style& style,
    std::size_t rows_max,
    std::size_t columns_max,
    TopLook look
) {
    const Difference change(before, now);
    const auto cut = [columns_max](const std::string& line) {
        return columns_max != 0 ? shortened(line, columns_max) : line;
    };
    const Tone stalled = number_field(now.worker, "stalls") != 0 ? Tone::warning : Tone::plain;
    std::vector<std::string> lines{
        style.paint(cut(worker_line(now, change)), stalled), cut(memory_line(now))
    };
    const std::vector<Row> rows_shown = rows_of(now, change, look);
    const Columns columns = columns_for(rows_shown, columns_max);
    Table table = table_of(look, columns);
    for (const Row& row : rows_shown) {
        add_row(table, row, look, columns);
    }
    std::vector<std::string> shown = table.lines(style, columns_max);
    lines.push_back(std::move(shown.front()));
    std::size_t room = shown.size() - 1;
    if (rows_max != 0) {
        lines.resize(std::min(lines.size(), rows_max));
        room = rows_max - lines.size();
    }
    const std::size_t rows = shown.size() - 1;
    const std::size_t first = std::min(look.first_row, rows - std::min(rows, room));
    for (std::size_t n = first; n < rows && n < first + room; ++n) {
        lines.push_back(std::move(shown[n + 1]));
    }
    return lines;
}

Json top_json(const TopSample* before, const TopSample& now) {
    const Difference change(before, now);
    Json worker = now.worker;
    worker["busy_percent"] = or_null(percent(change.worker_rate("busy_usec")));
    worker["turns_per_second"] = or_null(change.worker_rate("turns"));
    worker["system_calls_per_second"] = or_null(change.worker_rate("system_calls"));
    Json tasks = tasks_json(now.tasks);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        const Json& task = now.tasks[i];
        tasks[i]["cpu_percent"] = or_null(percent(change.task_rate(task, task_field::running_us)));
        tasks[i]["polls_per_second"] = or_null(change.task_rate(task, task_field::polls));
        tasks[i]["wakes_per_second"] = or_null(change.task_rate(task, task_field::wakeups));
    }
    return {{"worker", std::move(worker)}, {"tasks", std::move(tasks)}, {"stacks", now.stacks}};
}

} // namespace zsyncctl
