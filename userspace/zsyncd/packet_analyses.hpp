// The traffic analysis on the interfaces that somebody wants analysed.
#pragma once

#include "left_out.hpp"

#include <zsync/core/fd.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/packet/live_analysis.hpp>
#include <zsync/packet/service.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace zsync::zsyncd {

/// Which interfaces are analysed, by name, and what came of it. Analyses run on offload threads, a
/// batch of packets at a time; alerts are told on the worker's. A wish outlives the device: when
/// that comes back it is analysed again.
class PacketAnalyses {
public:
    using Tell = std::function<void(const std::string& ifname, const packet::analysis::Alert&)>;
    /// `alerts_left_out` of an interface changed.
    using TellLeftOut = std::function<void()>;

    /// Tasks run in `scope`, which outlives this.
    PacketAnalyses(
        Io io, Scope& scope, packet::Service& service, Tell tell, TellLeftOut tell_left_out
    );

    /// Takes other thresholds, and other limits and times of flows, also for analyses that run.
    /// Where the kernel's table has another size by them, an empty one takes its place.
    Task<Outcome<void>>
    configure(packet::analysis::DetectorOptions detectors, packet::analysis::FlowOptions flows);
    [[nodiscard]] const packet::analysis::FlowOptions& flow_options() const noexcept {
        return flow_options_;
    }

    /// Wants an interface analysed, one packet in `sample_every`. Begins at once where it can; an
    /// interface that is not attached is analysed when it is, and with `must_run` refused.
    Task<Outcome<void>>
    start(packet::InterfaceView view, std::uint32_t sample_every, bool must_run);
    Task<Outcome<void>> stop(std::string ifname);
    /// Has analyses of devices that are called otherwise by now go on under their new names.
    void follow_renames(const std::map<std::string, packet::InterfaceView>& views);
    /// Begins and ends analyses as devices come and go.
    Task<Outcome<void>> reconcile(std::map<std::string, packet::InterfaceView> views);
    /// Ends the counting of flows that an earlier run left where nobody wants an analysis.
    Task<Outcome<void>> end_unwanted();

    /// 0 for an interface that is not analysed.
    [[nodiscard]] std::uint32_t sample_every(const std::string& ifname) const;
    /// Alerts since its analysis began that were neither told nor kept, because too many came at
    /// once.
    [[nodiscard]] std::uint64_t alerts_left_out(const std::string& ifname) const;
    /// The flows of an interface as a sealed file of JSON.
    Task<Outcome<Fd>> flows(std::string ifname);
    /// Its last alerts, likewise.
    Task<Outcome<Fd>> alerts(std::string ifname);

private:
    /// An analysis that runs.
    struct Run {
        explicit Run(std::string name) : ifname(std::move(name)) {}
        std::string ifname;
        std::uint32_t ifindex = 0;
        Mutex mutex; ///< held while `live` is used
        std::unique_ptr<packet::LiveAnalysis> live;
        TaskRef task;
        TaskRef ageing;
    };
    struct Wish {
        std::uint32_t sample_every = 1;
        std::shared_ptr<Run> run;
        std::deque<packet::analysis::Alert> alerts; ///< the last ones, the oldest first
        LeftOut left_out;                           ///< alerts
    };

    Task<Outcome<void>> begin(std::string ifname, std::uint32_t ifindex);
    Task<Outcome<void>> end(std::shared_ptr<Run> run);
    Task<void> follow(std::shared_ptr<Run> run);
    Task<Result<void>> follow_packets(std::shared_ptr<Run> run);
    Task<void> age(std::shared_ptr<Run> run);
    Task<Result<void>> age_flows(std::shared_ptr<Run> run);
    Task<Outcome<void>> follow_flow_options(std::shared_ptr<Run> run);
    Task<Outcome<void>> stop_counting(std::string ifname);
    void tell(const std::string& ifname, packet::LiveAnalysis::Alerts alerts);
    void leave_out(const std::string& ifname, std::uint64_t alerts);
    Outcome<Wish*> find(const std::string& ifname);

    Io io_;
    Scope& scope_;
    packet::Service& service_;
    Tell tell_;
    TellLeftOut tell_left_out_;
    packet::analysis::DetectorOptions detectors_;
    packet::analysis::FlowOptions flow_options_;
    std::map<std::string, Wish> wishes_;
    std::vector<std::shared_ptr<Run>> leftover_; ///< to be ended
};

} // namespace zsync::zsyncd
