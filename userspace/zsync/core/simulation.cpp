#include <zsync/core/assert.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/simulation.hpp>

#include <linux/io_uring.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <span>
#include <unistd.h>
#include <utility>

namespace zsync {
namespace {

bool is_stream(int fd) {
    struct stat found{};
    if (::fstat(fd, &found) != 0) {
        return false;
    }
    if (!S_ISSOCK(found.st_mode)) {
        return S_ISREG(found.st_mode) || S_ISFIFO(found.st_mode);
    }
    int type = 0;
    socklen_t length = sizeof type;
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

/// An entry that asks for the end of a request, named by its address.
constexpr auto cancel_request = static_cast<Opcode>(IORING_OP_ASYNC_CANCEL);

bool is_send(Opcode opcode) {
    return opcode == Opcode::send || opcode == Opcode::sendmsg || opcode == Opcode::send_zero_copy;
}

/// Has the kernel go on until all is moved: only what stops it leaves it short.
bool wants_all(const OperationRequest& request) {
    switch (request.opcode) {
    case Opcode::send:
    case Opcode::sendmsg:
    case Opcode::send_zero_copy:
    case Opcode::recv:
    case Opcode::recvmsg:
        return (request.flags & MSG_WAITALL) != 0;
    default:
        return false;
    }
}

/// A request that moves fewer bytes than it asks for, as its caller has to expect.
class Shortened {
public:
    explicit Shortened(const OperationRequest& request) : request_(request) {
        switch (request.opcode) {
        case Opcode::readv:
        case Opcode::writev:
            parts_ = {std::bit_cast<const iovec*>(request.address), request.length};
            break;
        case Opcode::sendmsg:
        case Opcode::recvmsg:
            message_ = std::bit_cast<msghdr*>(request.address);
            parts_ = {message_->msg_iov, message_->msg_iovlen};
            break;
        default:
            break;
        }
    }
    Shortened(const Shortened&) = delete;
    Shortened& operator=(const Shortened&) = delete;
    ~Shortened() {
        if (message_ != nullptr) { // what a receive has written there stays
            message_->msg_iov = const_cast<iovec*>(parts_.data());
            message_->msg_iovlen = parts_.size();
        }
    }

    /// The most that it may move; 0 where there is no less than all.
    [[nodiscard]] std::uint64_t bytes() const {
        switch (request_.opcode) {
        case Opcode::splice:
            return request_.length;
        case Opcode::read:
        case Opcode::write:
        case Opcode::send:
        case Opcode::send_zero_copy:
        case Opcode::recv:
            return is_stream(request_.fd) ? request_.length : 0;
        default:
            break;
        }
        std::uint64_t sum = 0;
        for (const iovec& part : parts_) {
            sum += part.iov_len;
        }
        return is_stream(request_.fd) ? sum : 0;
    }
    [[nodiscard]] const OperationRequest& to(std::uint64_t bytes) {
        for (const iovec& part : parts_) {
            fewer_.push_back(part);
            fewer_.back().iov_len = std::min<std::uint64_t>(part.iov_len, bytes);
            bytes -= fewer_.back().iov_len;
            if (bytes == 0) {
                break;
            }
        }
        if (message_ != nullptr) {
            message_->msg_iov = fewer_.data();
            message_->msg_iovlen = fewer_.size();
        } else if (!fewer_.empty()) {
            request_.address = reinterpret_cast<std::uintptr_t>(fewer_.data());
            request_.length = static_cast<std::uint32_t>(fewer_.size());
        } else {
            request_.length = static_cast<std::uint32_t>(bytes);
        }
        return request_;
    }

private:
    OperationRequest request_;
    msghdr* message_ = nullptr;
    std::span<const iovec> parts_;
    std::vector<iovec> fewer_;
};

/// EINTR means that nothing was done: not so of a connect, which goes on by itself, nor of a close.
bool may_be_interrupted(const OperationRequest& request) {
    return request.opcode != Opcode::connect && request.opcode != Opcode::close;
}

/// recvmsg(2) into a provided buffer. A multishot request's msghdr is only read: the buffer holds
/// what there is to say, as io_uring_prep_recvmsg_multishot(3) tells, and then the bytes.
ssize_t receive_message(const OperationRequest& request, std::span<std::byte> memory) {
    auto& asked = *std::bit_cast<msghdr*>(request.address);
    const bool multishot = (request.priority & IORING_RECV_MULTISHOT) != 0;
    msghdr message = asked;
    std::size_t before = 0;
    if (multishot) {
        before = sizeof(io_uring_recvmsg_out) + asked.msg_namelen + asked.msg_controllen;
        message.msg_name = memory.data() + sizeof(io_uring_recvmsg_out);
        message.msg_control = memory.data() + sizeof(io_uring_recvmsg_out) + asked.msg_namelen;
    }
    iovec part{.iov_base = memory.data() + before, .iov_len = memory.size() - before};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const int flags = static_cast<int>(request.flags) | MSG_DONTWAIT;
    const ssize_t count = ::recvmsg(request.fd, &message, flags);
    if (count < 0) {
        return count;
    }
    if (!multishot) {
        asked.msg_namelen = message.msg_namelen;
        asked.msg_controllen = message.msg_controllen;
        asked.msg_flags = message.msg_flags;
        return count;
    }
    const io_uring_recvmsg_out out{
        .namelen = message.msg_namelen,
        .controllen = static_cast<std::uint32_t>(message.msg_controllen),
        .payloadlen = static_cast<std::uint32_t>(count),
        .flags = static_cast<std::uint32_t>(message.msg_flags),
    };
    std::memcpy(memory.data(), &out, sizeof out);
    return static_cast<ssize_t>(before) + count;
}

io_uring_buf* buffers_of(void* entries) { return static_cast<io_uring_buf*>(entries); }

} // namespace

SimulatedQueue::SimulatedQueue(std::uint64_t seed, SimulationFaults faults)
    : generator_(seed), faults_(faults), now_(std::chrono::hours(1)) {
    entries_ = submitted_.data();
    kernel_head_ = &head_;
    mask_ = limits::simulated_submission_entries - 1;
    capacity_ = limits::simulated_submission_entries;
}

SimulatedQueue::~SimulatedQueue() {
    ZASSERT(in_flight() == 0, "a queue ends with operations in flight");
}

std::uint64_t SimulatedQueue::random(std::uint64_t below) noexcept {
    if (patient_) {
        return 0;
    }
    // Not std::uniform_int_distribution: its results differ between libraries.
    const std::uint64_t drawn = below <= 1 ? 0 : generator_() % below;
    digest_ = (digest_ ^ (drawn + below)) * 0x9e3779b97f4a7c15ULL;
    return drawn;
}

bool SimulatedQueue::happens(double probability) noexcept {
    constexpr std::uint64_t parts = 1U << 20;
    return !patient_ &&
           static_cast<double>(random(parts)) < probability * static_cast<double>(parts);
}

std::size_t SimulatedQueue::choose(std::size_t count) noexcept { return random(count); }

void SimulatedQueue::queue(const OperationRequest& request, CompletionTarget target) noexcept {
    queue_now(request, target);
    if (happens(faults_.submission_full, mishaps_.submission_full)) {
        hand_over();
    }
}

void SimulatedQueue::queue_cancel(CompletionTarget target) noexcept {
    queue({.opcode = cancel_request, .address = target.data()}, CompletionTarget::none());
    --in_flight_; // its completion is counted by nobody
}

void SimulatedQueue::make_room() noexcept {
    ++mishaps_.submission_full;
    hand_over();
}

void SimulatedQueue::queue_cancel_all() noexcept {
    hand_over();
    for (const Pending& pending : std::vector(pending_)) {
        queue_cancel(pending.target);
    }
}

// A kernel would hold the file of what is pending by itself; here that is tried by its number.
void SimulatedQueue::redirect(CompletionTarget target, int fd) noexcept {
    for (unsigned at = head_; at != tail_; ++at) {
        OperationRequest& entry = submitted_[at & mask_];
        if (entry.target == target.data()) {
            entry.fd = fd;
        }
    }
    for (Pending& pending : pending_) {
        if (pending.target.data() == target.data()) {
            pending.request.fd = fd;
        }
    }
}

void SimulatedQueue::hand_over() noexcept {
    while (head_ != tail_) {
        const OperationRequest entry = submitted_[head_++ & mask_];
        if (entry.opcode == cancel_request) {
            cancel(CompletionTarget(entry.address));
        } else {
            begin(entry);
        }
    }
}

void SimulatedQueue::begin(const OperationRequest& entry) noexcept {
    Pending pending{.request = entry, .target = CompletionTarget(entry.target)};
    // A kernel tries at once what it can; some goes to other threads first.
    if (happens(faults_.delayed, mishaps_.delayed) || !try_one(pending)) {
        pending_.push_back(pending);
    }
}

void SimulatedQueue::cancel(CompletionTarget target) noexcept {
    const auto found = std::ranges::find(pending_, target.data(), [](const Pending& pending) {
        return pending.target.data();
    });
    if (found == pending_.end()) {
        return; // it has ended
    }
    Pending pending = *found;
    pending_.erase(found);
    if (happens(faults_.late_cancel) && try_one(pending)) {
        ++mishaps_.late_cancels;
        return;
    }
    // A thread that does it is told by a signal.
    const bool by_signal = may_be_interrupted(pending.request) && happens(faults_.interrupted);
    const int error = by_signal ? EINTR : ECANCELED;
    const std::int32_t result = pending.progress.stopped(error);
    mishaps_.canceled += result == -ECANCELED ? 1 : 0;
    end(pending.target, result);
}

void SimulatedQueue::pass_step() noexcept {
    if (++steps_ == faults_.crash_at) {
        ::_exit(simulated_crash_code);
    }
}

void SimulatedQueue::die_in(const OperationRequest& request) noexcept {
    Shortened part(request);
    const bool writes = request.opcode == Opcode::write || request.opcode == Opcode::writev;
    if (const std::uint64_t bytes = part.bytes(); writes && bytes > 1) {
        Progress progress;
        (void)attempt(part.to(1 + random(bytes - 1)), progress);
    }
    ::_exit(simulated_crash_code);
}

void SimulatedQueue::end(
    CompletionTarget target, std::int32_t result, std::uint32_t flags
) noexcept {
    digest_ = (digest_ ^ static_cast<std::uint32_t>(result) ^ flags) * 0x9e3779b97f4a7c15ULL;
    const bool full = !overflow_.empty() || ended_.size() >= faults_.completion_entries;
    mishaps_.overflowed += full ? 1 : 0;
    (full ? overflow_ : ended_).push_back({.target = target, .result = result, .flags = flags});
}

void SimulatedQueue::end_request(
    const OperationRequest& request, CompletionTarget target, std::int32_t result
) noexcept {
    if (request.opcode == Opcode::send_zero_copy && result >= 0) {
        end(target, result, IORING_CQE_F_MORE);
        end(target, static_cast<std::int32_t>(IORING_NOTIF_USAGE_ZC_COPIED), IORING_CQE_F_NOTIF);
    } else {
        end(target, result);
    }
}

bool SimulatedQueue::try_one(Pending& pending) noexcept {
    if (!patient_ && ++steps_ == faults_.crash_at) {
        die_in(pending.request);
    }
    // Where bytes have been moved it is one more way to move fewer.
    if (may_be_interrupted(pending.request) && happens(faults_.interrupted, mishaps_.interrupted) &&
        (pending.progress.moved == 0 || happens(faults_.shortened))) {
        interrupt(pending);
        return true;
    }
    if ((static_cast<unsigned>(pending.request.sqe_flags) & IOSQE_BUFFER_SELECT) != 0) {
        return receive(pending);
    }
    switch (pending.request.opcode) {
    case Opcode::futex_wait:
        return try_futex(pending);
    case Opcode::accept:
        if ((pending.request.priority & IORING_ACCEPT_MULTISHOT) != 0) {
            return accept(pending);
        }
        [[fallthrough]];
    default:
        return try_plain(pending);
    }
}

/// By a signal, before anything is done or when some of it is.
void SimulatedQueue::interrupt(Pending& pending) noexcept {
    Progress& progress = pending.progress;
    if (wants_all(pending.request) && progress.moved == 0) {
        Shortened part(pending.request);
        const std::uint64_t bytes = part.bytes();
        if (bytes > 1 && happens(faults_.shortened, mishaps_.shortened)) {
            const Attempt tried = attempt(part.to(1 + random(bytes - 1)), progress);
            if (tried.kind == Attempt::Kind::done) {
                end_request(pending.request, pending.target, tried.result);
                return;
            }
        }
    }
    end(pending.target, progress.stopped(EINTR));
}

bool SimulatedQueue::try_plain(Pending& pending) noexcept {
    const OperationRequest& request = pending.request;
    if (is_send(request.opcode) && happens(faults_.no_buffers, mishaps_.no_buffers)) {
        end(pending.target, pending.progress.stopped(ENOBUFS));
        return true;
    }
    Shortened part(request);
    const std::uint64_t bytes = wants_all(request) ? 0 : part.bytes();
    const bool shorter = bytes > 1 && happens(faults_.shortened, mishaps_.shortened);
    const OperationRequest& asked = shorter ? part.to(1 + random(bytes - 1)) : request;
    const Attempt tried = attempt(asked, pending.progress);
    switch (tried.kind) {
    case Attempt::Kind::done:
        end_request(request, pending.target, tried.result);
        return true;
    case Attempt::Kind::blocks:
        // Nobody else runs meanwhile, in a simulation nor otherwise.
        end(pending.target, carry_out(asked, std::nullopt, nullptr));
        return true;
    case Attempt::Kind::poll:
    case Attempt::Kind::later:
        break;
    }
    return false;
}

bool SimulatedQueue::try_futex(Pending& pending) noexcept {
    const OperationRequest& request = pending.request;
    const auto* word = std::bit_cast<const std::atomic<std::uint32_t>*>(request.address);
    if (word->load() == static_cast<std::uint32_t>(request.offset)) {
        pending.tried = true;
        return false;
    }
    end(pending.target, pending.tried ? 0 : -EAGAIN);
    return true;
}

bool SimulatedQueue::Group::empty() const noexcept {
    return buffers_of(const_cast<std::uint64_t*>(entries.data()))[0].resv == head;
}

// A multishot request goes on while there is something, and then stays.
template <class Once>
bool SimulatedQueue::repeat(Pending& pending, bool multishot, Once once) noexcept {
    std::size_t before = 0;
    do {
        before = ended_.size() + overflow_.size();
        if ((this->*once)(pending)) {
            return true;
        }
    } while (multishot && ended_.size() + overflow_.size() != before && !happens(faults_.split));
    return false;
}

/// Of a multishot request that has just completed.
bool SimulatedQueue::may_go_on() noexcept {
    const bool overflows = !overflow_.empty() || ended_.size() >= faults_.completion_entries;
    return !overflows && !happens(faults_.lost_more, mishaps_.lost_more);
}

bool SimulatedQueue::accept(Pending& pending) noexcept {
    return repeat(pending, true, &SimulatedQueue::accept_once);
}

bool SimulatedQueue::accept_once(Pending& pending) noexcept {
    const Attempt tried = attempt(pending.request, pending.progress);
    if (tried.kind != Attempt::Kind::done) {
        return false;
    }
    const bool more = tried.result >= 0 && may_go_on();
    end(pending.target, tried.result, more ? IORING_CQE_F_MORE : 0);
    return !more;
}

bool SimulatedQueue::receive(Pending& pending) noexcept {
    const bool multishot = (pending.request.priority & IORING_RECV_MULTISHOT) != 0;
    return repeat(pending, multishot, &SimulatedQueue::receive_once);
}

bool SimulatedQueue::receive_once(Pending& pending) noexcept {
    const OperationRequest& request = pending.request;
    Group& group = *groups_[request.buffer];
    if (group.empty() || happens(faults_.no_receive_buffers, mishaps_.no_receive_buffers)) {
        end(pending.target, -ENOBUFS);
        return true;
    }
    const io_uring_buf& buffer = buffers_of(group.entries.data())[group.head & group.mask];
    const std::span<std::byte> memory(std::bit_cast<std::byte*>(buffer.addr), buffer.len);
    ssize_t count = 0;
    if (request.opcode == Opcode::recvmsg) {
        count = receive_message(request, memory);
    } else {
        std::size_t length = memory.size();
        if (length > 1 && happens(faults_.shortened, mishaps_.shortened)) {
            length = 1 + random(length - 1);
        }
        const int flags = static_cast<int>(request.flags) | MSG_DONTWAIT;
        count = ::recv(request.fd, memory.data(), length, flags);
    }
    if (count < 0 && errno == EAGAIN) {
        return false;
    }
    if (count < 0 || (count == 0 && request.opcode != Opcode::recvmsg)) {
        end(pending.target, count < 0 ? -errno : 0);
        return true;
    }
    ++group.head;
    const bool more = (request.priority & IORING_RECV_MULTISHOT) != 0 && may_go_on();
    const std::uint32_t picked = std::uint32_t{buffer.bid} << IORING_CQE_BUFFER_SHIFT;
    end(pending.target,
        static_cast<std::int32_t>(count),
        IORING_CQE_F_BUFFER | picked | (more ? IORING_CQE_F_MORE : 0));
    return !more;
}

bool SimulatedQueue::try_all(bool may_delay) noexcept {
    const std::size_t before = ended_.size() + overflow_.size();
    for (std::size_t left = pending_.size(); left > 0; --left) {
        // The ones that stay are at the end.
        std::swap(pending_[random(left)], pending_[left - 1]);
        Pending& pending = pending_[left - 1];
        if (may_delay && pending.delays < limits::simulated_delays_max &&
            happens(faults_.delayed, mishaps_.delayed)) {
            ++pending.delays;
            continue;
        }
        if (try_one(pending)) {
            std::swap(pending, pending_.back());
            pending_.pop_back();
        }
    }
    return ended_.size() + overflow_.size() != before;
}

// What is on its way in the kernel, over the loopback say, arrives within a moment. How long that
// takes is not the seed's to say, so nothing is decided meanwhile.
bool SimulatedQueue::try_with_patience() noexcept {
    patient_ = true;
    bool went_on = false;
    for (std::uint32_t n = 0; n < limits::simulated_patience_ms && !went_on; ++n) {
        (void)::poll(nullptr, 0, 1);
        went_on = try_all(false);
    }
    patient_ = false;
    return went_on;
}

void SimulatedQueue::take_in_overflow() noexcept {
    const std::size_t room = faults_.completion_entries -
                             std::min<std::size_t>(ended_.size(), faults_.completion_entries);
    const auto end =
        overflow_.begin() + static_cast<std::ptrdiff_t>(std::min(room, overflow_.size()));
    ended_.insert(ended_.end(), overflow_.begin(), end);
    overflow_.erase(overflow_.begin(), end);
}

void SimulatedQueue::enter(bool wait, std::optional<TimePoint> deadline) noexcept {
    ++enters_;
    now_ += std::chrono::microseconds(random(50));
    take_in_overflow();
    if (!overflow_.empty()) {
        return; // EBUSY: nothing is taken until there is room
    }
    hand_over();
    if (try_all(true) || !wait || !ended_.empty() || try_all(false)) {
        return;
    }
    if (deadline) {
        now_ = std::max(now_, *deadline);
        return;
    }
    ZASSERT(!pending_.empty(), "every task waits for another one, for ever");
    if (try_with_patience()) {
        return;
    }
    for (const Pending& pending : std::exchange(pending_, {})) {
        end(pending.target, -EDEADLK);
    }
}

unsigned SimulatedQueue::deliver() noexcept {
    unsigned delivered = 0;
    for (std::size_t left = ended_.size(); left > 0; --left) {
        // A delivery may add ends, never take one away.
        const std::size_t chosen = random(left);
        if (delivered != 0 && happens(faults_.split, mishaps_.split)) {
            continue;
        }
        // Those of one request keep their order.
        const auto at =
            std::ranges::find(ended_, ended_[chosen].target.data(), [](const Ended& one) {
                return one.target.data();
            });
        const Ended ended = *at;
        mishaps_.reordered += at != ended_.begin() ? 1 : 0;
        ended_.erase(at);
        ++delivered;
        if ((ended.flags & IORING_CQE_F_MORE) == 0) {
            --in_flight_;
        }
        if (ended.target.is_wait()) {
            ended.target.wait().complete(ended.result);
        } else if (ended.target.is_handler()) {
            ended.target.handler().complete(ended.result, ended.flags);
        }
    }
    return delivered;
}

void* SimulatedQueue::provide_buffers(std::uint32_t count, std::uint16_t& group) noexcept {
    auto made = std::make_unique<Group>();
    made->entries.resize(std::size_t{count} * sizeof(io_uring_buf) / sizeof(std::uint64_t));
    made->mask = static_cast<std::uint16_t>(count - 1);
    group = static_cast<std::uint16_t>(groups_.size());
    groups_.push_back(std::move(made));
    return groups_.back()->entries.data();
}

void SimulatedQueue::withdraw_buffers(
    void* /*provided*/, std::uint32_t /*count*/, std::uint16_t group
) noexcept {
    groups_[group].reset();
}

std::vector<RuntimeFeature> SimulatedQueue::features() const {
    return {{
        .name = "simulation",
        .available = true,
        .detail = "operations, clock and order of tasks follow a seed",
    }};
}

Simulation::Simulation(std::uint64_t seed, SimulationFaults faults) : queue_(nullptr) {
    auto queue = std::make_unique<SimulatedQueue>(seed, faults);
    queue_ = queue.get();
    worker_ = std::make_unique<Worker>(std::move(queue));
}

} // namespace zsync
