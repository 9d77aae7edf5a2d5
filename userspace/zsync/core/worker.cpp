#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/worker.hpp>

namespace zsync {

Outcome<std::unique_ptr<Worker>> Worker::create() {
    Ring ring = ZTRY(Ring::create());
    return std::unique_ptr<Worker>(new Worker(std::move(ring)));
}

Worker::Worker(Ring ring) noexcept : ring_(std::move(ring)), timers_(Clock::now()) {}

Worker::~Worker() { ZASSERT(task_count_ == 0, "a worker ends with live tasks"); }

Io Worker::io() noexcept { return Io(*this); }

void Worker::run_root(std::string_view name, std::coroutine_handle<> root, PromiseBase& promise) {
    ZASSERT(current_ == nullptr && task_count_ == 0, "a worker runs one root task at a time");
    TaskRecord& record =
        register_task(nullptr, name, root, promise, [](TaskRecord& finished) noexcept {
            finished.worker().unregister_task(finished);
        });
    const TaskRef root_ref(record);
    make_ready(record, root);
    while (!root_ref.is_finished()) {
        turn();
    }
    offload_pool_.reset();
    // Every task has ended, so only the runtime's own requests can be left.
    while (ring_.in_flight() != 0) {
        ring_.enter(true, std::nullopt);
        ring_.deliver();
    }
}

void Worker::turn() noexcept {
    ++turns_;
    run_ready();
    const bool idle = ready_first_ == nullptr && task_count_ != 0;
    ring_.enter(idle, idle ? timers_.next() : std::nullopt);
    ring_.deliver();
    if (timers_.count() != 0) {
        timers_.advance(Clock::now());
    }
}

void Worker::run_ready() noexcept {
    for (std::uint32_t resumed = 0;
         ready_first_ != nullptr && resumed < limits::resumes_per_turn_max;
         ++resumed) {
        TaskRecord& record = *ready_first_;
        ready_first_ = std::exchange(record.next_ready_, nullptr);
        if (ready_first_ == nullptr) {
            ready_last_ = nullptr;
        }
        resume(record, record.next_);
    }
}

void Worker::make_ready(TaskRecord& record, std::coroutine_handle<> next) noexcept {
    record.next_ = next;
    record.state_ = TaskState::ready;
    if (ready_last_ != nullptr) {
        ready_last_->next_ready_ = &record;
    } else {
        ready_first_ = &record;
    }
    ready_last_ = &record;
}

void Worker::resume(TaskRecord& record, std::coroutine_handle<> next) noexcept {
    TaskRecord* outer = std::exchange(current_, &record);
    record.state_ = TaskState::running;
    next.resume();
    current_ = outer;
}

TaskRecord& Worker::register_task(
    TaskRecord* parent,
    std::string_view name,
    std::coroutine_handle<> root,
    PromiseBase& promise,
    TaskRecord::Finish finish
) {
    auto* record = new TaskRecord(*this, parent, name, next_task_id_++);
    record->root_ = root;
    record->leaf_ = &promise;
    record->finish_ = finish;
    promise.task = record;
    record->registry_previous_ = registry_last_;
    if (registry_last_ != nullptr) {
        registry_last_->registry_next_ = record;
    } else {
        registry_first_ = record;
    }
    registry_last_ = record;
    ++task_count_;
    return *record;
}

void Worker::unregister_task(TaskRecord& record) noexcept {
    record.finished_ = true;
    record.leaf_ = nullptr;
    if (record.registry_previous_ != nullptr) {
        record.registry_previous_->registry_next_ = record.registry_next_;
    } else {
        registry_first_ = record.registry_next_;
    }
    if (record.registry_next_ != nullptr) {
        record.registry_next_->registry_previous_ = record.registry_previous_;
    } else {
        registry_last_ = record.registry_previous_;
    }
    --task_count_;
    record.release();
}

std::vector<TaskInfo> Worker::tasks() const {
    std::vector<TaskInfo> tasks;
    tasks.reserve(task_count_);
    for (const TaskRecord* record = registry_first_; record != nullptr;
         record = record->registry_next_) {
        tasks.push_back(record->info());
    }
    return tasks;
}

OffloadPool& Worker::offload_pool() {
    if (!offload_pool_) {
        offload_pool_ = std::make_unique<OffloadPool>(*this);
    }
    return *offload_pool_;
}

} // namespace zsync
