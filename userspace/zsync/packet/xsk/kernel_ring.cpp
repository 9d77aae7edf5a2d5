#include <zsync/packet/xsk/kernel_ring.hpp>

#include <sys/mman.h>

#include <cerrno>

namespace zsync::packet::xsk {

template <class Entry>
Result<KernelRing<Entry>> KernelRing<Entry>::map(
    int socket,
    std::uint64_t place,
    const xdp_ring_offset& offsets,
    std::uint32_t entries,
    bool we_produce
) noexcept {
    KernelRing ring;
    ring.bytes_ = offsets.desc + entries * sizeof(Entry);
    void* memory = ::mmap(
        nullptr,
        ring.bytes_,
        PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_POPULATE,
        socket,
        static_cast<off_t>(place)
    );
    if (memory == MAP_FAILED) {
        return fail(os_error(errno));
    }
    ring.memory_ = static_cast<std::byte*>(memory);
    ring.producer_ = reinterpret_cast<std::uint32_t*>(ring.memory_ + offsets.producer);
    ring.consumer_ = reinterpret_cast<std::uint32_t*>(ring.memory_ + offsets.consumer);
    ring.flags_ = reinterpret_cast<std::uint32_t*>(ring.memory_ + offsets.flags);
    ring.entries_ = reinterpret_cast<Entry*>(ring.memory_ + offsets.desc);
    ring.size_ = entries;
    ring.mask_ = entries - 1;
    ring.mine_ = we_produce ? *ring.producer_ : *ring.consumer_;
    ring.theirs_ = we_produce ? *ring.consumer_ : *ring.producer_;
    return ring;
}

template <class Entry> KernelRing<Entry>::~KernelRing() {
    if (memory_ != nullptr) {
        ::munmap(memory_, bytes_);
    }
}

template class KernelRing<std::uint64_t>;
template class KernelRing<xdp_desc>;

} // namespace zsync::packet::xsk
