#include <zsync/core/assert.hpp>
#include <zsync/core/batch.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>

namespace zsync {
namespace {

template <class T> std::uint64_t address_of(T* pointer) noexcept {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

/// False when nothing will tell of it: no descriptor was left for the set.
bool watch_in(const Fd& set, int fd, std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    if (set && ::epoll_ctl(set.get(), EPOLL_CTL_ADD, fd, &event) == 0) {
        return true;
    }
    // Two operations on one descriptor.
    event.events = EPOLLIN | EPOLLOUT;
    return set && errno == EEXIST && ::epoll_ctl(set.get(), EPOLL_CTL_MOD, fd, &event) == 0;
}

bool opens(const OperationRequest& request) noexcept {
    return request.opcode == Opcode::open || request.opcode == Opcode::accept;
}

} // namespace

BatchOperation
BatchOperation::open(const char* path, int flags, mode_t mode, Directory from) noexcept {
    const OperationRequest request{
        .opcode = Opcode::open,
        .fd = from.get(),
        .address = address_of(path),
        .length = mode,
        .flags = static_cast<std::uint32_t>(flags | O_CLOEXEC),
    };
    return {request, false};
}

BatchOperation BatchOperation::accept(FdRef listener) noexcept {
    return {{.opcode = Opcode::accept, .fd = listener.get(), .flags = SOCK_CLOEXEC}, false};
}

BatchOperation BatchOperation::connect(BatchTarget fd, const SocketAddress& address) noexcept {
    const OperationRequest request{
        .opcode = Opcode::connect,
        .fd = fd.get(),
        .offset = address.length,
        .address = address_of(&address.storage),
    };
    return {request, fd.is_opened()};
}

BatchOperation BatchOperation::stat(BatchTarget fd, struct statx& found, unsigned mask) noexcept {
    const OperationRequest request{
        .opcode = Opcode::statx,
        .fd = fd.get(),
        .offset = address_of(&found),
        .address = address_of(""),
        .length = mask,
        .flags = AT_EMPTY_PATH,
    };
    return {request, fd.is_opened()};
}

BatchOperation BatchOperation::stat(
    const char* path, struct statx& found, int flags, unsigned mask, Directory from
) noexcept {
    const OperationRequest request{
        .opcode = Opcode::statx,
        .fd = from.get(),
        .offset = address_of(&found),
        .address = address_of(path),
        .length = mask,
        .flags = static_cast<std::uint32_t>(flags),
    };
    return {request, false};
}

BatchOperation
BatchOperation::read(BatchTarget fd, std::span<std::byte> buffer, std::uint64_t offset) noexcept {
    const OperationRequest request{
        .opcode = Opcode::read,
        .fd = fd.get(),
        .offset = offset,
        .address = address_of(buffer.data()),
        .length = length_of(buffer.size()),
    };
    return {request, fd.is_opened()};
}

BatchOperation BatchOperation::write(
    BatchTarget fd, std::span<const std::byte> buffer, std::uint64_t offset
) noexcept {
    const OperationRequest request{
        .opcode = Opcode::write,
        .fd = fd.get(),
        .offset = offset,
        .address = address_of(buffer.data()),
        .length = length_of(buffer.size()),
    };
    return {request, fd.is_opened()};
}

BatchOperation
BatchOperation::recv(BatchTarget fd, std::span<std::byte> buffer, std::uint32_t flags) noexcept {
    const OperationRequest request{
        .opcode = Opcode::recv,
        .fd = fd.get(),
        .address = address_of(buffer.data()),
        .length = length_of(buffer.size()),
        .flags = flags,
    };
    return {request, fd.is_opened()};
}

BatchOperation BatchOperation::send(
    BatchTarget fd, std::span<const std::byte> buffer, std::uint32_t flags
) noexcept {
    const OperationRequest request{
        .opcode = Opcode::send,
        .fd = fd.get(),
        .address = address_of(buffer.data()),
        .length = length_of(buffer.size()),
        .flags = flags | MSG_NOSIGNAL,
    };
    return {request, fd.is_opened()};
}

BatchOperation BatchOperation::send_to(
    BatchTarget fd,
    std::span<const std::byte> datagram,
    const SocketAddress& to,
    std::uint32_t flags
) noexcept {
    BatchOperation operation = send(fd, datagram, flags);
    operation.request_.offset = address_of(&to.storage);
    operation.request_.extra = to.length; // sqe->addr_len
    return operation;
}

BatchOperation BatchOperation::poll(BatchTarget fd, std::uint32_t events) noexcept {
    return {{.opcode = Opcode::poll, .fd = fd.get(), .flags = events}, fd.is_opened()};
}

BatchOperation BatchOperation::fsync(BatchTarget fd, bool data_only) noexcept {
    const OperationRequest request{
        .opcode = Opcode::fsync,
        .fd = fd.get(),
        .flags = data_only ? std::uint32_t{IORING_FSYNC_DATASYNC} : 0,
    };
    return {request, fd.is_opened()};
}

BatchOperation BatchOperation::rename(const char* from, const char* to, unsigned flags) noexcept {
    const OperationRequest request{
        .opcode = Opcode::rename,
        .fd = AT_FDCWD,
        .offset = address_of(to),
        .address = address_of(from),
        .length = static_cast<std::uint32_t>(AT_FDCWD),
        .flags = flags,
    };
    return {request, false};
}

BatchOperation BatchOperation::unlink(const char* path, int flags, Directory from) noexcept {
    const OperationRequest request{
        .opcode = Opcode::unlink,
        .fd = from.get(),
        .address = address_of(path),
        .flags = static_cast<std::uint32_t>(flags),
    };
    return {request, false};
}

BatchOperation BatchOperation::mkdir(const char* path, mode_t mode, Directory from) noexcept {
    const OperationRequest request{
        .opcode = Opcode::mkdir,
        .fd = from.get(),
        .address = address_of(path),
        .length = mode,
    };
    return {request, false};
}

BatchOperation BatchOperation::close(BatchTarget::Opened /*opened*/) noexcept {
    return {{.opcode = Opcode::close}, true};
}

BatchOperation BatchOperation::close(Fd fd) noexcept {
    return {{.opcode = Opcode::close}, true, std::move(fd)};
}

Batch::Batch(Io io, std::span<BatchSlot> storage) noexcept
    : io_(io),
      worker_(io.kind() == TaskKind::thread ? nullptr : &static_cast<Worker&>(io.executor())),
      free_count_(storage.size()) {
    for (std::size_t at = storage.size(); at-- > 0;) {
        ZASSERT(storage[at].batch_ == nullptr, "a slot belongs to one batch at a time");
        storage[at].batch_ = this;
        storage[at].behind_ = free_;
        free_ = &storage[at];
    }
}

Batch::~Batch() {
    if (live_ != 0) {
        const TaskRecord* task = TaskRecord::current();
        ZASSERT(
            task != nullptr && task->context() != nullptr,
            "a batch ends with operations on their way: await all() or cancel(), or use in_batch"
        );
        cancel().wait();
    }
    while (next()) {
    }
    while (free_ != nullptr) {
        free_->batch_ = nullptr;
        free_ = free_->behind_;
    }
}

bool Batch::is_sound(std::span<const BatchOperation> chain) noexcept {
    bool has_opened = false;
    for (const BatchOperation& operation : chain) {
        if (operation.owned_) {
            if (chain.size() != 1) {
                return false;
            }
        } else if (operation.on_opened_ && !has_opened) {
            return false;
        }
        if (opens(operation.request_) && std::exchange(has_opened, true)) {
            return false;
        }
        // What is behind a close would be on a descriptor that may be another file's by then.
        if (operation.request_.opcode == Opcode::close && &operation != &chain.back()) {
            return false;
        }
    }
    return !chain.empty();
}

Result<void> Batch::add_chain(std::uint64_t tag, std::span<BatchOperation> chain) noexcept {
    if (!is_sound(chain)) {
        return fail(CoreError::invalid_argument);
    }
    if (chain.size() > free_count_) {
        return fail(CoreError::limit_reached);
    }
    BatchSlot* const first = free_;
    for (BatchOperation& operation : chain) {
        BatchSlot& slot = *free_;
        free_ = slot.behind_;
        take_up(slot, tag, operation);
        // The next one is taken from the same list.
        slot.link_ = &operation != &chain.back() ? free_ : nullptr;
    }
    free_count_ -= chain.size();
    start(*first);
    return {};
}

void Batch::take_up(BatchSlot& slot, std::uint64_t tag, BatchOperation& operation) noexcept {
    slot.request_ = operation.request_;
    slot.tag_ = tag;
    slot.progress_ = {};
    slot.opened_ = operation.owned_.release();
    slot.on_opened_ = operation.on_opened_;
    slot.interrupted_ = false;
    slot.stopped_ = false;
    slot.state_ = BatchSlot::State::waiting;
    slot.before_ = live_last_;
    slot.behind_ = nullptr;
    (live_last_ != nullptr ? live_last_->behind_ : live_first_) = &slot;
    live_last_ = &slot;
    ++live_;
}

void Batch::leave_live(BatchSlot& slot) noexcept {
    (slot.before_ != nullptr ? slot.before_->behind_ : live_first_) = slot.behind_;
    (slot.behind_ != nullptr ? slot.behind_->before_ : live_last_) = slot.before_;
    --live_;
}

void Batch::start(BatchSlot& slot) noexcept {
    slot.state_ = BatchSlot::State::running;
    if (slot.on_opened_) {
        slot.request_.fd = slot.opened_;
    }
    if (worker_ != nullptr) {
        worker_->queue().queue(slot.request_, slot);
    }
}

// Until its descriptor is ready; then it begins anew.
void Batch::wait_for(BatchSlot& slot, const OperationRequest& poll) noexcept {
    slot.state_ = BatchSlot::State::polling;
    worker_->queue().queue(poll, slot);
}

void Batch::completed(BatchSlot& slot, std::int32_t result) noexcept {
    const bool was_polling = slot.state_ == BatchSlot::State::polling;
    result = without_restart_codes(result);
    if (slot.interrupted_) {
        end_chain(slot, was_polling && result >= 0 ? -ECANCELED : result);
        return;
    }
    if (result == -ECANCELED) {
        const Attempt tried = attempt_without_thread(slot.request_);
        if (tried.kind == Attempt::Kind::poll) {
            wait_for(slot, poll_of(tried));
            return;
        }
        end_chain(slot, tried.result);
        return;
    }
    if ((was_polling && result >= 0) || (result == -EINTR && may_be_repeated(slot.request_))) {
        start(slot);
        return;
    }
    if (result == -EAGAIN) {
        // The file is O_NONBLOCK, which is for others to see; here it means to wait.
        const OperationRequest poll = readiness_for(slot.request_);
        if (poll.flags != 0) {
            wait_for(slot, poll);
            return;
        }
    }
    end_chain(slot, result);
}

// One operation is over, with this result.
void Batch::end(BatchSlot& slot, std::int32_t result, bool stopped) noexcept {
    leave_live(slot);
    slot.state_ = BatchSlot::State::done;
    slot.result_ = result;
    slot.stopped_ = stopped;
    stopped_ += stopped ? 1 : 0;
    slot.behind_ = nullptr;
    (done_last_ != nullptr ? done_last_->behind_ : done_first_) = &slot;
    done_last_ = &slot;
    ++done_;
}

// One operation is over; what follows it begins, or is over too.
void Batch::end_chain(BatchSlot& ended, std::int32_t result) noexcept {
    BatchSlot* slot = &ended;
    bool stopped = slot->interrupted_ && (result == -ECANCELED || result == -EINTR);
    for (;;) {
        int descriptor = slot->opened_;
        if (slot->request_.opcode == Opcode::close) {
            // close(2) frees the descriptor whatever it returns; a cancel comes before it.
            if (result == -ECANCELED) {
                Fd(descriptor).reset();
            }
            descriptor = -1;
        } else if (opens(slot->request_) && result >= 0) {
            descriptor = std::exchange(result, 0);
        }
        BatchSlot* const next = slot->link_;
        end(*slot, result, stopped);
        slot->opened_ = next == nullptr ? descriptor : -1;
        if (next == nullptr) {
            break;
        }
        next->opened_ = descriptor;
        const bool closes = next->request_.opcode == Opcode::close && descriptor >= 0;
        if (closes || (result >= 0 && !next->interrupted_)) {
            start(*next);
            break;
        }
        stopped = stopped || (result >= 0 && next->interrupted_);
        result = -ECANCELED;
        slot = next;
    }
    wake_waiter();
}

void Batch::wake_waiter() noexcept {
    if (waiter_ != nullptr && is_enough(*waiter_)) {
        std::exchange(waiter_, nullptr)->end();
    } else if (canceler_ != nullptr && live_ == 0) {
        std::exchange(canceler_, nullptr)->end();
    }
}

std::optional<BatchCompletion> Batch::next() noexcept {
    BatchSlot* slot = done_first_;
    if (slot == nullptr) {
        return std::nullopt;
    }
    done_first_ = slot->behind_;
    if (done_first_ == nullptr) {
        done_last_ = nullptr;
    }
    --done_;
    std::optional<BatchCompletion> completion(
        std::in_place, slot->tag_, slot->request_.opcode, 0U, Fd(slot->opened_)
    );
    if (slot->stopped_) {
        completion->value = fail(CoreError::canceled);
    } else if (slot->result_ < 0) {
        completion->value = fail(os_error(-slot->result_));
    } else {
        completion->value = static_cast<std::uint32_t>(slot->result_);
    }
    slot->state_ = BatchSlot::State::unused;
    slot->behind_ = free_;
    free_ = slot;
    ++free_count_;
    return completion;
}

// Asks every operation to end; a close is let through.
void Batch::stop() noexcept {
    stopped_ = 0;
    for (BatchSlot* slot = live_first_; slot != nullptr; slot = slot->behind_) {
        if (slot->interrupted_ || slot->request_.opcode == Opcode::close) {
            continue;
        }
        slot->interrupted_ = true;
        if (worker_ != nullptr && slot->state_ != BatchSlot::State::waiting) {
            worker_->queue().queue_cancel(*slot);
        }
    }
}

// A cancel may miss a request that is on its way from one place in the kernel to another, as one of
// `OperationWait` may: it is asked again until it has ended.
void Batch::stop_again() noexcept {
    for (BatchSlot* slot = live_first_; slot != nullptr; slot = slot->behind_) {
        if (slot->interrupted_ && slot->state_ != BatchSlot::State::waiting) {
            worker_->queue().queue_cancel(*slot);
        }
    }
}

TimePoint Batch::time_to_stop_again() const noexcept {
    return io_.now() + std::chrono::milliseconds(limits::cancel_again_ms);
}

bool BatchWait::suspend(PromiseBase& promise) noexcept {
    if (batch_.worker_ == nullptr) {
        return suspend_here(promise);
    }
    ZASSERT(
        batch_.waiter_ == nullptr && batch_.canceler_ == nullptr, "a batch belongs to one task"
    );
    if (!begin(promise)) {
        failure_ = CoreError::canceled;
        if (!all_) {
            return false;
        }
        begin_regardless(promise);
        stop_all();
    } else if (has_deadline_) {
        arm(due);
    }
    batch_.waiter_ = this;
    return park();
}

void BatchWait::interrupt(CoreError reason) noexcept {
    if (batch_.waiter_ != this || interrupted_) {
        return;
    }
    if (all_) {
        interrupt_ = reason;
        disarm();
        stop_all();
        return;
    }
    if (reason == CoreError::canceled && !task().take_cancel()) {
        return;
    }
    batch_.waiter_ = nullptr;
    failure_ = reason;
    disarm();
    wake();
}

void BatchWait::stop_all() noexcept {
    interrupted_ = true;
    batch_.stop();
    arm(batch_.time_to_stop_again());
}

void BatchWait::expired() noexcept {
    if (!interrupted_) {
        interrupt(CoreError::timed_out);
        return;
    }
    batch_.stop_again();
    arm(batch_.time_to_stop_again());
}

void BatchWait::end() noexcept {
    // Where all have ended by themselves nothing was cut short, and a cancel stays pending.
    if (interrupt_ != CoreError::os && batch_.stopped_ != 0 &&
        (interrupt_ != CoreError::canceled || task().take_cancel())) {
        failure_ = interrupt_;
    }
    disarm();
    wake();
}

bool BatchCancel::suspend(PromiseBase& promise) noexcept {
    if (batch_.worker_ == nullptr) {
        batch_.stop_here();
        return false;
    }
    ZASSERT(
        batch_.waiter_ == nullptr && batch_.canceler_ == nullptr, "a batch belongs to one task"
    );
    begin_regardless(promise);
    batch_.canceler_ = this;
    batch_.stop();
    arm(batch_.time_to_stop_again());
    return park();
}

void BatchCancel::expired() noexcept {
    batch_.stop_again();
    arm(batch_.time_to_stop_again());
}

void BatchCancel::end() noexcept {
    disarm();
    wake();
}

// On a thread.
bool BatchWait::suspend_here(PromiseBase& promise) noexcept {
    failure_ = batch_.carry_on(*this, promise);
    if (failure_ != CoreError::os && all_) {
        batch_.stop_here();
    }
    return false;
}

CoreError Batch::carry_on(BatchWait& wait, PromiseBase& promise) noexcept {
    {
        const RuntimeLock lock;
        if (promise.task->take_cancel()) {
            return CoreError::canceled;
        }
    }
    for (;;) {
        try_all();
        if (is_enough(wait)) {
            return CoreError::os;
        }
        if (const CoreError failure = wait_here(wait, promise); failure != CoreError::os) {
            return failure;
        }
    }
}

// A chain's next operation is further back in the list, so one pass carries chains to their ends.
void Batch::try_all() noexcept {
    for (BatchSlot* slot = live_first_; slot != nullptr;) {
        BatchSlot* const before = slot->before_;
        if (slot->state_ == BatchSlot::State::running) {
            try_here(*slot);
        }
        if (slot->state_ == BatchSlot::State::done) {
            slot = before != nullptr ? before->behind_ : live_first_;
        } else {
            slot = slot->behind_;
        }
    }
}

void Batch::try_here(BatchSlot& slot) noexcept {
    if (const int error = io_.executor().refusal(slot.request_); error != 0) {
        end_chain(slot, -error);
        return;
    }
    const Attempt tried = attempt(slot.request_, slot.progress_);
    switch (tried.kind) {
    case Attempt::Kind::done:
        if (tried.result != -EINTR || !may_be_repeated(slot.request_)) {
            end_chain(slot, tried.result);
            return;
        }
        slot.result_ = -1;
        break;
    case Attempt::Kind::blocks:
        end_chain(slot, carry_out(slot.request_, std::nullopt, nullptr));
        return;
    case Attempt::Kind::poll:
        slot.result_ = tried.fd;
        slot.events_ = static_cast<std::uint16_t>(tried.events);
        break;
    case Attempt::Kind::later:
        slot.result_ = -1;
        break;
    }
}

// Until one of the operations may be tried again.
CoreError Batch::wait_here(BatchWait& wait, PromiseBase& promise) noexcept {
    Fd set;
    bool again = false; // nothing tells when
    int fd = -1;
    std::uint32_t events = POLLIN;
    for (const BatchSlot* slot = live_first_; slot != nullptr; slot = slot->behind_) {
        if (slot->state_ != BatchSlot::State::running) {
            continue;
        }
        if (slot->result_ < 0) {
            again = true;
        } else if (fd < 0) {
            fd = slot->result_;
            events = slot->events_;
        } else {
            if (!set) {
                set = Fd(::epoll_create1(EPOLL_CLOEXEC));
                again = again || !watch_in(set, fd, events);
            }
            again = again || !watch_in(set, slot->result_, slot->events_);
        }
    }
    TimePoint until = wait.has_deadline_ ? wait.due : TimePoint::max();
    if (again) {
        until = std::min(until, io_.now() + std::chrono::milliseconds(limits::attempt_again_ms));
    }
    CoreError outcome{};
    if (!set && fd < 0) {
        outcome = sleep_here(until, promise);
    } else {
        NumberWait ready(
            {.opcode = Opcode::poll, .fd = set ? set.get() : fd, .flags = set ? POLLIN : events}
        );
        if (until != TimePoint::max()) {
            (void)ready.until(until);
        }
        (void)ready.suspend(promise);
        // An error of the wait itself: the operation that is tried again meets it too.
        const Result<std::uint32_t> polled = ready.await_resume();
        outcome = polled ? CoreError::os : static_cast<CoreError>(polled.error().code());
    }
    const bool is_over = wait.has_deadline_ && io_.now() >= wait.due;
    return outcome == CoreError::timed_out && again && !is_over ? CoreError::os : outcome;
}

CoreError Batch::sleep_here(TimePoint until, PromiseBase& promise) noexcept {
    SleepWait pause(until);
    (void)pause.suspend(promise);
    const Result<void> slept = pause.await_resume();
    return slept ? CoreError::timed_out : static_cast<CoreError>(slept.error().code());
}

// The first live operation is never one that waits for another of its chain.
void Batch::stop_here() noexcept {
    stop();
    while (BatchSlot* slot = live_first_) {
        if (slot->interrupted_) {
            end_chain(*slot, slot->progress_.stopped(ECANCELED));
        } else {
            try_here(*slot);
        }
    }
}

} // namespace zsync
