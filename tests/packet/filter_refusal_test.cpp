// What cannot be attached to or adopted, and how that is said.
#include "tests/packet/filter_fixture.hpp"

#include <zsync/packet/fair_queue.hpp>
#include <zsync/packet/meta.hpp>
#include <zsync/packet/rules.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <format>
#include <functional>
#include <unistd.h>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

using FilterRefusalTest = FilterTest;

const RuleSet some_rules = drop_source("10.1.0.0/16");

/// A program that passes everything.
Fd load_pass_program(const char* name) {
    const std::array<bpf_insn, 2> instructions{{
        {.code = BPF_ALU64 | BPF_MOV | BPF_K,
         .dst_reg = BPF_REG_0,
         .src_reg = 0,
         .off = 0,
         .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    LIBBPF_OPTS(bpf_prog_load_opts, load_options, .expected_attach_type = BPF_XDP);
    Fd program(bpf_prog_load(
        BPF_PROG_TYPE_XDP, name, "MIT", instructions.data(), instructions.size(), &load_options
    ));
    if (!program) {
        throw std::runtime_error("cannot load a program");
    }
    return program;
}

void expect_refused(const Outcome<Filter>& outcome, PacketError code, std::string_view words) {
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().error, Error(code));
    EXPECT_TRUE(outcome.error().message().contains(words)) << outcome.error().message();
}

/// Runs `work` in a process with these capabilities only; its exit code.
int with_capabilities(std::uint64_t capabilities, const std::function<int()>& work) {
    const pid_t child = fork();
    if (child == 0) {
        __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
        std::array<__user_cap_data_struct, 2> data{};
        for (std::size_t half = 0; half < 2; ++half) {
            const auto bits = static_cast<std::uint32_t>(capabilities >> (32 * half));
            data[half] = {.effective = bits, .permitted = bits, .inheritable = 0};
        }
        try {
            _exit(syscall(SYS_capset, &header, data.data()) == 0 ? work() : 100);
        } catch (...) {
            _exit(101);
        }
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 102;
}

constexpr std::uint64_t bit(unsigned capability) { return std::uint64_t{1} << capability; }

} // namespace

TEST_F(FilterRefusalTest, an_interface_that_is_not_there) {
    expect_refused(
        Filter::attach(options_for("nosuch0"), some_rules),
        PacketError::no_such_interface,
        "nosuch0"
    );
    for (const char* name : {"", "a/b", "0123456789abcdef"}) {
        EXPECT_FALSE(Filter::attach(options_for(name), some_rules));
    }
    EXPECT_FALSE(std::filesystem::exists(lab_.bpf_dir() + "/packet/nosuch0"));
}

TEST_F(FilterRefusalTest, a_foreign_program_is_named_and_left_alone) {
    const Fd foreign = load_pass_program("someone_elses");
    const int ifindex = static_cast<int>(if_nametoindex("zt0"));
    ASSERT_EQ(bpf_xdp_attach(ifindex, foreign.get(), 0, nullptr), 0);
    const std::uint32_t id = must(interface_facts("zt0")).xdp_program_id;
    expect_refused(
        Filter::attach(options(), some_rules),
        PacketError::foreign_program,
        std::format("id {} (someone_elses)", id)
    );
    EXPECT_EQ(must(interface_facts("zt0")).xdp_program_id, id);
    EXPECT_TRUE(Filter::list_pinned(lab_.bpf_dir()).empty());
}

TEST_F(FilterRefusalTest, a_second_filter_on_one_interface) {
    const Filter filter = must(Filter::attach(options(), some_rules));
    expect_refused(Filter::attach(options(), some_rules), PacketError::already_attached, "zt0");
    EXPECT_EQ(must(interface_facts("zt0")).xdp_program_id, filter.program_id());
}

TEST_F(FilterRefusalTest, who_has_no_descriptor_left_leaves_the_filter_as_it_is) {
    const RuleSet rules =
        parse_rules("pass limit 5/d burst 5 sample 1/1 proto udp", "test", nullptr).value();
    std::uint32_t program_id = must(Filter::attach(options(), rules)).program_id();
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    int refused = 0;
    for (rlim_t more = 0; more < 40; ++more) {
        const Fd lowest(open("/dev/null", O_RDONLY | O_CLOEXEC));
        const rlimit few{
            .rlim_cur = static_cast<rlim_t>(lowest.get()) + 1 + more, .rlim_max = before.rlim_max
        };
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        auto adopted = Filter::adopt(options());
        const auto attached = Filter::attach(options(), rules);
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        EXPECT_FALSE(attached);
        EXPECT_EQ(must(interface_facts("zt0")).xdp_program_id, program_id) << more;
        ASSERT_EQ(Filter::list_pinned(lab_.bpf_dir()).size(), 1U) << more;
        if (adopted) {
            // Whole: the samples' ring and the limit's keys are there, and a load goes on with
            // them.
            EXPECT_TRUE(adopted->read_limits(1)) << more;
            must(adopted->load(rules));
            program_id = adopted->program_id();
        } else {
            EXPECT_EQ(adopted.error().error.os_error(), EMFILE) << adopted.error().message();
            ++refused;
        }
    }
    EXPECT_GT(refused, 0);
    EXPECT_LT(refused, 40);
}

TEST_F(FilterRefusalTest, nobody_else_can_take_the_filter_off) {
    const Filter filter = must(Filter::attach(options(), some_rules));
    EXPECT_NE(std::system("ip link set zt0 xdp off 2>/dev/null"), 0);
    const Fd foreign = load_pass_program("intruder");
    EXPECT_LT(bpf_xdp_attach(static_cast<int>(filter.ifindex()), foreign.get(), 0, nullptr), 0);
    EXPECT_EQ(must(interface_facts("zt0")).xdp_program_id, filter.program_id());
}

TEST_F(FilterRefusalTest, a_port_of_a_bond) {
    if (std::system("ip link add zbond type bond 2>/dev/null") != 0) {
        GTEST_SKIP() << "this kernel has no bonding driver; vm.packet-kernel runs this";
    }
    run("ip link set zt0 down && ip link set zt0 master zbond");
    expect_refused(
        Filter::attach(options(), some_rules),
        PacketError::interface_enslaved,
        "zt0 is a port of the bond zbond"
    );
    run("ip link del zbond");
}

TEST_F(FilterRefusalTest, a_directory_that_is_not_on_a_bpffs) {
    FilterOptions elsewhere = options();
    elsewhere.bpf_dir = lab_.scratch_dir() + "/a/b";
    expect_refused(
        Filter::attach(elsewhere, some_rules), PacketError::no_bpffs, "mount -t bpf bpf /sys/fs/bpf"
    );
    EXPECT_TRUE(std::filesystem::is_empty(lab_.scratch_dir()));
    EXPECT_EQ(must(interface_facts("zt0")).xdp_mode, XdpMode::none);
}

TEST_F(FilterRefusalTest, a_process_without_capabilities) {
    const int code = with_capabilities(bit(CAP_DAC_OVERRIDE), [&] {
        const auto refused = Filter::attach(options(), some_rules);
        return refused.has_value()                                                ? 1
               : refused.error().error != Error(PacketError::not_permitted)       ? 2
               : !refused.error().message().contains("CAP_BPF and CAP_NET_ADMIN") ? 3
                                                                                  : 0;
    });
    EXPECT_EQ(code, 0);
    EXPECT_FALSE(std::filesystem::exists(lab_.bpf_dir() + "/packet/zt0"));
}

TEST_F(FilterRefusalTest, who_may_not_change_a_qdisc_is_not_told_that_there_is_none) {
    const std::uint32_t ifindex = if_nametoindex("zt0");
    const Shape shape = parse_rules("shape 10mbit", "test", nullptr).value().shape.value();
    const int code = with_capabilities(bit(CAP_BPF), [&] {
        const auto refused = install_fair_queue(ifindex, "zt0", shape);
        return refused.has_value()                                          ? 1
               : refused.error().error != Error(PacketError::not_permitted) ? 2
                                                                            : 0;
    });
    EXPECT_EQ(code, 0);
}

TEST_F(FilterRefusalTest, three_capabilities_are_enough) {
    constexpr std::uint64_t needed = bit(CAP_BPF) | bit(CAP_NET_ADMIN) | bit(CAP_PERFMON);
    EXPECT_EQ(
        with_capabilities(
            needed, [&] { return Filter::attach(options(), some_rules).has_value() ? 0 : 1; }
        ),
        0
    );
    EXPECT_EQ(
        with_capabilities(
            needed,
            [&] {
                auto filter = Filter::adopt(options());
                return filter && filter->load(RuleSet{}) && filter->rule_counts() &&
                               filter->whereabouts() && filter->detach()
                           ? 0
                           : 1;
            }
        ),
        0
    );
}

TEST_F(FilterRefusalTest, pins_of_another_layout_are_adopted_and_upgraded_with_their_counts) {
    // A past version's set: wider counters, shorter stats, another program.
    struct OldCounter {
        std::uint64_t packets, bytes, more;
    };
    const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
    const Fd program = load_pass_program("zsync_xdp");
    SharedMaps maps;
    maps.counters =
        Fd(bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "old", 4, sizeof(OldCounter), 10, nullptr));
    maps.stats = Fd(bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "old", 4, 32, 1, nullptr));
    const std::uint32_t slot = 3;
    const std::vector<OldCounter> counts(cpus, {5, 500, 1});
    ASSERT_EQ(bpf_map_update_elem(maps.counters.get(), &slot, counts.data(), 0), 0);
    const std::uint32_t zero = 0;
    const std::vector<std::array<std::uint64_t, 4>> stats(cpus, {7, 700, 5, 500});
    ASSERT_EQ(bpf_map_update_elem(maps.stats.get(), &zero, stats.data(), 0), 0);

    const std::uint32_t id = program_id(program).value();
    const Meta meta{
        .layout_version = 0,
        .program_id = id,
        .ifname = "zt0",
        .rules = {{some_rules.rules[0].text, "", slot, Verdict::drop}},
    };
    const Pins pins(lab_.bpf_dir(), "zt0", {});
    must(pins.create());
    must(pins.create_generation(id));
    must(pins.pin(id, "program", program));
    must(pins.pin(id, "counters", maps.counters));
    must(pins.pin(id, "stats", maps.stats));
    must(pins.pin(id, "meta", must(create_meta_map(meta))));
    Fd link(
        bpf_link_create(program.get(), static_cast<int>(if_nametoindex("zt0")), BPF_XDP, nullptr)
    );
    ASSERT_TRUE(link);
    must(pins.pin_link(link));
    link.reset();

    Filter filter = must(Filter::adopt(options()));
    EXPECT_TRUE(filter.needs_upgrade());
    EXPECT_EQ(filter.layout_version(), 0U);
    const LoadReport report = must(filter.load(some_rules));
    EXPECT_EQ(report.kept, 1U);
    EXPECT_TRUE(report.note.contains(std::format("layout 0 to {}", ZSYNC_LAYOUT_VERSION)))
        << report.note;
    EXPECT_FALSE(filter.needs_upgrade());
    FrameSender(veth_.peer()).send(udp_from(0x0a010001));
    const std::uint64_t frame_bytes = udp_from(0).size();
    EXPECT_EQ(filter.rule_counts()->front(), (RuleCount{5 * cpus + 1, 500 * cpus + frame_bytes}));
    EXPECT_EQ(filter.stats()->passed, (RuleCount{7 * cpus, 700 * cpus}));
    EXPECT_EQ(filter.stats()->dropped.packets, 5 * cpus + 1);
    EXPECT_EQ(must(Filter::adopt(options())).layout_version(), std::uint32_t{ZSYNC_LAYOUT_VERSION});
}

