// Packets as fast as the kernel makes them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace zsync::packet::test {

/// Sends UDP from random addresses of 10.0.0.0/8 out of an interface, with
/// BPF_F_TEST_XDP_LIVE_FRAMES. What the other end has no room for is lost on the way.
class LiveSource {
public:
    explicit LiveSource(const std::string& ifname);
    ~LiveSource();
    LiveSource(const LiveSource&) = delete;
    LiveSource& operator=(const LiveSource&) = delete;

    /// From these from here on, in network order, at most 262,144; of none: as at first.
    void draw_from(std::span<const std::uint32_t> addresses) const;
    /// Blocks until the kernel has tried to send `packets`.
    void send(std::uint32_t packets) const;

private:
    struct Program;
    std::unique_ptr<Program> program_;
};

} // namespace zsync::packet::test
