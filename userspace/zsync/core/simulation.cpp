#include <zsync/core/assert.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/simulation.hpp>

#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <format>
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

/// Moving fewer bytes is what this operation's caller has to expect.
bool may_be_shortened(const OperationRequest& request) {
    switch (request.opcode) {
    case Opcode::send:
    case Opcode::recv:
        if ((request.flags & MSG_WAITALL) != 0) {
            return false;
        }
        [[fallthrough]];
    case Opcode::read:
    case Opcode::write:
        return request.length > 1 && is_stream(request.fd);
    default:
        return false;
    }
}

} // namespace

SimulatedQueue::SimulatedQueue(std::uint64_t seed, SimulationFaults faults)
    : generator_(seed), faults_(faults), now_(std::chrono::hours(1)) {}

SimulatedQueue::~SimulatedQueue() {
    ZASSERT(in_flight() == 0, "a queue ends with operations in flight");
}

std::uint64_t SimulatedQueue::random(std::uint64_t below) noexcept {
    // Not std::uniform_int_distribution: its results differ between libraries.
    const std::uint64_t drawn = below <= 1 ? 0 : generator_() % below;
    digest_ = (digest_ ^ (drawn + below)) * 0x9e3779b97f4a7c15ULL;
    return drawn;
}

bool SimulatedQueue::happens(double probability) noexcept {
    constexpr std::uint64_t parts = 1U << 20;
    return static_cast<double>(random(parts)) < probability * static_cast<double>(parts);
}

std::size_t SimulatedQueue::choose(std::size_t count) noexcept { return random(count); }

void SimulatedQueue::queue(const OperationRequest& request, CompletionTarget target) noexcept {
    pending_.push_back({.request = request, .target = target});
    // As when the submission queue is full: some are handed over before their turn.
    if (happens(faults_.split)) {
        Pending last = pending_.back();
        pending_.pop_back();
        if (!try_one(last)) {
            pending_.push_back(last);
        }
    }
}

void SimulatedQueue::end(CompletionTarget target, std::int32_t result) noexcept {
    digest_ = (digest_ ^ static_cast<std::uint32_t>(result)) * 0x9e3779b97f4a7c15ULL;
    ended_.push_back({.target = target, .result = result});
}

bool SimulatedQueue::try_one(Pending& pending) noexcept {
    OperationRequest request = pending.request;
    // A close frees its descriptor even so, and what it says then is of no use to anybody.
    if (request.opcode != Opcode::close && happens(faults_.interrupted)) {
        end(pending.target, pending.progress.stopped(EINTR));
        return true;
    }
    if (request.opcode == Opcode::send && happens(faults_.no_buffers)) {
        end(pending.target, pending.progress.stopped(ENOBUFS));
        return true;
    }
    if (happens(faults_.shortened) && may_be_shortened(request)) {
        request.length = 1 + static_cast<std::uint32_t>(random(request.length - 1));
    }
    const Attempt tried = attempt(request, pending.progress);
    switch (tried.kind) {
    case Attempt::Kind::done:
        end(pending.target, tried.result);
        return true;
    case Attempt::Kind::blocks:
        // Nobody else runs meanwhile, in a simulation nor otherwise.
        end(pending.target, carry_out(request, std::nullopt, nullptr));
        return true;
    case Attempt::Kind::poll:
    case Attempt::Kind::later:
        break;
    }
    return false;
}

bool SimulatedQueue::try_all(bool may_delay) noexcept {
    const std::size_t before = ended_.size();
    for (std::size_t left = pending_.size(); left > 0; --left) {
        // The ones that stay are at the end.
        std::swap(pending_[random(left)], pending_[left - 1]);
        Pending& pending = pending_[left - 1];
        if (may_delay && pending.delays < limits::simulated_delays_max &&
            happens(faults_.delayed)) {
            ++pending.delays;
            continue;
        }
        if (try_one(pending)) {
            std::swap(pending, pending_.back());
            pending_.pop_back();
        }
    }
    return ended_.size() != before;
}

void SimulatedQueue::enter(bool wait, std::optional<TimePoint> deadline) noexcept {
    ++enters_;
    now_ += std::chrono::microseconds(random(50));
    if (try_all(true) || !wait || !ended_.empty() || try_all(false)) {
        return;
    }
    if (deadline) {
        now_ = std::max(now_, *deadline);
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
        if (delivered != 0 && happens(faults_.split)) {
            continue;
        }
        const Ended ended = ended_[chosen];
        ended_.erase(ended_.begin() + static_cast<std::ptrdiff_t>(chosen));
        ++delivered;
        if (ended.target.is_wait()) {
            ended.target.wait().complete(ended.result);
        } else if (ended.target.is_handler()) {
            ended.target.handler().complete(ended.result, 0);
        }
    }
    return delivered;
}

void SimulatedQueue::queue_cancel(CompletionTarget target) noexcept {
    const auto found = std::ranges::find(pending_, target.data(), [](const Pending& pending) {
        return pending.target.data();
    });
    if (found == pending_.end()) {
        return; // it has ended
    }
    Pending pending = *found;
    pending_.erase(found);
    if (!happens(faults_.late_cancel) || !try_one(pending)) {
        end(target, pending.progress.stopped(ECANCELED));
    }
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
