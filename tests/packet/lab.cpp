#include "tests/packet/lab.hpp"

#include <zsync/packet/pins.hpp>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <format>
#include <ifaddrs.h>
#include <memory>
#include <sched.h>
#include <stdexcept>
#include <unistd.h>

namespace zsync::packet::test {
namespace {

void require(bool done, std::string_view what) {
    if (!done) {
        throw std::runtime_error(std::format("{}: {}", what, os_error(errno).message()));
    }
}

} // namespace

const Lab& Lab::enter() {
    static const Lab lab;
    return lab;
}

Lab::Lab() {
    require(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare");
    require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
    // On a tmpfs of its own: even the directory to mount on is gone with the namespace.
    require(mount("tmpfs", "/mnt", "tmpfs", 0, nullptr) == 0, "tmpfs");
    require(mkdir("/mnt/bpf", 0700) == 0, "mkdir");
    require(mount("bpf", "/mnt/bpf", "bpf", 0, "mode=0700") == 0, "bpffs");
    require(mkdir(scratch_dir_.c_str(), 0700) == 0, "mkdir");
    run("ip link set lo up");
}

void run(const std::string& command_line) {
    const int status = std::system(command_line.c_str());
    if (status != 0) {
        throw std::runtime_error(std::format("{}: status {}", command_line, status));
    }
}

Veth::Veth(std::string name, std::string peer, std::uint32_t queues)
    : name_(std::move(name)), peer_(std::move(peer)) {
    const std::string number = std::format("numrxqueues {0} numtxqueues {0}", queues);
    run(std::format("ip link add {} {} type veth peer name {} {}", name_, number, peer_, number));
    // Without addresses the kernel sends nothing of its own, so every count is the test's.
    for (const std::string& end : {name_, peer_}) {
        run(std::format(
            "ip link set {0} addrgenmode none && ip link set {0} arp off multicast off up", end
        ));
    }
}

Veth::~Veth() { (void)std::system(std::format("ip link del {} 2>/dev/null", peer_).c_str()); }

OtherNamespace::OtherNamespace() : holder_(0) {
    std::array<int, 2> ends{};
    require(pipe(ends.data()) == 0, "pipe");
    const Fd ready(ends[0]);
    Fd done(ends[1]);
    holder_ = fork();
    if (holder_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        const bool apart = unshare(CLONE_NEWNET) == 0;
        (void)!write(done.get(), &apart, 1);
        for (;;) {
            pause();
        }
    }
    done.reset();
    bool apart = false;
    require(holder_ > 0 && read(ready.get(), &apart, 1) == 1 && apart, "another namespace");
}

OtherNamespace::~OtherNamespace() {
    kill(holder_, SIGKILL);
    waitpid(holder_, nullptr, 0);
}

void OtherNamespace::take(const std::string& ifname) const {
    run(std::format("ip link set {} netns {}", ifname, holder_));
    run(std::format("nsenter -t {} -n ip link set {} up", holder_, ifname));
}

void OtherNamespace::give_back(const std::string& ifname) const {
    run(std::format("nsenter -t {} -n ip link set {} netns {}", holder_, ifname, getpid()));
}

Tun::Tun(const std::string& ifname) : device_(open("/dev/net/tun", O_RDWR | O_CLOEXEC)) {
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    ifname.copy(request.ifr_name, IFNAMSIZ - 1);
    require(ioctl(device_.get(), TUNSETIFF, &request) == 0, "tun");
}

void Tun::receive(const Frame& packet) const {
    const auto bytes = static_cast<ssize_t>(packet.size());
    require(write(device_.get(), packet.data(), packet.size()) == bytes, "a packet into tun");
}

std::string output_of(const std::string& command_line) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command_line.c_str(), "r"), &pclose);
    require(pipe != nullptr, command_line.c_str());
    std::string text;
    std::array<char, 4096> part{};
    while (std::fgets(part.data(), part.size(), pipe.get()) != nullptr) {
        text += part.data();
    }
    return text;
}

