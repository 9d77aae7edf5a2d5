#include <zsync/core/errand.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/worker.hpp>

namespace zsync {

bool ErrandWait::suspend(PromiseBase& promise) noexcept {
    {
        const RuntimeLock lock;
        if (!begin(promise)) {
            refused_ = Error(CoreError::canceled);
            return false;
        }
    }
    // Only a worker has an inbox to come home to, and a simulation has no other threads.
    if (task().kind() == TaskKind::thread) {
        return ends_at_once(CoreError::unsupported);
    }
    auto& worker = static_cast<Worker&>(task().executor());
    if (worker.is_simulated()) {
        return ends_at_once(CoreError::unsupported);
    }
    home_ = worker.inbox().get();
    if (home_ == nullptr) {
        return ends_at_once(CoreError::limit_reached);
    }
    if (!there_.post(request_)) {
        return ends_at_once(CoreError::closed);
    }
    legs_out_ = 1;
    return park();
}

bool ErrandWait::ends_at_once(CoreError reason) noexcept {
    refused_ = Error(reason);
    const RuntimeLock lock;
    end_here();
    return false;
}

void ErrandWait::interrupt(CoreError /*reason*/) noexcept {
    if (!std::exchange(cancel_sent_, true) && there_.post(cancel_)) {
        ++legs_out_;
    }
}

void ErrandWait::came_back() noexcept {
    if (--legs_out_ != 0) {
        return;
    }
    if (took_cancel_) {
        (void)task().take_cancel();
    }
    resume_inline();
}

} // namespace zsync
