#include <zsync/core/assert.hpp>
#include <zsync/core/epoll_queue.hpp>
#include <zsync/core/frame_pool.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/probes.hpp>
#include <zsync/core/time_left.hpp>

#include <linux/io_uring.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <utility>

namespace zsync {
namespace {

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI);
static_assert(EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP);

/// epoll's data for the threads' eventfd; no descriptor's number.
constexpr std::uint64_t threads_tag = ~0ULL;

/// What an operation waits for that must keep its place behind others of its kind.
std::uint32_t direction_of(Opcode opcode) noexcept {
    switch (opcode) {
    case Opcode::read:
    case Opcode::readv:
    case Opcode::recv:
    case Opcode::recvmsg:
    case Opcode::accept:
        return POLLIN;
    case Opcode::write:
    case Opcode::writev:
    case Opcode::send:
    case Opcode::sendmsg:
    case Opcode::send_zero_copy:
        return POLLOUT;
    default:
        return 0;
    }
}

} // namespace

struct EpollQueue::Pending : OperationJob {
    enum class Place : std::uint8_t { queued, polling, later, thread, ended };

    Pending(const OperationRequest& what, CompletionTarget whose) noexcept
        : OperationJob{.request = what}, target(whose) {}

    static void* operator new(std::size_t size) {
        return allocate_frame(size, FrameUse::operation);
    }
    static void operator delete(void* memory, std::size_t size) noexcept {
        free_frame(memory, size);
    }

    CompletionTarget target;
    Pending* before = nullptr;
    Pending* behind = nullptr;
    Progress progress;
    int fd = -1; ///< waited for
    Fd kept;     ///< of a send on a thread: the number of its own that it goes by
    std::uint32_t events = 0;
    Place place = Place::queued;
};

void EpollQueue::List::push(Pending& pending) noexcept {
    pending.before = last;
    pending.behind = nullptr;
    (last != nullptr ? last->behind : first) = &pending;
    last = &pending;
}

void EpollQueue::List::remove(Pending& pending) noexcept {
    (pending.before != nullptr ? pending.before->behind : first) = pending.behind;
    (pending.behind != nullptr ? pending.behind->before : last) = pending.before;
}

EpollQueue::Pending* EpollQueue::List::pop() noexcept {
    Pending* pending = first;
    if (pending != nullptr) {
        remove(*pending);
    }
    return pending;
}

EpollQueue::EpollQueue(RuntimeOptions options, std::string reason, Fd epoll) noexcept
    : options_(options), reason_(std::move(reason)), epoll_(std::move(epoll)),
      has_pwait2_(options.allows(KernelFeature::epoll_pwait2)) {
    // ENOSYS also where a seccomp filter knows only older calls.
    epoll_event none{};
    const timespec now{};
    if (has_pwait2_ && ::epoll_pwait2(epoll_.get(), &none, 1, &now, nullptr) < 0) {
        has_pwait2_ = false;
    }
}

EpollQueue::~EpollQueue() { ZASSERT(in_flight_ == 0, "a queue ends with operations in flight"); }

Outcome<std::unique_ptr<EpollQueue>>
EpollQueue::create(RuntimeOptions options, std::string reason) {
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) {
        const Error error = os_error(errno);
        return fail(error, "epoll_create1 failed: " + error.message());
    }
    return std::unique_ptr<EpollQueue>(new EpollQueue(options, std::move(reason), std::move(epoll))
    );
}

void EpollQueue::queue(const OperationRequest& request, CompletionTarget target) noexcept {
    // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): without memory the process ends
    auto* pending = new Pending(request, target);
    pending->progress.may_nowait = options_.allows(KernelFeature::rwf_nowait);
    pending->request.target = target.data();
    ZSYNC_PROBE_OPERATION(pending->request);
    queued_.push(*pending);
    ++in_flight_;
}

void EpollQueue::complete(Pending& pending, std::int32_t result) noexcept {
    pending.result = result;
    pending.place = Pending::Place::ended;
    ended_.push(pending);
}

