// What the verbs print, made from plain data: a table for people and a document for programs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <zsyncctl/daemon.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/table.hpp>
#include <zsyncctl/wire.hpp>

namespace zsyncctl {

// status

/// A filtered interface with its counters; these may be missing while it is absent.
struct InterfaceStatus {
    InterfaceView view;
    std::optional<CounterView> counters;
};

struct StatusView {
    std::string version{};
    std::uint64_t pid = 0;
    std::uint64_t uptime_ms = 0;
    std::vector<InterfaceStatus> interfaces{};
};

Json status_json(const StatusView& status);
std::string status_text(const StatusView& status, const Style& style);

// features, tasks, jobs: from what the bus says

Json features_json(const Json& features);
std::string features_text(const Json& features, const Style& style);

Json tasks_json(const Json& tasks);
/// Each task under its parent; with `chains` all of its awaits under it.
std::string tasks_text(const Json& tasks, const Style& style, bool chains = false);

/// The fields of a task by their place in what ListTasks gives.
namespace task_field {
constexpr std::size_t id = 0;
constexpr std::size_t parent = 1;
constexpr std::size_t name = 2;
constexpr std::size_t kind = 3;
constexpr std::size_t state = 4;
constexpr std::size_t chain = 5;
constexpr std::size_t age_us = 6;
constexpr std::size_t running_us = 7;
constexpr std::size_t polls = 8;
constexpr std::size_t wakeups = 9;
constexpr std::size_t stack_bytes = 10;
constexpr std::size_t buffers = 11;
} // namespace task_field

/// A task and how deep it stands under the first one.
struct TaskInTree {
    const Json* task = nullptr;
    std::size_t depth = 0;

    [[nodiscard]] std::string label() const;    ///< its name, indented
    [[nodiscard]] std::string waits_at() const; ///< the innermost place of its chain
    [[nodiscard]] std::string stack() const;    ///< empty where it has none of its own
    [[nodiscard]] std::string buffers() const;  ///< empty where it holds none
    /// The awaits outside of the innermost one, a line each.
    [[nodiscard]] std::vector<std::string> outer_awaits() const;
};
/// Parents before their children; what refers to `tasks` lives as long as these.
std::vector<TaskInTree> task_tree(const Json& tasks);

Answer<Json> ask_tasks(Daemon& daemon);

// top

/// What `top` compares with what was a moment before.
struct TopSample {
    std::uint64_t monotonic_us = 0;
    Json tasks{};                 ///< as ListTasks gives them
    Json worker{};                ///< as WorkerStats gives them
    Json stacks = Json::object(); ///< as StackMarks gives them
};

/// What tasks are sorted by.
enum class TopOrder : unsigned char { tree, cpu, polls, wakes, age, name };

/// How a person wants to see them.
struct TopLook {
    TopOrder order = TopOrder::tree;
    bool reversed = false;
    bool chains = false;       ///< all awaits of a task, not only the innermost
    std::size_t first_row = 0; ///< rows above it are scrolled away

    /// Does what a key asks for; `page` is how many rows are seen at once.
    void key(char key, std::size_t page);
};

/// By the name that `--sort` takes.
std::optional<TopOrder> top_order(std::string_view name);
inline constexpr std::string_view top_orders = "tree, cpu, polls, wakes, age, name";

Json top_json(const TopSample* before, const TopSample& now);
/// At most `rows_max` lines of at most `columns_max` columns, where these are not 0.
std::vector<std::string> top_lines(
    const TopSample* before,
    const TopSample& now,
    const Style& style,
    std::size_t rows_max,
    std::size_t columns_max,
    TopLook look = {}
);
/// Lines above the rows.
constexpr std::size_t top_head_lines = 3;

struct JobView {
    std::uint64_t id = 0;
    std::string kind{};
    std::string subject{};
    std::string state{};
    std::string path{};
    double progress = 0; ///< 0 to 1
};

Json jobs_json(const std::vector<JobView>& jobs);
std::string jobs_text(const std::vector<JobView>& jobs, const Style& style);

// packet load, reload

/// `refusal` of a file with errors: its diagnostics, one a line, and last `WHAT: N errors; STAYS`.
Refusal with_summary(Refusal refusal, std::string_view what, std::string_view stays);

// packet rules, packet stats

Json rules_json(const RuleList& list);
std::string rules_text(const RuleList& list, const CounterView& counters, const Style& style);

/// Of hooks but the first, which is what the interface receives.
Json hook_rules_json(const std::vector<HookView>& hooks);
std::string hook_rules_text(const std::vector<HookView>& hooks, const Style& style);
/// Of the first hook only what `stats_text` does not say.
Json hook_stats_json(const std::vector<HookView>& hooks);
std::string hook_stats_text(const std::vector<HookView>& hooks, const Style& style);

// packet limits

Json limits_json(const std::vector<LimitView>& limits);
/// Under each rule its keys that are over.
std::string limits_text(const std::vector<LimitView>& limits, const Style& style);

Json shape_json(const ShapeView& shape);
std::string shape_text(const ShapeView& shape, const Style& style);

Json temporary_json(const InterfaceView& view);
std::string temporary_text(const InterfaceView& view);
/// Empty where none was left out.
std::string alerts_left_out_text(const InterfaceView& view);

Json stats_json(
    const InterfaceView& view, const CounterView& counters, const std::vector<HookView>& hooks
);
std::string stats_text(const InterfaceView& view, const CounterView& counters, const Style& style);

/// One line on an interface: `eth0: attached, native, 3 rules from rules.txt`.
std::string interface_line(const InterfaceView& view, const Style& style);
Tone tone_of_state(std::string_view state);

// flows, alerts: from the daemon's reports

std::string flows_text(const Json& report, const Style& style);
std::string alerts_text(const Json& alerts, const Style& style);

// packet watch

/// Everything about an interface at one moment.
struct Sample {
    std::uint64_t monotonic_us = 0;
    std::uint64_t realtime_us = 0;
    InterfaceView view;
    CounterView counters;
    RuleList list;
    std::vector<HookView> hooks;
};

/// Packets and bytes a second; empty where there is nothing to compare with.
struct Rate {
    std::optional<double> packets;
    std::optional<double> bytes;
};

/// A sample with its changes since the one before.
struct WatchView {
    Sample sample;
    Rate total;
    Rate passed;
    Rate dropped;
    Rate malformed;
    Rate fallback;
    std::vector<Rate> rules; ///< in the order of the rules
};

/// Compares two samples; `before` may be null. Rules are the same where their texts are, in order.
WatchView watch_view(const Sample* before, Sample sample);

Json watch_json(const WatchView& watch);
/// At most `rows_max` lines of at most `columns_max` columns, where these are not 0.
std::vector<std::string> watch_lines(
    const WatchView& watch, const Style& style, std::size_t rows_max, std::size_t columns_max
);

} // namespace zsyncctl
