#include <zsync/core/assert.hpp>
#include <zsync/core/task_order.hpp>
#include <zsync/core/task_record.hpp>

#include <algorithm>
#include <format>

namespace zsync {
namespace {

double share(Duration of, Duration in) {
    return static_cast<double>(of.count()) / static_cast<double>(in.count());
}

} // namespace

TaskOrder::Entry* TaskOrder::find(const TaskRecord& task) noexcept {
    return task.urgency_ == 0 ? nullptr : &entries_[task.urgency_ - 1U];
}

bool TaskOrder::is_before(const Entry* a, const Entry* b) noexcept {
    if (a == nullptr || b == nullptr) {
        return a != nullptr && b == nullptr;
    }
    const bool a_has_deadline = a->asked.priority == 0;
    const bool b_has_deadline = b->asked.priority == 0;
    if (a_has_deadline && b_has_deadline) {
        return a->due < b->due;
    }
    if (a_has_deadline || b_has_deadline) {
        return a_has_deadline;
    }
    return a->asked.priority > b->asked.priority;
}

Outcome<void> TaskOrder::check(const TaskRecord& task, const Urgency& asked) const {
    const auto wrong = [](std::string words) {
        return fail(CoreError::invalid_argument, std::move(words));
    };
    if (task.urgency_ != 0) {
        return wrong("the task is a real-time task already");
    }
    if (asked.priority != 0) {
        if (asked.priority > 99 || asked.deadline != Duration() || asked.period != Duration()) {
            return wrong("a task has a priority of 1 to 99, or a deadline or period");
        }
        return {};
    }
    if (asked.budget <= Duration() || asked.budget > asked.deadline ||
        (asked.period != Duration() && asked.deadline > asked.period)) {
        return wrong(std::format(
            "a task with budget {}, deadline {}, period {}: it must be 0 < budget <= deadline <= "
            "period",
            asked.budget,
            asked.deadline,
            asked.period
        ));
    }
    return {};
}

double TaskOrder::load_with(const Urgency& asked) const noexcept {
    const auto for_each = [&](auto&& see) {
        see(asked);
        for (const Entry& entry : entries_) {
            if (entry.task != nullptr && entry.asked.priority == 0) {
                see(entry.asked);
            }
        }
    };
    double most = 0;
    for_each([&](const Urgency& of) {
        double shares = 0;
        Duration longest_behind{};
        for_each([&](const Urgency& other) {
            if (other.deadline <= of.deadline) {
                shares += share(other.budget, other.deadline);
            } else {
                longest_behind = std::max(longest_behind, other.budget);
            }
        });
        most = std::max(most, shares + share(longest_behind, of.deadline));
    });
    return most;
}

Outcome<TaskOrder::Entry*> TaskOrder::admit(TaskRecord& task, const Urgency& wanted) {
    Urgency asked = wanted;
    if (asked.priority == 0 && asked.deadline == Duration()) {
        asked.deadline = asked.period;
    }
    if (Outcome<void> right = check(task, asked); !right) {
        ++refused_;
        return std::unexpected(std::move(right).error());
    }
    const auto free = std::ranges::find(entries_, nullptr, &Entry::task);
    if (free == entries_.end()) {
        ++refused_;
        return fail(
            CoreError::limit_reached,
            std::format("{} real-time tasks run on this worker", limits::real_time_tasks_max)
        );
    }
    if (asked.priority == 0) {
        // What a sum of fractions may be off by.
        constexpr double rounding = 1e-9;
        if (const double load = load_with(asked); load > capacity_ + rounding) {
            ++refused_;
            return fail(
                CoreError::limit_reached,
                std::format(
                    "a task of {} in every {} would bring this worker's deadline tasks to {:.1f} % "
                    "of a processor, with {:.1f} % to promise",
                    asked.budget,
                    asked.deadline,
                    load * 100,
                    capacity_ * 100
                )
            );
        }
    }
    *free = Entry{.task = &task, .asked = asked, .due = {}, .release = {}, .stats = {}};
    task.urgency_ = static_cast<std::uint8_t>(free - entries_.begin() + 1);
    return &*free;
}

void TaskOrder::leave(Entry& entry) noexcept {
    entry.task->urgency_ = 0;
    entry.task = nullptr;
}

} // namespace zsync