void EpollQueue::queue_cancel(CompletionTarget target) noexcept {
    const auto found = waiting_.find(target.data());
    if (found == waiting_.end()) {
        for (Pending* pending = queued_.first; pending != nullptr; pending = pending->behind) {
            if (pending->target.data() == target.data()) {
                queued_.remove(*pending);
                complete(*pending, -ECANCELED);
                return;
            }
        }
        return; // it has ended
    }
    Pending& pending = *found->second;
    switch (pending.place) {
    case Pending::Place::polling:
        leave_descriptor(pending);
        break;
    case Pending::Place::later:
        later_.remove(pending);
        break;
    default:
        if (pending.request.opcode == Opcode::futex_wait) {
            futexes_->stop(pending);
            return;
        }
        if (!threads_->stop(pending)) {
            return;
        }
        --on_threads_;
    }
    waiting_.erase(found);
    complete(pending, pending.progress.stopped(ECANCELED));
}

void EpollQueue::leave_descriptor(Pending& pending) noexcept {
    Descriptor& left = descriptor(pending.fd);
    left.waiters.remove(pending);
    if (left.waiters.first == nullptr) {
        // The number may be another file's when it is next waited for.
        left.armed = 0;
    }
    --polling_;
}

void EpollQueue::redirect(CompletionTarget target, int fd) noexcept {
    for (Pending* pending = queued_.first; pending != nullptr; pending = pending->behind) {
        if (pending->target.data() == target.data()) {
            pending->request.fd = fd;
        }
    }
    const auto found = waiting_.find(target.data());
    if (found == waiting_.end()) {
        return;
    }
    Pending& pending = *found->second;
    if (pending.place == Pending::Place::later) {
        pending.request.fd = fd;
    } else if (pending.place == Pending::Place::polling) {
        leave_descriptor(pending);
        Descriptor& left = descriptor(pending.fd);
        if (left.waiters.first == nullptr && fd >= 0) {
            // By `fd` the file stays open, and epoll would go on telling of it by this number.
            (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pending.fd, nullptr);
            left.registered = false;
        }
        pending.request.fd = fd;
        place(pending, attempt(pending.request, pending.progress));
    }
}

void EpollQueue::queue_cancel_all() noexcept {
    std::vector<std::uint64_t> targets;
    for (const Pending* pending = queued_.first; pending != nullptr; pending = pending->behind) {
        targets.push_back(pending->target.data());
    }
    for (const auto& [target, pending] : waiting_) {
        targets.push_back(target);
    }
    for (const std::uint64_t target : targets) {
        queue_cancel(CompletionTarget(target));
    }
}

void EpollQueue::enter(bool wait, std::optional<TimePoint> deadline) noexcept {
    while (Pending* pending = queued_.pop()) {
        begin(*pending);
    }
    const bool nothing_to_ask = polling_ == 0 && on_threads_ == 0;
    if (later_.first != nullptr) {
        deadline = deadline ? std::min(*deadline, again_at_) : again_at_;
    }
    const bool sleep = wait && ended_.first == nullptr;
    if (sleep || !nothing_to_ask) {
        poll(sleep, deadline);
    }
    if (later_.first != nullptr && Clock::now() >= again_at_) {
        try_again();
    }
}

void EpollQueue::begin(Pending& pending) noexcept {
    const int fd = pending.request.fd;
    const std::uint32_t direction = direction_of(pending.request.opcode);
    if (direction != 0 && fd >= 0 && static_cast<std::size_t>(fd) < descriptors_.size()) {
        for (Pending* at = descriptors_[static_cast<std::size_t>(fd)].waiters.first; at != nullptr;
             at = at->behind) {
            if (direction_of(at->request.opcode) == direction) {
                waiting_.emplace(pending.target.data(), &pending);
                wait_for(pending, fd, direction);
                return;
            }
        }
    }
    const Attempt tried = attempt(pending.request, pending.progress);
    if (tried.kind == Attempt::Kind::done) {
        complete(pending, tried.result);
        return;
    }
    waiting_.emplace(pending.target.data(), &pending);
    place(pending, tried);
}

// The operation is in `waiting_` and in no list.
void EpollQueue::place(Pending& pending, const Attempt& tried) noexcept {
    switch (tried.kind) {
    case Attempt::Kind::done:
        waiting_.erase(pending.target.data());
        complete(pending, tried.result);
        break;
    case Attempt::Kind::poll:
        wait_for(pending, tried.fd, tried.events);
        break;
    case Attempt::Kind::blocks:
        send_to_thread(pending);
        break;
    case Attempt::Kind::later:
        if (later_.first == nullptr) {
            again_at_ = Clock::now() + std::chrono::milliseconds(limits::attempt_again_ms);
        }
        pending.place = Pending::Place::later;
        later_.push(pending);
        break;
    }
}

