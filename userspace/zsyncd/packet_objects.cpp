#include "packet_objects.hpp"

#include "jobs.hpp"
#include "packet_interface_object.hpp"
#include "packet_limits.hpp"

#include <zsync/core/log.hpp>
#include <zsync/core/text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>

#include <array>
#include <cstddef>
#include <format>
#include <optional>
#include <utility>

namespace zsync::zsyncd {

const bus::Interface& PacketObjects::bus_interface() {
    static const auto interface =
        bus::InterfaceBuilder<PacketObjects>("org.zsync1.Packet")
            .property<&PacketObjects::limits>("Limits", bus::Emits::constant)
            .property<&PacketObjects::flow_options>("FlowOptions", bus::Emits::change)
            .method<&PacketObjects::attach>("Attach", {"ifname", "mode", "options"}, {"interface"})
            .method<&PacketObjects::detach>("Detach", {"ifname", "options"}, {})
            .method<&PacketObjects::replay>(
                "Replay",
                {"capture", "source_name", "options"},
                {"report", "packets", "flows", "complaint"}
            )
            .method<&PacketObjects::start_forward>(
                "StartForward", {"first", "second", "options"}, {}
            )
            .method<&PacketObjects::stop_forward>("StopForward", {"first", "second", "options"}, {})
            .method<&PacketObjects::list_forwards>("ListForwards", {}, {"forwards"})
            .build();
    return interface;
}

PacketObjects::PacketObjects(
    Io io, Scope& scope, packet::Service& service, bus::Connection& connection, JobRegistry& jobs
)
    : service_(service), connection_(connection), scope_(scope), jobs_(jobs),
      analyses_(
          io,
          scope,
          service,
          [this](const std::string& ifname, const packet::analysis::Alert& alert) {
              tell(ifname, alert);
          },
          [this] { publish(); }
      ),
      forwards_(io, scope, service) {}

PacketObjects::~PacketObjects() = default;

Outcome<void> PacketObjects::add() {
    ZTRY(connection_.add(path, shared_from_this()));
    publish();
    return {};
}

std::map<std::string, std::uint64_t> PacketObjects::limits() const { return packet_limits(); }

std::map<std::string, std::uint64_t> PacketObjects::flow_options() const {
    std::map<std::string, std::uint64_t> options;
    for (const packet::analysis::FlowOption& option : packet::analysis::flow_option_list) {
        options.emplace(option.name, analyses_.flow_options().*(option.value));
    }
    return options;
}

Task<Outcome<void>> PacketObjects::configure(
    packet::analysis::DetectorOptions detectors, packet::analysis::FlowOptions flows
) {
    replays_.configure(detectors, flows);
    drop_source_seconds_ = detectors.drop_source_seconds;
    const bool changes = flows != analyses_.flow_options();
    ZCO_CHECK(co_await analyses_.configure(detectors, flows));
    if (changes) {
        connection_.properties_changed(path, bus_interface(), {"FlowOptions"});
    }
    co_return {};
}

void PacketObjects::drop_source(const std::string& ifname, std::string source) {
    alert_sources_.add(ifname, std::move(source));
    if (!std::exchange(drops_, true)) {
        scope_.spawn("packet-drop-sources", drop_sources());
    }
}

Task<void> PacketObjects::drop_sources() {
    constexpr double usec_a_second = 1e6;
    while (const std::optional<AlertSources::Waiting> waiting = alert_sources_.take()) {
        std::vector<std::string> rules;
        for (const std::string& source : waiting->sources) {
            rules.push_back("drop from " + source);
        }
        const std::size_t wanted = rules.size();
        const auto added = co_await service_.add_rules(
            waiting->ifname,
            std::move(rules),
            static_cast<std::uint64_t>(drop_source_seconds_ * usec_a_second)
        );
        if (!added && added.error().error.is_canceled()) {
            break;
        }
        alert_sources_.leave_out(waiting->ifname, wanted - added.value_or(0));
        const bool is_limit = added || added.error().error == Error(CoreError::limit_reached);
        say_left_out(waiting->ifname, is_limit ? nullptr : &added.error());
        publish();
    }
    drops_ = false;
}

void PacketObjects::say_left_out(const std::string& ifname, const Fault* failed) {
    const std::optional<std::uint64_t> left_out = alert_sources_.to_say(ifname, Clock::now());
    if (!left_out) {
        return;
    }
    log::error(
        std::format(
            "{}: {} sources of alerts are not dropped: {}",
            ifname,
            *left_out,
            failed == nullptr
                ? std::format(
                      "{} temporary rules are the limit", packet::limits::temporary_rules_max
                  )
                : failed->message()
        ),
        {{.name = "ZSYNC_INTERFACE", .value = ifname}}
    );
}

Task<Outcome<void>> PacketObjects::analyse(std::string ifname, std::uint32_t sample_every) {
    const std::map<std::string, packet::InterfaceView> views = service_.interfaces();
    const auto view = views.find(ifname);
    if (view == views.end()) {
        co_return {}; // why it is not attached has been said
    }
    ZCO_CHECK(co_await analyses_.start(view->second, sample_every, false));
    publish();
    co_return {};
}

void PacketObjects::tell(const std::string& ifname, const packet::analysis::Alert& alert) {
    const auto found = objects_.find(ifname);
    if (found == objects_.end()) {
        return;
    }
    const packet::analysis::AlertSubject& subject = alert.subject;
    if (std::string source = shown(subject.source); drop_source_seconds_ > 0 && !source.empty()) {
        drop_source(ifname, std::move(source));
    }
    connection_.emit(
        found->second->path(),
        PacketInterfaceObject::bus_interface(),
        PacketInterfaceObject::alert,
        std::string(name_of(alert.kind)),
        alert.time_ns / 1000,
        shown(subject.source),
        shown(subject.destination),
        subject.protocol == 0 ? std::string()
                              : packet::analysis::name_of_protocol(subject.protocol),
        subject.port,
        alert.reason
    );
}

void PacketObjects::publish() {
    std::map<std::string, packet::InterfaceView> views = service_.interfaces();
    analyses_.follow_renames(views);
    for (auto at = objects_.begin(); at != objects_.end();) {
        if (views.contains(at->first)) {
            ++at;
            continue;
        }
        connection_.remove(at->second->path());
        alert_sources_.forget(at->first);
        at = objects_.erase(at);
    }
    for (auto& [name, view] : views) {
        if (const auto found = objects_.find(name); found != objects_.end()) {
            found->second->update(
                std::move(view),
                analyses_.sample_every(name),
                alert_sources_.left_out(name),
                analyses_.alerts_left_out(name),
                connection_
            );
            continue;
        }
        auto object = std::make_shared<PacketInterfaceObject>(*this, std::move(view));
        if (const Outcome<void> added = connection_.add(object->path(), object); !added) {
            log::error(std::format("bus: no object for {}: {}", name, added.error().message()));
            continue;
        }
        objects_.emplace(name, std::move(object));
    }
}

Task<Result<void>> PacketObjects::follow() {
    for (;;) {
        ZCO_CHECK(co_await service_.changes().wait());
        publish();
        if (const auto done = co_await analyses_.reconcile(service_.interfaces()); !done) {
            co_return fail(done.error().error);
        }
        ZCO_CHECK(co_await forwards_.restore());
        publish();
    }
}

Task<Outcome<bus::ObjectPath>> PacketObjects::attach(
    bus::CallContext call, std::string ifname, std::string mode, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_TRY(const packet::AttachMode attach_mode, packet::attach_mode_from(mode));
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(JobRegistry::Entry job, jobs_.add("packet-attach", ifname));
    ZCO_CHECK(job.end(co_await service_.attach(ifname, attach_mode)));
    ZCO_CHECK(co_await analyses_.reconcile(service_.interfaces()));
    ZCO_CHECK(co_await forwards_.restore());
    publish();
    co_return bus::ObjectPath{bus::object_path(path, ifname)};
}

Task<Outcome<void>>
PacketObjects::detach(bus::CallContext call, std::string ifname, bus::Options options) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(JobRegistry::Entry job, jobs_.add("packet-detach", ifname));
    ZCO_CHECK(job.end(co_await service_.detach(ifname)));
    ZCO_CHECK(co_await analyses_.reconcile(service_.interfaces()));
    publish();
    co_return {};
}

