#include <zsync/core/worker.hpp>
#include <zsync/core/worker_address.hpp>

namespace zsync {

void RemoteCallBase::begin_there(Worker& worker) noexcept {
    TaskRecord* host = worker.host_of_guests();
    if (host == nullptr) {
        refuse(CoreError::closed);
        end_there();
        return;
    }
    TaskRecord& guest = make_guest(Io(worker, task_kind_), *host, std::move(name_));
    guest_ = &guest;
    worker.start_anyhow(guest);
}

void RemoteCallBase::cancel_there() noexcept {
    if (guest_ != nullptr) {
        cancel_asked_ = true;
        guest_->request_end();
    }
}

void RemoteCallBase::guest_ended(bool has_cancel_left) noexcept {
    guest_ = nullptr;
    if (cancel_asked_ && !has_cancel_left) {
        took_cancel();
    }
    end_there();
}

} // namespace zsync