EpollQueue::Descriptor& EpollQueue::descriptor(int fd) {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= descriptors_.size()) {
        descriptors_.resize(index + 1);
    }
    return descriptors_[index];
}

void EpollQueue::wait_for(Pending& pending, int fd, std::uint32_t events) noexcept {
    Descriptor& waited_for = descriptor(fd);
    pending.fd = fd;
    pending.events = events;
    pending.place = Pending::Place::polling;
    waited_for.waiters.push(pending);
    ++polling_;
    if ((waited_for.armed & events) != events && !arm(fd, waited_for)) {
        // A file that cannot be polled (EPERM), or no memory for it: a thread can wait.
        waited_for.waiters.remove(pending);
        --polling_;
        send_to_thread(pending);
    }
}

bool EpollQueue::arm(int fd, Descriptor& waited_for) noexcept {
    epoll_event event{};
    for (const Pending* at = waited_for.waiters.first; at != nullptr; at = at->behind) {
        event.events |= at->events;
    }
    waited_for.armed = event.events;
    event.events |= EPOLLONESHOT;
    event.data.u64 = static_cast<std::uint64_t>(fd);
    // A closed descriptor has left epoll; a number in use again may be there still, through a copy.
    const int usual = waited_for.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (::epoll_ctl(epoll_.get(), usual, fd, &event) != 0) {
        const bool other = errno == ENOENT || errno == EEXIST;
        const int opposite = waited_for.registered ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        if (!other || ::epoll_ctl(epoll_.get(), opposite, fd, &event) != 0) {
            waited_for.armed = 0;
            return false;
        }
    }
    waited_for.registered = true;
    return true;
}

void EpollQueue::make_threads() noexcept {
    threads_ = std::make_unique<OperationThreads>();
    futexes_ = std::make_unique<FutexThreads>(*threads_);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = threads_tag;
    if (threads_->event() >= 0) {
        const int added = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, threads_->event(), &event);
        ZASSERT(added == 0, "epoll takes the eventfd of the threads");
    }
}

void EpollQueue::send_to_thread(Pending& pending) noexcept {
    pending.place = Pending::Place::thread;
    if (!threads_) {
        make_threads();
    }
    const bool on_futex = pending.request.opcode == Opcode::futex_wait;
    const Opcode opcode = pending.request.opcode;
    if (opcode == Opcode::send || opcode == Opcode::sendmsg) {
        // A stream may end before its send, and its number with it. A thread would begin anew.
        pending.kept = Fd(::fcntl(pending.request.fd, F_DUPFD_CLOEXEC, 0), Fd::OfTheRuntime());
        if (!pending.kept || pending.progress.moved != 0) {
            waiting_.erase(pending.target.data());
            complete(pending, pending.progress.stopped(errno));
            return;
        }
        pending.request.fd = pending.kept.get();
    }
    if (threads_->event() >= 0 &&
        (on_futex ? futexes_->submit(pending) : threads_->submit(pending))) {
        ++on_threads_;
        return;
    }
    waiting_.erase(pending.target.data());
    complete(pending, carry_out(pending.request, std::nullopt, nullptr));
}

int EpollQueue::wait_in_epoll(bool wait, std::optional<TimePoint> deadline) noexcept {
    ++enters_;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): the kernel fills it
    std::array<epoll_event, limits::epoll_events_per_wait> events;
    const auto most = static_cast<int>(events.size());
    const auto left = deadline && wait ? time_left(*deadline, Clock::now()) : Duration::zero();
    int count = 0;
    if (!wait || !deadline) {
        count = ::epoll_wait(epoll_.get(), events.data(), most, wait ? -1 : 0);
    } else if (has_pwait2_) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        const timespec timeout{
            .tv_sec = seconds.count(), .tv_nsec = std::chrono::nanoseconds(left - seconds).count()
        };
        count = ::epoll_pwait2(epoll_.get(), events.data(), most, &timeout, nullptr);
    } else {
        using std::chrono::milliseconds;
        const auto timeout = std::min(std::chrono::ceil<milliseconds>(left), milliseconds(1 << 30));
        count = ::epoll_wait(epoll_.get(), events.data(), most, static_cast<int>(timeout.count()));
    }
    ZASSERT(count >= 0 || errno == EINTR, "epoll_wait fails for a moment only");
    for (int n = 0; n < count; ++n) {
        const std::uint64_t data = events[static_cast<std::size_t>(n)].data.u64;
        if (data == threads_tag) {
            take_ended();
        } else {
            ready(static_cast<int>(data));
        }
    }
    return count == most ? count : 0;
}

