#include <zsync/core/fd.hpp>

#include <unistd.h>

namespace zsync {

void Fd::reset() noexcept {
    if (const int fd = release(); fd >= 0) {
        // close(2): the descriptor is gone whatever it returns, so there is nothing to retry.
        (void)::close(fd);
    }
}

} // namespace zsync