TEST_F(FilterRefusalTest, pins_that_do_not_fit_together_are_not_adopted) {
    Filter filter = must(Filter::attach(options(), some_rules));
    const std::string meta =
        std::format("{}/packet/zt0/g{}/meta", lab_.bpf_dir(), filter.program_id());
    std::filesystem::remove(meta);
    expect_refused(Filter::adopt(options()), PacketError::damaged_pins, "meta");
    EXPECT_EQ(must(interface_facts("zt0")).xdp_program_id, filter.program_id());
    must(filter.detach());
}

TEST(Meta, survives_encoding_and_refuses_what_is_cut_or_foreign) {
    const Meta meta{
        .layout_version = 1,
        .code_hash = 2,
        .program_id = 3,
        .ifindex = 4,
        .ifname = "eth0",
        .mode = XdpMode::generic,
        .default_verdict = Verdict::drop,
        .malformed_verdict = Verdict::pass,
        .default_slot = 5,
        .prefixes = 6,
        .loaded_realtime_usec = 7,
        .rules = {{"drop", "name", 8, Verdict::drop}, {"pass", "", 9, Verdict::pass}},
    };
    const std::vector<std::uint8_t> bytes = encode_meta(meta);
    EXPECT_EQ(must(decode_meta(bytes)), meta);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_meta(std::span(bytes).first(size))) << size;
    }
    // What it does not say it says nothing of.
    for (const std::optional<LiveShape>& shape :
         {std::optional<LiveShape>(),
          std::optional(
              LiveShape{.shape = {.rate = 8000, .horizon_ms = 9, .classes = {}}, .slots = {}}
          )}) {
        for (const bool starts_at_network : {false, true}) {
            Meta longer = meta;
            longer.shape = shape;
            longer.starts_at_network = starts_at_network;
            EXPECT_EQ(must(decode_meta(encode_meta(longer))), longer);
        }
    }
    std::vector<std::uint8_t> foreign = bytes;
    foreign[0] ^= 1;
    EXPECT_EQ(decode_meta(foreign).error().error, Error(PacketError::damaged_pins));
}
