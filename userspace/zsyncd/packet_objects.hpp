// The packet subsystem on the bus: org.zsync1.Packet and org.zsync1.PacketInterface.
#pragma once

#include "alert_sources.hpp"
#include "packet_analyses.hpp"
#include "packet_captures.hpp"
#include "packet_forwards.hpp"
#include "packet_replay.hpp"
#include "packet_takes.hpp"

#include <zsync/bus/authorize.hpp>
#include <zsync/bus/connection.hpp>
#include <zsync/bus/interface.hpp>
#include <zsync/packet/service.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

namespace zsync::zsyncd {

class JobRegistry;
class PacketInterfaceObject;

/// `/org/zsync1/packet` and one object below it for each filtered interface. Objects hold copies of
/// the service's snapshot; `publish` brings them up to date and tells the bus what changed.
class PacketObjects : public std::enable_shared_from_this<PacketObjects> {
public:
    static const bus::Interface& bus_interface();
    static constexpr const char* path = "/org/zsync1/packet";

    PacketObjects(
        Io io,
        Scope& scope,
        packet::Service& service,
        bus::Connection& connection,
        JobRegistry& jobs
    );
    ~PacketObjects();

    /// Registers the root object and publishes what the service has.
    Outcome<void> add();
    /// Adds and removes interface objects and sends PropertiesChanged, as the snapshot demands.
    void publish();
    /// Takes the thresholds of alerts, and the limits and times of flows.
    Task<Outcome<void>>
    configure(packet::analysis::DetectorOptions detectors, packet::analysis::FlowOptions flows);
    /// Has an interface analysed if it is known here.
    Task<Outcome<void>> analyse(std::string ifname, std::uint32_t sample_every);
    /// Takes up what is to forward.
    Task<Result<void>> restore_forwards() { return forwards_.restore(); }
    /// Publishes whatever the service changes by itself, until cancelled.
    Task<Result<void>> follow();

    /// \name Members on the bus
    /// \{
    [[nodiscard]] std::map<std::string, std::uint64_t> limits() const;
    [[nodiscard]] std::map<std::string, std::uint64_t> flow_options() const;
    Task<Outcome<bus::ObjectPath>>
    attach(bus::CallContext call, std::string ifname, std::string mode, bus::Options options);
    Task<Outcome<void>> detach(bus::CallContext call, std::string ifname, bus::Options options);
    Task<Outcome<ReplayReply>>
    replay(bus::CallContext call, Fd capture, std::string source_name, bus::Options options);
    Task<Outcome<void>> start_forward(
        bus::CallContext call, std::string first, std::string second, bus::Options options
    );
    Task<Outcome<void>> stop_forward(
        bus::CallContext call, std::string first, std::string second, bus::Options options
    );
    /// The ports, how packets come from and go to each, and counts by name.
    using ForwardRow = std::tuple<
        std::string,
        std::string,
        std::string,
        std::string,
        bool,
        std::map<std::string, std::uint64_t>>;
    Task<Outcome<std::vector<ForwardRow>>> list_forwards(bus::CallContext call);
    /// \}

    [[nodiscard]] packet::Service& service() noexcept { return service_; }
    [[nodiscard]] JobRegistry& jobs() noexcept { return jobs_; }
    [[nodiscard]] PacketAnalyses& analyses() noexcept { return analyses_; }
    [[nodiscard]] PacketCaptures& captures() noexcept { return captures_; }
    [[nodiscard]] PacketTakes& takes() noexcept { return takes_; }

private:
    packet::Service& service_;
    bus::Connection& connection_;
    void tell(const std::string& ifname, const packet::analysis::Alert& alert);
    void drop_source(const std::string& ifname, std::string source);
    Task<void> drop_sources();
    /// `failed`: what became of a load of them, if it is not the limit.
    void say_left_out(const std::string& ifname, const Fault* failed);

    Scope& scope_;
    double drop_source_seconds_ = 0;
    AlertSources alert_sources_;
    bool drops_ = false; ///< a task drops what waits there
    JobRegistry& jobs_;
    PacketAnalyses analyses_;
    PacketForwards forwards_;
    PacketCaptures captures_{service_};
    PacketTakes takes_{service_, forwards_};
    PacketReplays replays_;
    std::map<std::string, std::shared_ptr<PacketInterfaceObject>> objects_;
};

} // namespace zsync::zsyncd
