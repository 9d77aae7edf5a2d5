#include <zsync/core/pinned_memory.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/worker.hpp>

#include <sys/mman.h>

#include <cerrno>

namespace zsync {

Result<std::unique_ptr<PinnedMemory>> PinnedMemory::create(Io io, std::size_t bytes) {
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return fail(os_error(errno));
    }
    std::unique_ptr<PinnedMemory> pinned(new PinnedMemory(static_cast<std::byte*>(memory), bytes));
    Ring* ring =
        io.kind() == TaskKind::thread ? nullptr : static_cast<Worker&>(io.executor()).ring();
    if (ring != nullptr && ring->pin(pinned->bytes(), pinned->slot_)) {
        pinned->ring_ = ring;
    }
    return pinned;
}

PinnedMemory::~PinnedMemory() {
    if (ring_ != nullptr) {
        ring_->unpin(slot_);
    }
    ::munmap(memory_, size_);
}

} // namespace zsync
