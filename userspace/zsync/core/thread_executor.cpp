#include <zsync/core/assert.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/thread_executor.hpp>

#include <cerrno>
#include <format>
#include <utility>

namespace zsync {

struct ThreadExecutor::Member {
    explicit Member(ThreadExecutor& of) noexcept : executor(of) {}
    ThreadExecutor& executor;
    Place place;
    TaskRecord* task = nullptr; ///< to run
    PoolThread thread;
};

ThreadExecutor::ThreadExecutor(std::uint32_t threads_max) noexcept : threads_max_(threads_max) {}

Outcome<std::unique_ptr<ThreadExecutor>> ThreadExecutor::create(std::uint32_t threads_max) {
    std::unique_ptr<ThreadExecutor> executor(new ThreadExecutor(threads_max));
    if (!executor->root_place_.interrupt) {
        const Error error = os_error(errno);
        return fail(error, "no eventfd for an executor: " + error.message());
    }
    return executor;
}

ThreadExecutor::~ThreadExecutor() {
    ZASSERT(task_count() == 0, "an executor ends with live tasks");
    end_threads();
    settle("thread executor");
}

void ThreadExecutor::end_threads() noexcept {
    if (!home_.is_here()) {
        for (std::unique_ptr<Member>& member : members_) {
            (void)member.release(); // what a thread waits on cannot be destroyed
        }
        return;
    }
    {
        const RuntimeLock lock;
        stopping_ = true;
        for (const std::unique_ptr<Member>& member : members_) {
            member->place.woken.notify_all();
        }
    }
    for (const std::unique_ptr<Member>& member : members_) {
        member->thread.join();
    }
    members_.clear(); // what they have open is not the tasks'
}

std::uint32_t ThreadExecutor::thread_count() const noexcept {
    const RuntimeLock lock;
    return threads_;
}

ThreadExecutor::Place& ThreadExecutor::place_of(TaskRecord& record) noexcept {
    return *static_cast<Place*>(record.context());
}

void ThreadExecutor::run_root(TaskRecord& root) noexcept {
    ZASSERT(
        TaskRecord::current() == nullptr && task_count() == 1,
        "an executor runs one root task at a time"
    );
    const TaskRef keep(root);
    run_on(root, root_place_);
    const RuntimeLock lock;
    // Tasks that it left behind may still be on their way.
    while (!root.is_finished()) {
        root_place_.woken.wait(RuntimeLock::mutex());
    }
}

bool ThreadExecutor::start(TaskRecord& record, Concurrency /*concurrency*/) noexcept {
    ZASSERT(
        TaskRecord::current() == nullptr || &TaskRecord::current()->executor() == this,
        "a task on a thread is started by another one of its executor"
    );
    {
        const RuntimeLock lock;
        for (const std::unique_ptr<Member>& member : members_) {
            // Also one that has just ended its task and has not come back here.
            if (member->place.given == nullptr) {
                member->task = &record;
                member->place.given = &record;
                member->place.woken.notify_one();
                return true;
            }
        }
        if (threads_ == threads_max_) {
            return false;
        }
        ++threads_;
    }
    return add_member(record);
}

bool ThreadExecutor::add_member(TaskRecord& record) noexcept {
    auto member = std::make_unique<Member>(*this);
    member->task = &record;
    member->place.given = &record;
    Member& added = *member;
    {
        const RuntimeLock lock;
        members_.push_back(std::move(member));
    }
    const auto body = [](void* argument) -> void* {
        auto& self = *static_cast<Member*>(argument);
        self.executor.serve(self);
        return nullptr;
    };
    if (added.place.interrupt && added.thread.start("zsync-task", body, &added)) {
        return true;
    }
    const RuntimeLock lock;
    --threads_;
    std::erase_if(members_, [&](const auto& one) { return one.get() == &added; });
    return false;
}

void ThreadExecutor::serve(Member& member) noexcept {
    while (TaskRecord* task = next_task(member)) {
        run_on(*task, member.place);
    }
}

TaskRecord* ThreadExecutor::next_task(Member& member) noexcept {
    const RuntimeLock lock;
    // The root may have waited for what this thread has just ended.
    root_place_.woken.notify_one();
    while (member.task == nullptr && !stopping_) {
        member.place.woken.wait(RuntimeLock::mutex());
    }
    return std::exchange(member.task, nullptr);
}

void ThreadExecutor::submit(OperationWait& wait) noexcept {
    Place& place = place_of(wait.owner());
    const auto deadline = wait.has_deadline() ? std::optional(wait.due) : std::nullopt;
    const std::int32_t result = carry_out(wait.request(), deadline, &place.interrupt);
    const RuntimeLock lock;
    if (wait.is_interrupted()) {
        place.interrupt.clear();
    }
    wait.end_here(result);
}

void ThreadExecutor::cancel(OperationWait& wait) noexcept {
    place_of(wait.owner()).interrupt.trigger();
}

void ThreadExecutor::park(TaskRecord& record) noexcept {
    Place& place = place_of(record);
    while (is_waiting(record)) {
        if (place.timer == nullptr) {
            place.woken.wait(RuntimeLock::mutex());
        } else if (Clock::now() < place.timer->due) {
            // A copy: whoever wakes the task takes the timer with it.
            const TimePoint due = place.timer->due;
            (void)place.woken.wait_until(RuntimeLock::mutex(), due);
        } else {
            auto& timer = static_cast<TimedSuspension&>(*place.timer);
            remove_timer(timer);
            timer.expired();
        }
    }
    goes_on(record);
}

void ThreadExecutor::unpark(TaskRecord& record) noexcept { place_of(record).woken.notify_one(); }

void ThreadExecutor::add_timer(TimedSuspension& timer, TimePoint deadline) noexcept {
    TaskRecord& record = static_cast<Suspension&>(timer).task();
    Place& place = place_of(record);
    timer.due = deadline;
    timer.link = &place.timer;
    place.timer = &timer;
    if (&record != TaskRecord::current()) {
        place.woken.notify_one(); // it may wait without a time, or for a later one
    }
}

void ThreadExecutor::remove_timer(TimedSuspension& timer) noexcept {
    *timer.link = nullptr;
    timer.link = nullptr;
}

std::vector<RuntimeFeature> ThreadExecutor::features() const {
    return {
        {.name = "concurrency",
         .available = threads_max_ != 0,
         .detail = std::format("a thread a task, at most {}", threads_max_)}
    };
}

} // namespace zsync
