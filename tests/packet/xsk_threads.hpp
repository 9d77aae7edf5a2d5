// AF_XDP sockets at work on threads of their own, for tests and benchmarks that make traffic
// themselves.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/xsk/forwarder.hpp>
#include <zsync/packet/xsk/socket.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>

namespace zsync::packet::test {

/// What a socket was told and counted, and where the frames are when all that came was fetched.
struct ReceiveReport {
    xsk::SocketStats stats;
    xsk::UmemBalance open;   ///< the socket has its frames to receive into
    xsk::UmemBalance closed; ///< none is lent any more
};

/// Fetches what comes in at an interface's first queue, and lets it go.
class ReceivingThread {
public:
    ReceivingThread(
        std::string ifname, std::uint32_t receive_entries, std::optional<unsigned> cpu = {}
    );
    ~ReceivingThread();
    ReceivingThread(const ReceivingThread&) = delete;
    ReceivingThread& operator=(const ReceivingThread&) = delete;

    [[nodiscard]] std::uint64_t received() const { return received_; }
    /// Fetches what is there and ends.
    ReceiveReport stop();

private:
    Task<Outcome<void>> receive(Io io, std::string ifname, std::uint32_t receive_entries);

    std::atomic<std::uint64_t> received_ = 0;
    std::atomic<bool> ready_ = false;
    std::atomic<bool> stopping_ = false;
    ReceiveReport report_;
    std::thread thread_;
};

/// `xsk::Forwarder` between two interfaces.
class ForwardingThread {
public:
    ForwardingThread(
        const std::string& first, const std::string& second, std::optional<unsigned> cpu = {}
    );
    ~ForwardingThread();
    ForwardingThread(const ForwardingThread&) = delete;
    ForwardingThread& operator=(const ForwardingThread&) = delete;

    /// Packets of the first interface so far.
    [[nodiscard]] std::uint64_t forwarded() const { return forwarded_; }
    /// Waits until the forwarder has ended by itself, and says why.
    [[nodiscard]] Error ended() const;
    /// Waits until all that came was sent, and ends.
    xsk::ForwardStatus stop();

private:
    Task<Outcome<void>> forward(Io io, std::string first, std::string second);
    Task<Result<void>> run(xsk::Forwarder* forwarder);

    std::atomic<std::uint64_t> forwarded_ = 0;
    std::atomic<bool> has_ended_ = false;
    std::optional<Error> end_;
    std::atomic<bool> ready_ = false;
    std::atomic<bool> stopping_ = false;
    xsk::ForwardStatus status_;
    std::thread thread_;
};

} // namespace zsync::packet::test