Task<Outcome<ReplayReply>> PacketObjects::replay(
    bus::CallContext call, Fd capture, std::string source_name, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    co_return co_await replays_.run(call.io(), &jobs_, std::move(capture), printable(source_name));
}

Task<Outcome<void>> PacketObjects::start_forward(
    bus::CallContext call, std::string first, std::string second, bus::Options options
) {
    ZCO_TRY(const auto rewrite, options.take<bool>("rewrite_addresses"));
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    packet::xsk::ForwardOptions wanted;
    wanted.ports = {std::move(first), std::move(second)};
    wanted.rewrite_addresses = rewrite.value_or(false);
    ZCO_CHECK(co_await forwards_.start(std::move(wanted)));
    publish();
    co_return {};
}

Task<Outcome<void>> PacketObjects::stop_forward(
    bus::CallContext call, std::string first, std::string second, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_CHECK(co_await forwards_.stop(std::move(first), std::move(second)));
    publish();
    co_return {};
}

Task<Outcome<std::vector<PacketObjects::ForwardRow>>>
PacketObjects::list_forwards(bus::CallContext /*call*/) {
    ZCO_TRY(const std::vector<ForwardView> views, co_await forwards_.list());
    std::vector<ForwardRow> rows;
    for (const ForwardView& view : views) {
        const packet::xsk::ForwardStatus& status = view.status;
        if (!view.running) {
            constexpr const char* waiting = "waiting";
            rows.emplace_back(
                view.ports[0],
                view.ports[1],
                waiting,
                waiting,
                view.rewrite_addresses,
                std::map<std::string, std::uint64_t>()
            );
            continue;
        }
        std::map<std::string, std::uint64_t> counts{
            {"stations", status.stations},
            {"queues", status.queues},
            {"frames", status.balance.frames},
            {"frames_free", status.balance.free},
            {"frames_held", status.balance.held},
            {"frames_receiving", status.balance.receiving},
            {"frames_sending", status.balance.sending},
            {"frames_add_up", status.balance.adds_up ? 1U : 0U},
        };
        constexpr std::array prefixes{"first_", "second_"};
        for (std::size_t port = 0; port < 2; ++port) {
            const packet::xsk::PortCounts& count = status.ports[port];
            const std::string prefix = prefixes[port];
            counts[prefix + "forwarded"] = count.forwarded;
            counts[prefix + "bytes"] = count.bytes;
            counts[prefix + "local"] = count.local;
            counts[prefix + "unwanted"] = count.unwanted;
            counts[prefix + "lost"] = count.lost;
        }
        rows.emplace_back(
            view.ports[0],
            view.ports[1],
            std::string(packet::xsk::name_of(status.copy_modes[0])),
            std::string(packet::xsk::name_of(status.copy_modes[1])),
            view.rewrite_addresses,
            std::move(counts)
        );
    }
    co_return rows;
}

} // namespace zsync::zsyncd
