// What `top` shows: the difference of two samples.
#include <format>
#include <map>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

constexpr std::size_t running_us_at = 7;
constexpr std::size_t resumes_at = 8;

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

} // namespace

std::vector<std::string> top_lines(
    const TopSample* before,
    const TopSample& now,
    const Style& style,
    std::size_t rows_max,
    std::size_t columns_max
) {
    const Difference change(before, now);
    const Json& worker = now.worker;
    const std::uint64_t stalls = number_field(worker, "stalls");
    const std::string summary = std::format(
        "worker: {} % busy, {} turns/s, {} system calls/s, {}, {}, {}",
        percent_text(percent(change.worker_rate("busy_usec"))),
        rate_text(change.worker_rate("turns")),
        rate_text(change.worker_rate("system_calls")),
        counted(number_field(worker, "tasks"), "task"),
        counted(number_field(worker, "timers"), "timer"),
        counted(stalls, "stall")
    );
    std::vector<std::string> lines{style.paint(
        columns_max != 0 ? shortened(summary, columns_max) : summary,
        stalls != 0 ? Tone::warning : Tone::plain
    )};
    Table table(
        {{"TASK"},
         {"ID", Align::right},
         {"STATE"},
         {"CPU %", Align::right},
         {"WAKES/S", Align::right},
         {"AGE", Align::right},
         {"WAITS AT"}}
    );
    for (const TaskInTree& at : task_tree(now.tasks)) {
        const std::optional<double> wakes = change.task_rate(*at.task, resumes_at);
        const Tone tone = wakes.value_or(0) > 0 ? Tone::good : Tone::plain;
        table.row(
            {at.label(),
             number_at(*at.task, 0),
             text_at(*at.task, 4),
             percent_text(percent(change.task_rate(*at.task, running_us_at))),
             Cell(rate_text(wakes), tone),
             duration_text(number_at(*at.task, 6) / 1000),
             at.waits_at()}
        );
    }
    for (std::string& line : table.lines(style, columns_max)) {
        if (rows_max != 0 && lines.size() == rows_max) {
            break;
        }
        lines.push_back(std::move(line));
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
        tasks[i]["cpu_percent"] = or_null(percent(change.task_rate(task, running_us_at)));
        tasks[i]["wakes_per_second"] = or_null(change.task_rate(task, resumes_at));
    }
    return {{"worker", std::move(worker)}, {"tasks", std::move(tasks)}};
}

} // namespace zsyncctl
