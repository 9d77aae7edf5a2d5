// Packets as fast as the kernel makes them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>

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
    /// So many packets a second from here on, from 25,000; 0: as fast as it goes.
    void pace(std::uint32_t packets_per_second) const;
    /// Blocks until the kernel has tried to send `packets`, or a signal has come for this thread.
    void send(std::uint32_t packets) const;

private:
    struct Program;
    std::unique_ptr<Program> program_;
};

/// A thread that sends without a pause for as long as this lives. What begins and ends a
/// `LiveSource::send` takes 20 ms in which nothing is sent.
class LiveStream {
public:
    /// `source` outlives it. `cpu`: the processor that makes the packets; any by default.
    explicit LiveStream(const LiveSource& source, std::optional<unsigned> cpu = {});
    ~LiveStream();
    LiveStream(const LiveStream&) = delete;
    LiveStream& operator=(const LiveStream&) = delete;

private:
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> stopped_ = false;
    std::thread thread_;
};

} // namespace zsync::packet::test
