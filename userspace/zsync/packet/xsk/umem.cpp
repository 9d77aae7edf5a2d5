#include <zsync/packet/xsk/limits.hpp>
#include <zsync/packet/xsk/socket.hpp>
#include <zsync/packet/xsk/umem.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <format>

namespace zsync::packet::xsk {

Outcome<std::shared_ptr<Umem>> Umem::create(const UmemOptions& options) {
    if (!std::has_single_bit(options.frame_bytes) ||
        options.frame_bytes < limits::frame_bytes_min ||
        options.frame_bytes > limits::frame_bytes_max) {
        return fail(
            CoreError::invalid_argument,
            std::format(
                "a frame has {} or {} bytes, not {}",
                limits::frame_bytes_min,
                limits::frame_bytes_max,
                options.frame_bytes
            )
        );
    }
    if (options.frames == 0 || options.frames > limits::frames_max) {
        return fail(
            CoreError::invalid_argument,
            std::format("a pool has 1 to {} frames, not {}", limits::frames_max, options.frames)
        );
    }
    std::shared_ptr<Umem> pool(new Umem);
    pool->shift_ = static_cast<unsigned>(std::countr_zero(options.frame_bytes));
    pool->memory_bytes_ = std::size_t{options.frames} << pool->shift_;
    void* memory = ::mmap(
        nullptr,
        pool->memory_bytes_,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0
    );
    if (memory == MAP_FAILED) {
        return fail(
            os_error(errno), std::format("no memory for {} frames of packets", options.frames)
        );
    }
    pool->memory_ = static_cast<std::byte*>(memory);
    pool->uses_.resize(options.frames);
    pool->free_.resize(options.frames);
    // The first ones on top: a quiet socket stays in few pages.
    for (std::uint32_t i = 0; i < options.frames; ++i) {
        pool->free_[i] = options.frames - 1 - i;
    }
    return pool;
}

Umem::~Umem() {
    ZASSERT(held_ == 0, "frames end before their pool");
    for (const Socket* socket : sockets_) {
        ZASSERT(socket == nullptr, "sockets end before their pool");
    }
    if (memory_ != nullptr) {
        ::munmap(memory_, memory_bytes_);
    }
}

Frame Umem::take() noexcept {
    if (free_.empty()) {
        collect();
        if (free_.empty()) {
            return {};
        }
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    change(index, Use::free, Use::held, 0);
    ++held_;
    return {*this, index, 0, 0, false};
}

UmemBalance Umem::balance() const noexcept {
    UmemBalance balance{
        .frames = frames(),
        .free = static_cast<std::uint32_t>(free_.size()),
        .held = held_,
    };
    for (const Socket* socket : sockets_) {
        if (socket != nullptr) {
            balance.receiving += socket->receiving_;
            balance.sending += socket->sending_;
        }
    }
    for (const Retired& retired : retired_) {
        balance.retired += static_cast<std::uint32_t>(retired.frames.size());
    }
    std::array<std::uint32_t, 5> counted{};
    for (const State& state : uses_) {
        ++counted[std::to_underlying(state.use)];
    }
    balance.adds_up = counted == std::array{
                                     balance.free,
                                     balance.held,
                                     balance.receiving,
                                     balance.sending,
                                     balance.retired,
                                 };
    return balance;
}

void Umem::feed_starving() noexcept {
    for (Socket* socket : sockets_) {
        if (socket != nullptr && socket->starving_) {
            socket->fill();
        }
    }
}

void Umem::collect() noexcept {
    for (Socket* socket : sockets_) {
        if (socket != nullptr) {
            socket->collect_sent();
        }
    }
}

Result<std::uint8_t> Umem::enter(Socket& socket) {
    const auto free_slot = std::ranges::find(sockets_, nullptr);
    if (free_slot != sockets_.end()) {
        *free_slot = &socket;
        return static_cast<std::uint8_t>(free_slot - sockets_.begin());
    }
    if (sockets_.size() == limits::sockets_max) {
        return fail(CoreError::limit_reached);
    }
    sockets_.push_back(&socket);
    return static_cast<std::uint8_t>(sockets_.size() - 1);
}

void Umem::leave(Socket& socket, std::uint8_t slot) noexcept {
    sockets_[slot] = nullptr;
    // A copy-mode socket's close(2) has waited for whoever wrote to its frames; a driver that
    // writes to them itself is told later (xp_release_deferred).
    Retired retired{.ifindex = socket.ifindex_, .queue = socket.queue_, .frames = {}};
    for (std::uint32_t index = 0; index < uses_.size(); ++index) {
        State& state = uses_[index];
        const bool lent = state.use == Use::receiving || state.use == Use::sending;
        if (!lent || state.socket != slot) {
            continue;
        }
        if (socket.zero_copy_) {
            state = {.use = Use::retired, .socket = 0};
            retired.frames.push_back(index);
        } else {
            give_back(index, state.use);
        }
    }
    if (!retired.frames.empty()) {
        retired_.push_back(std::move(retired));
    }
}

void Umem::release_retired(std::uint32_t ifindex, std::uint32_t queue) noexcept {
    std::erase_if(retired_, [&](const Retired& retired) {
        if (retired.ifindex != ifindex || retired.queue != queue) {
            return false;
        }
        for (const std::uint32_t index : retired.frames) {
            give_back(index, Use::retired);
        }
        return true;
    });
}

} // namespace zsync::packet::xsk
