// org.zsync1.PacketInterface: one filtered interface on the bus.
#pragma once

#include "packet_captures.hpp"
#include "packet_takes.hpp"

#include <zsync/bus/authorize.hpp>
#include <zsync/bus/connection.hpp>
#include <zsync/bus/interface.hpp>
#include <zsync/core/fd.hpp>
#include <zsync/packet/service.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace zsync::zsyncd {

class PacketObjects;

/// The polkit action that changing any filter needs.
constexpr const char* manage_packet_action = "org.zsync1.manage-packet";

/// A copy of one interface's view, and the commands on it.
class PacketInterfaceObject {
public:
    /// `kind, time_usec, source, destination, protocol, port, reason`.
    static constexpr bus::Signal<
        std::string,
        std::uint64_t,
        std::string,
        std::string,
        std::string,
        std::uint16_t,
        std::string>
        alert{"Alert"};
    static const bus::Interface& bus_interface();

    PacketInterfaceObject(PacketObjects& parent, packet::InterfaceView view);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Takes another view and sends PropertiesChanged for what differs.
    void update(
        packet::InterfaceView view,
        std::uint32_t sample_every,
        std::uint64_t sources_left_out,
        std::uint64_t alerts_left_out,
        bus::Connection& connection
    );

    /// \name Members on the bus
    /// \{
    [[nodiscard]] std::string name() const { return view_.name; }
    [[nodiscard]] std::uint32_t ifindex() const { return view_.ifindex; }
    [[nodiscard]] std::string mode() const { return std::string(name_of(view_.mode)); }
    [[nodiscard]] std::string requested_mode() const {
        return std::string(name_of(view_.requested_mode));
    }
    [[nodiscard]] std::string state() const { return std::string(name_of(view_.state)); }
    [[nodiscard]] std::string state_reason() const { return view_.reason; }
    [[nodiscard]] bool adopted() const { return view_.adopted; }
    [[nodiscard]] std::uint32_t program_id() const { return view_.program_id; }
    [[nodiscard]] std::uint32_t layout_version() const { return view_.layout_version; }
    [[nodiscard]] std::uint32_t rule_count() const { return view_.rules; }
    [[nodiscard]] std::uint64_t prefix_count() const { return view_.prefixes; }
    [[nodiscard]] std::string default_verdict() const {
        return std::string(name_of(view_.default_verdict));
    }
    [[nodiscard]] std::string malformed_verdict() const {
        return std::string(name_of(view_.malformed_verdict));
    }
    [[nodiscard]] std::string rules_source() const { return view_.rules_source; }
    [[nodiscard]] std::uint64_t load_timestamp() const { return view_.load_realtime_us; }

    [[nodiscard]] std::uint32_t sample_every() const { return sample_every_; }
    /// Text, and when it expires.
    [[nodiscard]] std::vector<std::tuple<std::string, std::uint64_t>> temporary_rules() const;
    [[nodiscard]] std::uint64_t sources_left_out() const { return sources_left_out_; }
    [[nodiscard]] std::uint64_t alerts_left_out() const { return alerts_left_out_; }

    using LoadReply = std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>;
    using CheckReply = std::tuple<std::uint32_t, std::uint64_t>;
    /// Index, text, name, packets, bytes, packets that its limit refused.
    using RuleRow = std::
        tuple<std::uint32_t, std::string, std::string, std::uint64_t, std::uint64_t, std::uint64_t>;
    using StatsReply = std::tuple<
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::map<std::string, std::uint64_t>>;

    Task<Outcome<LoadReply>>
    load(bus::CallContext call, Fd rules, std::string source_name, bus::Options options);
    Task<Outcome<CheckReply>>
    check(bus::CallContext call, Fd rules, std::string source_name, bus::Options options);
    /// Prefixes added, prefixes removed, the set's size, microseconds.
    using ChangeReply = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;
    Task<Outcome<ChangeReply>> change_set(
        bus::CallContext call,
        std::string set,
        std::vector<std::string> add,
        std::vector<std::string> remove,
        bus::Options options
    );
    Task<Outcome<ChangeReply>> replace_set(
        bus::CallContext call,
        std::string set,
        Fd prefixes,
        std::string source_name,
        bus::Options options
    );
    Task<Outcome<std::uint64_t>> add_rule(
        bus::CallContext call, std::string rule, std::uint64_t duration_us, bus::Options options
    );
    Task<Outcome<void>> remove_rule(bus::CallContext call, std::string rule, bus::Options options);
    /// Verdict, the rule's index or -1, its text, its name, reasons.
    using ExplainReply =
        std::tuple<std::string, std::int32_t, std::string, std::string, std::vector<std::string>>;
    Task<Outcome<ExplainReply>>
    explain(bus::CallContext call, std::string packet, bus::Options options);
    Task<Outcome<std::vector<RuleRow>>> list_rules(bus::CallContext call);
    /// A rule's text and name, packets, bytes, packets that its limit refused.
    using HookRuleRow =
        std::tuple<std::string, std::string, std::uint64_t, std::uint64_t, std::uint64_t>;
    /// Name, default verdict, program, passed and dropped packets and bytes, other counters, rules.
    using HookRow = std::tuple<
        std::string,
        std::string,
        std::uint32_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::map<std::string, std::uint64_t>,
        std::vector<HookRuleRow>>;
    Task<Outcome<std::vector<HookRow>>> list_hooks(bus::CallContext call);
    /// Hook, rule, name, rate, rate by now, packets passed and limited, keys, the most limited of
    /// them.
    using LimitRow = std::tuple<
        std::string,
        std::string,
        std::string,
        std::string,
        std::string,
        std::uint64_t,
        std::uint64_t,
        std::uint32_t,
        std::vector<std::tuple<std::string, std::uint64_t>>>;
    /// Name, guarantee and maximum in bits a second; packets, bytes, of these borrowed, packets
    /// dropped, microseconds that the next one waits.
    using ClassRow = std::tuple<
        std::string,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t,
        std::uint64_t>;
    Task<Outcome<std::tuple<std::uint64_t, std::uint64_t, std::vector<ClassRow>>>>
    list_classes(bus::CallContext call);
    Task<Outcome<std::string>>
    set_class(bus::CallContext call, std::string name, std::string rates, bus::Options options);
    Task<Outcome<std::string>>
    set_shape(bus::CallContext call, std::string rates, bus::Options options);
    Task<Outcome<std::vector<LimitRow>>> list_limits(bus::CallContext call, std::uint32_t keys_max);
    Task<Outcome<std::string>>
    set_limit(bus::CallContext call, std::string rule, std::string rate, bus::Options options);
    Task<Outcome<StatsReply>> stats(bus::CallContext call);
    Task<Outcome<void>> start_analysis(bus::CallContext call, bus::Options options);
    Task<Outcome<void>> stop_analysis(bus::CallContext call, bus::Options options);
    Task<Outcome<CaptureReply>>
    capture(bus::CallContext call, Fd file, std::string condition, bus::Options options);
    Task<Outcome<TakeReply>> take(bus::CallContext call, Fd file, bus::Options options);
    Task<Outcome<Fd>> flows(bus::CallContext call);
    Task<Outcome<Fd>> alerts(bus::CallContext call);
    /// \}

private:
    PacketObjects& parent_;
    packet::InterfaceView view_;
    std::uint32_t sample_every_ = 0;
    std::uint64_t sources_left_out_ = 0;
    std::uint64_t alerts_left_out_ = 0;
    std::string path_;
};

} // namespace zsync::zsyncd
