// MappedArray: a BPF array in this process's memory. Private to the packet subsystem.
#pragma once

#include <zsync/core/fd.hpp>

#include <sys/mman.h>

#include <cstddef>

namespace zsync::packet {

enum class MapRights : int { read = PROT_READ, read_write = PROT_READ | PROT_WRITE };

/// A map of the kernel's, read where it is.
template <class T> class MappedArray {
public:
    MappedArray(const Fd& map, std::size_t count, MapRights rights = MapRights::read)
        : bytes_(count * sizeof(T)),
          memory_(::mmap(nullptr, bytes_, static_cast<int>(rights), MAP_SHARED, map.get(), 0)) {}
    MappedArray(const MappedArray&) = delete;
    MappedArray& operator=(const MappedArray&) = delete;
    ~MappedArray() {
        if (*this) {
            ::munmap(memory_, bytes_);
        }
    }
    explicit operator bool() const { return memory_ != MAP_FAILED; }
    /// In place: the kernel goes on writing.
    [[nodiscard]] T& at(std::size_t index) const { return static_cast<T*>(memory_)[index]; }
    /// A copy: the kernel goes on writing.
    [[nodiscard]] T operator[](std::size_t index) const {
        T value{};
        __builtin_memcpy(&value, static_cast<const T*>(memory_) + index, sizeof value);
        return value;
    }

private:
    std::size_t bytes_;
    void* memory_;
};

} // namespace zsync::packet