void EpollQueue::poll(bool wait, std::optional<TimePoint> deadline) noexcept {
    while (wait_in_epoll(wait, deadline) > 0) {
        wait = false; // there may be more
    }
}

void EpollQueue::ready(int fd) noexcept {
    Descriptor& told = descriptor(fd);
    told.armed = 0;
    List waiters = std::exchange(told.waiters, {});
    List left;
    std::uint32_t blocked = 0;
    while (Pending* pending = waiters.pop()) {
        const std::uint32_t direction = direction_of(pending->request.opcode);
        if ((direction & blocked) != 0) {
            left.push(*pending);
            continue;
        }
        const Attempt tried = attempt(pending->request, pending->progress);
        if (tried.kind == Attempt::Kind::poll) {
            blocked |= direction;
            pending->events = tried.events;
            left.push(*pending);
        } else {
            --polling_;
            place(*pending, tried);
        }
    }
    Descriptor& again = descriptor(fd);
    again.waiters = left;
    if (left.first == nullptr || arm(fd, again)) {
        return;
    }
    while (Pending* pending = again.waiters.pop()) {
        --polling_;
        send_to_thread(*pending);
    }
}

void EpollQueue::take_ended() noexcept {
    OperationJob* ended = threads_->take_ended();
    while (ended != nullptr) {
        auto& pending = static_cast<Pending&>(*ended);
        ended = ended->next;
        --on_threads_;
        waiting_.erase(pending.target.data());
        complete(pending, pending.result);
    }
}

void EpollQueue::try_again() noexcept {
    List waiters = std::exchange(later_, {});
    while (Pending* pending = waiters.pop()) {
        place(*pending, attempt(pending->request, pending->progress));
    }
}

unsigned EpollQueue::deliver() noexcept {
    // What tasks queue or cancel meanwhile is delivered next time.
    List batch = std::exchange(ended_, {});
    unsigned count = 0;
    while (Pending* pending = batch.pop()) {
        const CompletionTarget target = pending->target;
        const std::int32_t result = pending->result;
        const bool reports_copy = pending->request.opcode == Opcode::send_zero_copy && result >= 0;
        delete pending;
        --in_flight_;
        ++count;
        ZSYNC_PROBE(
            op__complete,
            "8@%0 -4@%1 4@%2",
            ZSYNC_PROBE_VALUE(target.data()),
            ZSYNC_PROBE_VALUE(result),
            ZSYNC_PROBE_VALUE(0U)
        );
        if (target.is_wait()) {
            target.wait().complete(result);
        } else if (target.is_handler() && reports_copy) {
            target.handler().complete(result, IORING_CQE_F_MORE);
            target.handler().complete(
                static_cast<std::int32_t>(IORING_NOTIF_USAGE_ZC_COPIED), IORING_CQE_F_NOTIF
            );
        } else if (target.is_handler()) {
            target.handler().complete(result, 0);
        }
    }
    return count;
}

std::vector<RuntimeFeature> EpollQueue::features() const {
    const bool nowait = options_.allows(KernelFeature::rwf_nowait);
    const bool pwait2_off = !options_.allows(KernelFeature::epoll_pwait2);
    return {
        {.name = "io_uring", .available = false, .detail = reason_},
        {.name = "epoll",
         .available = true,
         .detail = "system calls and readiness in io_uring's place; threads for files"},
        {.name = "epoll.epoll_pwait2",
         .available = has_pwait2_,
         .detail = has_pwait2_  ? "timers to the nanosecond"
                   : pwait2_off ? "switched off by ZSYNC_WITHOUT; timers to the millisecond"
                                : "missing or forbidden here; timers to the millisecond"},
        {.name = "epoll.rwf_nowait",
         .available = nowait,
         .detail = nowait ? "cached file data without a thread"
                          : "switched off by ZSYNC_WITHOUT; file data by threads"},
    };
}

} // namespace zsync
