#include <algorithm>
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
    const Json answer = ZTRY(daemon.call(
        {.path = names::root,
         .interface = names::manager,
         .name = "ListTasks",
         .reply_signature = "a(ttssst)"}
    ));
    const Json& tasks = answer.at(0);
    session.print_either(tasks_json(tasks), tasks_text(tasks, session.style()));
    return {};
}

struct Tree {
    std::map<std::uint64_t, std::vector<const Json*>> children; ///< by parent
    Table table{{{"TASK"}, {"ID", Align::right}, {"STATE"}, {"AGE", Align::right}, {"WAITS AT"}}};

    // Depth-first without recursion: how deep tasks nest is the daemon's affair.
    void add_below(std::uint64_t root) {
        std::vector<std::pair<const Json*, std::size_t>> open;
        const auto push = [&](std::uint64_t parent, std::size_t depth) {
            const auto found = children.find(parent);
            if (found == children.end()) {
                return;
            }
            for (const Json* task : std::views::reverse(found->second)) {
                open.emplace_back(task, depth);
            }
            children.erase(found);
        };
        push(root, 0);
        while (!open.empty()) {
            const auto [task, depth] = open.back();
            open.pop_back();
            table.row(
                {std::string(2 * depth, ' ') + text_at(*task, 2),
                 number_at(*task, 0),
                 text_at(*task, 3),
                 duration_text(number_at(*task, 5) / 1000),
                 text_at(*task, 4)}
            );
            push(number_at(*task, 0), depth + 1);
        }
    }
};

} // namespace

Json tasks_json(const Json& tasks) {
    Json rows = Json::array();
    for (const Json& task : tasks) {
        rows.push_back(
            {{"id", number_at(task, 0)},
             {"parent", number_at(task, 1)},
             {"name", text_at(task, 2)},
             {"state", text_at(task, 3)},
             {"where", text_at(task, 4)},
             {"age_us", number_at(task, 5)}}
        );
    }
    return rows;
}

std::string tasks_text(const Json& tasks, const Style& style) {
    std::set<std::uint64_t> ids;
    for (const Json& task : tasks) {
        ids.insert(number_at(task, 0));
    }
    Tree tree;
    for (const Json& task : tasks) {
        // A task whose parent is not in the list (0, or ended meanwhile) stands at the left.
        const std::uint64_t parent = number_at(task, 1);
        tree.children[ids.contains(parent) ? parent : 0].push_back(&task);
    }
    tree.add_below(0);
    return tree.table.text(style);
}

constinit const Verb tasks_verb{
    .path = "tasks",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Show every task that lives in the daemon and where it waits",
    .details = "",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
