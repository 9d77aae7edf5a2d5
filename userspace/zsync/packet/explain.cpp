#include <zsync/packet/address_text.hpp>
#include <zsync/packet/counters.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/explain.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/rules_names.hpp>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <numeric>

namespace zsync::packet {
namespace {

std::string address_text(Family family, const std::array<std::uint8_t, 16>& address) {
    const std::uint8_t length = family == Family::ipv4 ? 32 : 128;
    return format_prefix({.family = family, .length = length, .address = address});
}

/// The longest prefix of the set that covers the address, or that address with the port.
const Prefix* covering(
    const AddressSet& set,
    Family family,
    const std::array<std::uint8_t, 16>& address,
    std::optional<std::uint16_t> port
) {
    const Prefix* longest = nullptr;
    for (const Prefix& prefix : set) {
        if (prefix.port && prefix.port != port) {
            continue;
        }
        const auto covers = [&] {
            const std::size_t bytes = prefix.length / 8;
            const unsigned rest = prefix.length % 8;
            const auto equal = std::ranges::mismatch(prefix.address, address).in1;
            const auto same = static_cast<std::size_t>(equal - prefix.address.begin());
            if (same >= bytes && rest == 0) {
                return true;
            }
            return same >= bytes && ((prefix.address[bytes] ^ address[bytes]) >> (8 - rest)) == 0;
        };
        // An address with its port comes behind the same without one, and says more.
        if (prefix.family == family && (longest == nullptr || prefix.length >= longest->length) &&
            covers()) {
            longest = &prefix;
        }
    }
    return longest;
}

std::vector<std::string>
reasons_for(const RuleSet& rules, const Rule& rule, const MadePacket& packet) {
    std::vector<std::string> reasons;
    const auto add = [&](Condition condition, const std::string& value) {
        reasons.push_back(
            std::format("{}: {}", condition_words[std::to_underlying(condition)], value)
        );
    };
    const auto add_address = [&](Condition condition,
                                 std::optional<std::uint32_t> set,
                                 const std::array<std::uint8_t, 16>& address,
                                 std::uint16_t port) {
        const auto port_there = has_ports(packet.protocol) ? std::optional(port) : std::nullopt;
        const Prefix* prefix =
            set ? covering(rules.address_sets[*set], packet.family, address, port_there) : nullptr;
        if (prefix != nullptr && prefix->port) {
            add(condition, format_prefix(*prefix));
        } else if (prefix != nullptr) {
            add(condition,
                std::format(
                    "{} is in {}", address_text(packet.family, address), format_prefix(*prefix)
                ));
        }
    };
    add_address(Condition::from, rule.from, packet.source, packet.source_port);
    add_address(Condition::to, rule.to, packet.destination, packet.destination_port);
    if (rule.protocol) {
        add(Condition::proto, protocol_text(packet.protocol));
    }
    if (!rule.source_ports.empty()) {
        add(Condition::sport, std::to_string(packet.source_port));
    }
    if (!rule.destination_ports.empty()) {
        add(Condition::dport, std::to_string(packet.destination_port));
    }
    if (rule.tcp_flags) {
        std::string set;
        for (std::size_t bit = 0; bit < tcp_flag_words.size(); ++bit) {
            if ((packet.tcp_flags >> bit & 1) != 0) {
                set += (set.empty() ? "" : ",") + std::string(tcp_flag_words[bit]);
            }
        }
        add(Condition::flags, set.empty() ? "none is set" : set);
    }
    if (!rule.icmp.empty()) {
        add(Condition::icmp, std::format("{}/{}", packet.icmp >> 8, packet.icmp & 0xff));
    }
    if (!rule.length.empty()) {
        add(Condition::length, std::to_string(packet.length));
    }
    if (rule.vlan && packet.vlan) {
        add(Condition::vlan, std::to_string(*packet.vlan));
    }
    if (rule.fragment) {
        add(Condition::fragment, "the first part of a packet");
    }
    return reasons;
}

Outcome<std::uint32_t> run_once(const Fd& program, const std::vector<std::uint8_t>& frame) {
    LIBBPF_OPTS(
        bpf_test_run_opts,
        options,
        .data_in = frame.data(),
        .data_size_in = static_cast<std::uint32_t>(frame.size()),
        .repeat = 1
    );
    if (bpf_prog_test_run_opts(program.get(), &options) < 0) {
        const int error = errno;
        return fail(
            os_error(error),
            std::format("cannot run the program on the packet: {}", os_error(error).message())
        );
    }
    return options.retval;
}

/// The verdict by what a hook's program returned; nothing for what none returns.
std::optional<Verdict> verdict_of(HookKind hook, std::uint32_t action) {
    constexpr auto next_program = static_cast<std::uint32_t>(-1); // TCX_NEXT
    const auto pass_is = [&](std::uint32_t pass, std::uint32_t drop) -> std::optional<Verdict> {
        if (action == pass) {
            return Verdict::pass;
        }
        return action == drop ? std::optional(Verdict::drop) : std::nullopt;
    };
    switch (hook) {
    case HookKind::xdp:
        // A SYN's answer is sent: the SYN itself goes no further.
        return action == XDP_TX ? Verdict::drop : pass_is(XDP_PASS, XDP_DROP);
    case HookKind::tcx_out:
        return pass_is(next_program, TC_ACT_SHOT);
    case HookKind::cgroup_in:
    case HookKind::cgroup_out:
        return pass_is(1, 0);
    }
    return std::nullopt;
}

} // namespace

Outcome<Explanation> explain(const RuleSet& rules, const MadePacket& packet, HookKind hook) {
    CounterSlots slots;
    slots.rules.resize(rules.rules.size());
    std::iota(slots.rules.begin(), slots.rules.end(), 1);
    SharedMaps maps = ZTRY(create_shared_maps());
    NameIds names;
    if (hook != HookKind::xdp) {
        names = ZTRY(resolve_names(rules));
    }
    const LoadedProgram program =
        ZTRY(load_program(ZTRY(compile(rules, slots, names)), maps, hook));
    const std::uint32_t action = ZTRY(run_once(program.fd, frame_of(packet)));
    const std::vector<RuleCount> counts = ZTRY(read_counters(maps.counters));
    const auto counted = std::ranges::find(counts, 1U, &RuleCount::packets);
    const std::optional<Verdict> verdict = verdict_of(hook, action);
    if (counted == counts.end() || !verdict) {
        return fail(
            PacketError::invalid_packet,
            std::format("the program met no rule with this packet (action {})", action)
        );
    }
    Explanation explanation;
    explanation.verdict = *verdict;
    const auto slot = static_cast<std::uint32_t>(counted - counts.begin());
    if (slot == slots.by_default) {
        explanation.text = std::format("default {}", verdict_word(rules.default_verdict));
        return explanation;
    }
    const Rule& rule = rules.rules[slot - 1];
    explanation.rule = slot - 1;
    explanation.text = rule.text;
    explanation.name = rule.name;
    explanation.reasons = reasons_for(rules, rule, packet);
    if (rule.actions.redirect && rule.verdict == Verdict::pass) {
        // No device is in this program's map, so it drops what it would send.
        explanation.verdict = Verdict::pass;
        explanation.reasons.push_back(
            std::format("redirect: it leaves by {}, if that is there", *rule.actions.redirect)
        );
    }
    if (rule.actions.shape_class) {
        explanation.reasons.push_back(
            std::format("class: it is sent as {}, when that may", *rule.actions.shape_class)
        );
    }
    if (rule.actions.challenge && action != XDP_PASS) {
        explanation.reasons.emplace_back(
            action == XDP_TX ? "challenge: the SYN is answered with a cookie"
                             : "challenge: the packet brings no cookie and has no connection"
        );
    }
    return explanation;
}

} // namespace zsync::packet
