#include "tests/packet/frame_counter.hpp"

#include <zsync/core/fd.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <frame_counter.skel.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <system_error>

#include <atomic>
#include <cerrno>

namespace zsync::packet::test {
namespace {

struct Destroy {
    void operator()(frame_counter* skeleton) const { frame_counter__destroy(skeleton); }
};

} // namespace

struct FrameCounter::Program {
    std::unique_ptr<frame_counter, Destroy> skeleton{frame_counter__open_and_load()};
    Fd link;
};

FrameCounter::FrameCounter(const std::string& ifname) : program_(std::make_unique<Program>()) {
    if (!program_->skeleton) {
        throw std::system_error(errno, std::generic_category(), "load frame_counter");
    }
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    program_->link = Fd(bpf_link_create(
        bpf_program__fd(program_->skeleton->progs.frame_counter),
        static_cast<int>(if_nametoindex(ifname.c_str())),
        BPF_XDP,
        &options
    ));
    if (!program_->link) {
        throw std::system_error(errno, std::generic_category(), "attach frame_counter");
    }
}

FrameCounter::~FrameCounter() = default;

std::uint64_t FrameCounter::frames() const {
    return std::atomic_ref(program_->skeleton->bss->frames).load();
}

} // namespace zsync::packet::test
