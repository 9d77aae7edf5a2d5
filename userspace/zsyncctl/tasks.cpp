#include <algorithm>
#include <array>
#include <format>
#include <map>
#include <ranges>
#include <set>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    Daemon daemon = ZTRY(session.daemon());
    const Json tasks = ZTRY(ask_tasks(daemon));
    const bool chains = session.invocation().has("--chains");
    session.print_either(tasks_json(tasks), tasks_text(tasks, session.style(), chains));
    return {};
}

} // namespace

Answer<Json> ask_tasks(Daemon& daemon) {
    const Json answer = ZTRY(daemon.call(
        {.path = names::root,
         .interface = names::manager,
         .name = "ListTasks",
         .reply_signature = "a(ttsssastttttt)"}
    ));
    return answer.at(0);
}

Json tasks_json(const Json& tasks) {
    Json rows = Json::array();
    for (const Json& task : tasks) {
        rows.push_back(
            {{"id", number_at(task, task_field::id)},
             {"parent", number_at(task, task_field::parent)},
             {"name", text_at(task, task_field::name)},
             {"kind", text_at(task, task_field::kind)},
             {"state", text_at(task, task_field::state)},
             {"where", TaskInTree{.task = &task}.waits_at()},
             {"chain", task.at(task_field::chain)},
             {"age_us", number_at(task, task_field::age_us)},
             {"running_us", number_at(task, task_field::running_us)},
             {"resumes", number_at(task, task_field::polls)},
             {"wakeups", number_at(task, task_field::wakeups)},
             {"stack_bytes", number_at(task, task_field::stack_bytes)},
             {"buffers", number_at(task, task_field::buffers)}}
        );
    }
    return rows;
}

std::vector<TaskInTree> task_tree(const Json& tasks) {
    std::set<std::uint64_t> ids;
    for (const Json& task : tasks) {
        ids.insert(number_at(task, 0));
    }
    std::map<std::uint64_t, std::vector<const Json*>> children; // by parent
    for (const Json& task : tasks) {
        // A task whose parent is not in the list (0, or ended meanwhile) stands at the left.
        const std::uint64_t parent = number_at(task, 1);
        children[ids.contains(parent) ? parent : 0].push_back(&task);
    }
    // Depth-first without recursion: how deep tasks nest is the daemon's affair.
    std::vector<TaskInTree> open;
    const auto push = [&](std::uint64_t parent, std::size_t depth) {
        const auto found = children.find(parent);
        if (found == children.end()) {
            return;
        }
        for (const Json* task : std::views::reverse(found->second)) {
            open.push_back({.task = task, .depth = depth});
        }
        children.erase(found);
    };
    std::vector<TaskInTree> tree;
    push(0, 0);
    while (!open.empty()) {
        const TaskInTree next = open.back();
        open.pop_back();
        tree.push_back(next);
        push(number_at(*next.task, 0), next.depth + 1);
    }
    return tree;
}

std::string TaskInTree::label() const { return std::string(2 * depth, ' ') + text_at(*task, 2); }

std::string TaskInTree::waits_at() const {
    const Json& chain = task->at(5);
    return chain.empty() ? std::string() : chain.front().get<std::string>();
}

std::string TaskInTree::stack() const {
    const bool has_one = text_at(*task, task_field::kind) == "fiber";
    return has_one ? size_text(number_at(*task, task_field::stack_bytes)) : std::string();
}

std::string TaskInTree::buffers() const {
    const std::uint64_t held = number_at(*task, task_field::buffers);
    return held != 0 ? std::to_string(held) : std::string();
}

std::vector<std::string> TaskInTree::outer_awaits() const {
    std::vector<std::string> awaits;
    for (const Json& place : task->at(task_field::chain)) {
        awaits.push_back(place.get<std::string>());
    }
    if (!awaits.empty()) {
        awaits.erase(awaits.begin());
    }
    return awaits;
}

std::string tasks_text(const Json& tasks, const Style& style, bool chains) {
    Table table(
        {{"TASK"},
         {"ID", Align::right},
         {"STATE"},
         {"AGE", Align::right},
         {"RUNNING", Align::right},
         {"POLLS", Align::right},
         {"WAKES", Align::right},
         {"STACK", Align::right},
         {"BUFFERS", Align::right},
         {"WAITS AT"}}
    );
    for (const TaskInTree& at : task_tree(tasks)) {
        table.row(
            {at.label(),
             number_at(*at.task, task_field::id),
             text_at(*at.task, task_field::state),
             duration_text(number_at(*at.task, task_field::age_us) / 1000),
             latency_text(number_at(*at.task, task_field::running_us)),
             number_at(*at.task, task_field::polls),
             number_at(*at.task, task_field::wakeups),
             at.stack(),
             at.buffers(),
             at.waits_at()}
        );
        if (chains) {
            for (std::string& place : at.outer_awaits()) {
                table.row({"", "", "", "", "", "", "", "", "", std::move(place)});
            }
        }
    }
    return table.text(style);
}

constexpr std::array tasks_options{
    Option{.name = "--chains", .help = "show all awaits of each task, the innermost first"},
};

constinit const Verb tasks_verb{
    .path = "tasks",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Show every task that lives in the daemon and where it waits",
    .details = "",
    .options = tasks_options,
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
