#include <zsync/core/limits.hpp>
#include <zsync/core/task_record.hpp>
#include <zsync/core/worker.hpp>

#include <format>

namespace zsync {
namespace {

std::string place_of(const PromiseBase& promise) {
    if (promise.where.line() == 0) {
        return "not started";
    }
    std::string_view file = promise.where.file_name();
    // Paths as in the source tree, whatever directory the build ran in.
    constexpr std::string_view source_root = "userspace/";
    if (const auto at = file.rfind(source_root); at != std::string_view::npos) {
        file.remove_prefix(at + source_root.size());
    }
    return std::format("{}:{}", file, promise.where.line());
}

} // namespace

TaskRecord::TaskRecord(Worker& worker, TaskRecord* parent, std::string_view name, std::uint64_t id)
    : worker_(&worker), id_(id), parent_id_(parent != nullptr ? parent->id_ : 0),
      started_(Clock::now()), name_(name) {}

TaskInfo TaskRecord::info() const {
    TaskInfo info{.id = id_, .parent = parent_id_, .name = name_, .state = {}, .where = {}};
    switch (state_) {
    case TaskState::ready:
        info.state = "ready";
        break;
    case TaskState::running:
        info.state = "running";
        break;
    case TaskState::waiting:
        info.state = suspension_ != nullptr ? std::format("waiting: {}", suspension_->kind())
                                            : std::string("waiting");
        break;
    }
    if (cancel_pending_) {
        info.state += ", canceling";
    }
    if (state_ == TaskState::running) {
        info.where = "on the CPU";
    } else {
        info.where = leaf_ != nullptr ? place_of(*leaf_) : "finished";
    }
    info.age = Clock::now() - started_;
    return info;
}

std::vector<std::string> TaskRecord::await_chain() const {
    std::vector<std::string> chain;
    for (const PromiseBase* frame = leaf_;
         frame != nullptr && chain.size() < limits::await_chain_max;
         frame = frame->caller) {
        chain.push_back(place_of(*frame));
    }
    return chain;
}

void TaskRecord::request_cancel() noexcept {
    if (finished_ || cancel_pending_) {
        return;
    }
    cancel_pending_ = true;
    if (suspension_ != nullptr) {
        suspension_->request_cancel();
    }
}

bool TaskRecord::take_cancel() noexcept { return std::exchange(cancel_pending_, false); }

void TaskRecord::release() noexcept {
    if (--references_ == 0) {
        delete this;
    }
}

bool Suspension::enter(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept {
    if (promise.task->take_cancel()) {
        task_ = promise.task;
        return false;
    }
    enter_regardless(promise, waiter);
    return true;
}

void Suspension::enter_regardless(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept {
    task_ = promise.task;
    waiter_ = waiter;
    task_->suspension_ = this;
    task_->state_ = TaskState::waiting;
}

void Suspension::wake() noexcept {
    task_->suspension_ = nullptr;
    task_->worker().make_ready(*task_, waiter_);
}

void Suspension::resume_inline() noexcept {
    task_->suspension_ = nullptr;
    task_->worker().resume(*task_, waiter_);
}

} // namespace zsync
