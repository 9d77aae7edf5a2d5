// Turn: one of a limited number of calls that run.
#pragma once

#include <cstdint>

namespace zsync::zsyncd {

/// Counts a call for as long as it lives.
class Turn {
public:
    explicit Turn(std::uint32_t& running) noexcept : running_(running) { ++running_; }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { --running_; }

private:
    std::uint32_t& running_;
};

} // namespace zsync::zsyncd
