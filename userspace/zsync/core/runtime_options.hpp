// RuntimeOptions: what of the kernel the runtime may use.
#pragma once

#include <zsync/core/result.hpp>

#include <cstdint>
#include <string_view>

namespace zsync {

/// A feature of the kernel that the runtime uses where it is there and does without where it is
/// not. Each can be switched off to see how the runtime does without.
enum class KernelFeature : std::uint8_t {
    buffer_ring,      ///< the kernel picks receive buffers
    multishot_recv,   ///< one request for all that arrives on a socket
    multishot_accept, ///< one request for all connections of a listener
    registered_ring,  ///< no descriptor look-up in io_uring_enter
    send_zc,          ///< sends without copying
    epoll_pwait2,     ///< waits shorter than a millisecond without a ring
    rwf_nowait,       ///< reads and writes that say that they would block
};

/// Read from the environment when a worker is made:
///
/// - `ZSYNC_IO`: `io_uring` (or fail), `epoll`; by default io_uring, and epoll where it is missing
///   or forbidden.
/// - `ZSYNC_WITHOUT`: names of `KernelFeature`, separated by commas, that are not to be used.
struct RuntimeOptions {
    enum class Queue : std::uint8_t { best, ring, epoll };

    /// Fails with `invalid_argument` on a word that is not known.
    static Outcome<RuntimeOptions> from_environment();
    /// The same from the variables' values; null where one is not set.
    static Outcome<RuntimeOptions> parse(const char* io, const char* without);

    [[nodiscard]] bool allows(KernelFeature feature) const noexcept {
        return (off & (1U << static_cast<unsigned>(feature))) == 0;
    }

    Queue queue = Queue::best;
    std::uint32_t off = 0; ///< a bit for each `KernelFeature`
};

} // namespace zsync
