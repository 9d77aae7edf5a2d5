#include "bench/packet/subject.hpp"

#include "tests/packet/frames.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <random_source.skel.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace zsync::bench {
namespace {

struct Destroy {
    void operator()(random_source* skeleton) const { random_source__destroy(skeleton); }
};

} // namespace

void require(bool done, const std::string& what) {
    if (!done) {
        throw std::runtime_error(what + ": " + os_error(errno).message());
    }
}

struct Subject::Wrapper {
    /// `frags`: for a program of multi-buffer frames; a tail call only goes to its own kind.
    explicit Wrapper(bool frags) : skeleton(random_source__open()) {
        require(skeleton != nullptr, "open wrapper");
        const auto& programs = skeleton->progs;
        bpf_program__set_autoload(programs.random_source_frags, frags);
        bpf_program__set_autoload(programs.bare_drop_frags, frags);
        bpf_program__set_autoload(programs.random_source, !frags);
        bpf_program__set_autoload(programs.bare_drop, !frags);
        require(random_source__load(skeleton.get()) == 0, "load wrapper");
        entry = bpf_program__fd(frags ? programs.random_source_frags : programs.random_source);
        drop = bpf_program__fd(frags ? programs.bare_drop_frags : programs.bare_drop);
    }

    [[nodiscard]] bool aim(int program) const {
        const std::uint32_t key = 0;
        const int map = bpf_map__fd(skeleton->maps.target);
        return bpf_map_update_elem(map, &key, &program, BPF_ANY) == 0;
    }

    std::unique_ptr<random_source, Destroy> skeleton;
    int entry = -1;
    int drop = -1;
};

Subject::Subject(std::string name, Fd program)
    : name_(std::move(name)), program_(std::move(program)) {
    for (const bool frags : {true, false}) {
        wrapper_ = std::make_unique<Wrapper>(frags);
        if (wrapper_->aim(program_ ? program_.get() : wrapper_->drop)) {
            return;
        }
    }
    require(false, "tail call to " + name_);
}

Subject::~Subject() = default;

void Subject::draw_from(const Sources& sources) {
    auto& memory = *wrapper_->skeleton->bss;
    const std::size_t bytes = sources.words.size() * sizeof(sources.words[0]);
    if (bytes > sizeof(memory.addresses)) {
        throw std::runtime_error("more addresses than random_source.bpf.c holds");
    }
    if (bytes > 0) {
        std::memcpy(memory.addresses, sources.words.data(), bytes);
    }
    memory.words = static_cast<std::uint32_t>(sources.words.size());
    wrapper_->skeleton->data->address_words = sources.address_words;
    memory.at = 0;
}

void Subject::run(std::uint32_t repeats) {
    using namespace packet::test;
    const bool is_ipv6 = wrapper_->skeleton->data->address_words == 4;
    const Frame frame = is_ipv6 ? ethernet(0x86dd) + ipv6({}, udp(4000, 5000, 22))
                                : ethernet(0x0800) + ipv4({}, udp(4000, 5000, 22));
    LIBBPF_OPTS(
        bpf_test_run_opts,
        options,
        .data_in = frame.data(),
        .data_size_in = static_cast<std::uint32_t>(frame.size()),
        .repeat = static_cast<int>(repeats)
    );
    require(bpf_prog_test_run_opts(wrapper_->entry, &options) == 0, "BPF_PROG_TEST_RUN");
    verdict = options.retval;
    // The kernel's own figure, in whole nanoseconds: around the call one would also time the two
    // grace periods that it waits for, 4 ms each.
    ns.push_back(options.duration);
}

std::uint64_t Subject::calls() const { return wrapper_->skeleton->bss->calls; }

void run_in_turns(
    std::span<Subject* const> subjects, const Sources& draw, int rounds, std::uint32_t repeats
) {
    for (Subject* subject : subjects) {
        subject->ns.clear();
        subject->draw_from(draw);
    }
    for (int round = 0; round < rounds; ++round) {
        for (Subject* subject : subjects) {
            subject->run(repeats);
        }
    }
}

} // namespace zsync::bench