std::uint64_t frames_arrived(const std::string& ifname) {
    ifaddrs* first = nullptr;
    require(getifaddrs(&first) == 0, "getifaddrs");
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(first, &freeifaddrs);
    for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
        if (at->ifa_addr != nullptr && at->ifa_addr->sa_family == AF_PACKET &&
            ifname == at->ifa_name) {
            return static_cast<const rtnl_link_stats*>(at->ifa_data)->rx_packets;
        }
    }
    throw std::runtime_error("no device " + ifname);
}

FrameSender::FrameSender(std::string_view ifname)
    : socket_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)),
      ifindex_(static_cast<int>(if_nametoindex(std::string(ifname).c_str()))) {
    require(static_cast<bool>(socket_) && ifindex_ > 0, "packet socket");
}

bool FrameSender::try_send(const Frame& frame) const {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = ifindex_;
    to.sll_halen = ETH_ALEN;
    const auto* address = reinterpret_cast<const sockaddr*>(&to);
    const ssize_t sent = sendto(socket_.get(), frame.data(), frame.size(), 0, address, sizeof(to));
    require(sent == static_cast<ssize_t>(frame.size()) || errno == ENOBUFS, "sendto");
    return sent >= 0;
}

void FrameSender::send(const Frame& frame) const {
    // A full transmit queue drops the frame and says so; the receiver makes room.
    while (!try_send(frame)) {
    }
}

void FrameSender::offer(const Frame& frame) const { (void)try_send(frame); }

std::uint32_t test_run(int program, const Frame& frame, std::uint32_t repeat) {
    LIBBPF_OPTS(
        bpf_test_run_opts,
        options,
        .data_in = frame.data(),
        .data_size_in = static_cast<std::uint32_t>(frame.size()),
        .repeat = static_cast<int>(repeat)
    );
    require(bpf_prog_test_run_opts(program, &options) == 0, "BPF_PROG_TEST_RUN");
    return options.retval;
}

std::uint32_t test_run(int program, const Frame& frame, Frame& left) {
    constexpr std::size_t before_frame_max = 64;
    left.assign(frame.size() + before_frame_max, 0);
    LIBBPF_OPTS(
        bpf_test_run_opts,
        options,
        .data_in = frame.data(),
        .data_out = left.data(),
        .data_size_in = static_cast<std::uint32_t>(frame.size()),
        .data_size_out = static_cast<std::uint32_t>(left.size()),
        .repeat = 1
    );
    require(bpf_prog_test_run_opts(program, &options) == 0, "BPF_PROG_TEST_RUN");
    left.resize(options.data_size_out);
    return options.retval;
}

SkbRun test_run_skb(
    int program, const Frame& frame, std::uint32_t ifindex, std::uint32_t ingress_ifindex
) {
    __sk_buff skb{};
    __sk_buff skb_out{};
    skb.ifindex = ifindex;
    skb.ingress_ifindex = ingress_ifindex;
    LIBBPF_OPTS(
        bpf_test_run_opts,
        options,
        .data_in = frame.data(),
        .data_size_in = static_cast<std::uint32_t>(frame.size()),
        .ctx_in = &skb,
        .ctx_out = &skb_out,
        .ctx_size_in = sizeof skb,
        .ctx_size_out = sizeof skb_out,
        .repeat = 1
    );
    require(bpf_prog_test_run_opts(program, &options) == 0, "BPF_PROG_TEST_RUN");
    return {.returned = options.retval, .mark = skb_out.mark};
}

std::uint32_t verified_instructions(const Fd& program) {
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof(info);
    require(bpf_prog_get_info_by_fd(program.get(), &info, &bytes) == 0, "program info");
    return info.verified_insns;
}

std::uint32_t program_bytes(const Fd& program) {
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof(info);
    require(
        bpf_prog_get_info_by_fd(program.get(), &info, &bytes) == 0 && info.xlated_prog_len > 0,
        "program info"
    );
    return info.xlated_prog_len;
}

Fd live_program(const Filter& filter, std::string_view bpf_dir) {
    auto program = Pins(bpf_dir, filter.ifname(), {}).open(filter.program_id(), "program");
    require(program.has_value(), "pinned program");
    return *std::move(program);
}

} // namespace zsync::packet::test
