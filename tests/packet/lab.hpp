// A place for tests against the real kernel: own network namespace, own BPF file system, veth
// pairs.
#pragma once

#include "tests/packet/frames.hpp"

#include <zsync/core/fd.hpp>
#include <zsync/packet/filter.hpp>

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace zsync::packet::test {

/// Puts the process into a network and a mount namespace of its own, with a bpffs in `bpf_dir`.
/// Everything made in it goes away with the process, whatever becomes of the test.
class Lab {
public:
    /// Enters once a process; later calls return the same lab.
    static const Lab& enter();

    [[nodiscard]] const std::string& bpf_dir() const { return bpf_dir_; }
    /// An empty folder in memory.
    [[nodiscard]] const std::string& scratch_dir() const { return scratch_dir_; }

private:
    Lab();
    std::string bpf_dir_ = "/mnt/bpf/zsync";
    std::string scratch_dir_ = "/mnt/scratch";
};

/// Runs a command line and fails the test when it fails.
void run(const std::string& command_line);

/// What a command line prints.
std::string output_of(const std::string& command_line);

/// A veth pair, both ends up and with so many queues. Deleted at the end of its life.
class Veth {
public:
    explicit Veth(std::string name = "zt0", std::string peer = "zt1", std::uint32_t queues = 1);
    ~Veth();
    Veth(const Veth&) = delete;
    Veth& operator=(const Veth&) = delete;

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const std::string& peer() const { return peer_; }

private:
    std::string name_;
    std::string peer_;
};

/// Another network namespace, there as long as this object is.
class OtherNamespace {
public:
    OtherNamespace();
    ~OtherNamespace();
    OtherNamespace(const OtherNamespace&) = delete;
    OtherNamespace& operator=(const OtherNamespace&) = delete;

    /// Moves an interface there, and brings it up.
    void take(const std::string& ifname) const;
    /// And back.
    void give_back(const std::string& ifname) const;

private:
    pid_t holder_;
};

/// A device of tun, whose packets have no link header, there as long as this object is.
class Tun {
public:
    explicit Tun(const std::string& ifname);
    /// Has the device receive a packet; it must be up.
    void receive(const Frame& packet) const;

private:
    Fd device_;
};

/// Frames that an interface has received, by its own count.
std::uint64_t frames_arrived(const std::string& ifname);

/// Sends frames out of an interface, as they are.
class FrameSender {
public:
    explicit FrameSender(std::string_view ifname);
    void send(const Frame& frame) const;
    /// Sends a frame that a filter of what the interface sends may drop.
    void offer(const Frame& frame) const;

private:
    [[nodiscard]] bool try_send(const Frame& frame) const;

    Fd socket_;
    int ifindex_ = 0;
};

/// Runs the attached program on one frame by BPF_PROG_TEST_RUN; its counters count.
std::uint32_t test_run(int program, const Frame& frame, std::uint32_t repeat = 1);

/// The same; `left` is what the program leaves, from what it writes before the frame on.
std::uint32_t test_run(int program, const Frame& frame, Frame& left);

/// What a program made of an skb.
struct SkbRun {
    std::uint32_t returned = 0;
    std::uint32_t mark = 0;
};

/// The same of an skb that is at, and came in by, these interfaces; 0: loopback, and none.
SkbRun
test_run_skb(int program, const Frame& frame, std::uint32_t ifindex, std::uint32_t ingress_ifindex);

/// How many steps the verifier took for `program`.
std::uint32_t verified_instructions(const Fd& program);

/// How long `program` is without the code that the verifier removed.
std::uint32_t program_bytes(const Fd& program);

/// The program of the live generation of `filter`.
Fd live_program(const Filter& filter, std::string_view bpf_dir);

} // namespace zsync::packet::test
