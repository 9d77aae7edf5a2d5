// Pairs of interfaces whose packets zsyncd forwards by AF_XDP.
#pragma once

#include <zsync/core/event.hpp>
#include <zsync/core/fd.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker_group.hpp>
#include <zsync/packet/service.hpp>
#include <zsync/packet/xsk/forwarder.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace zsync::zsyncd {

/// What is forwarded, and how far that has come.
struct ForwardView {
    std::array<std::string, 2> ports;
    bool rewrite_addresses = false;
    bool running = false; ///< else it waits for an interface, and `status` says nothing
    packet::xsk::ForwardStatus status;
};

/// The forwarders that run, by their ports. All run on one worker of their own, so that packets
/// wait for nothing that the bus does; it is made with the first one. The filters of both
/// interfaces are told to hand over what they pass, and no more when a forwarder ends, by hand or
/// because an interface was deleted. None outlives the daemon: without it, packets go to the
/// kernel. Which pairs are to forward is kept by `service`, so that the next daemon takes them up,
/// and so does this one when an interface comes back.
class PacketForwards {
public:
    /// Tasks run in `scope`, which outlives this.
    PacketForwards(Io io, Scope& scope, packet::Service& service);

    /// Begins to forward between two filtered interfaces, of which neither forwards yet.
    Task<Outcome<void>> start(packet::xsk::ForwardOptions options);
    /// Ends it, in either order of the ports, or no longer waits to begin it.
    Task<Outcome<void>> stop(std::string first, std::string second);
    /// Begins what is to forward and does not, where both interfaces are filtered. What hinders it
    /// is told in the log, once.
    Task<Result<void>> restore();
    /// A port that somebody else receives by: no pair begins to forward there as long.
    class Reservation {
    public:
        Reservation(std::set<std::string>& ports, std::string port)
            : ports_(&ports), port_(std::move(port)) {
            ports_->insert(port_);
        }
        Reservation(Reservation&& other) noexcept
            : ports_(std::exchange(other.ports_, nullptr)), port_(std::move(other.port_)) {}
        Reservation& operator=(Reservation&&) = delete;
        ~Reservation() {
            if (ports_ != nullptr) {
                ports_->erase(port_);
            }
        }

    private:
        std::set<std::string>* ports_;
        std::string port_;
    };
    /// Fails when the port forwards, or is somebody's already: `already_attached`.
    Outcome<Reservation> reserve(const std::string& port);
    /// Those that run, and those that wait.
    Task<Outcome<std::vector<ForwardView>>> list();

private:
    /// One that runs. `forwarder` belongs to the worker's thread.
    struct Run {
        explicit Run(packet::xsk::ForwardOptions wanted)
            : ports(wanted.ports), options(std::move(wanted)) {}
        std::array<std::string, 2> ports; ///< as they are called by now
        std::array<std::uint32_t, 2> ifindexes{};
        const packet::xsk::ForwardOptions options;
        std::array<Fd, 2> maps;
        std::unique_ptr<packet::xsk::Forwarder> forwarder;
        TaskRef task;
        bool stopping = false;
        Event ended; ///< it is no more among those that run
    };
    using RunRef = std::shared_ptr<Run>;

    /// Has forwarders go by the new names of devices that are called otherwise by now.
    void follow_renames();
    [[nodiscard]] RunRef find(const std::string& port) const;
    using Ports = std::array<std::string, 2>;
    [[nodiscard]] bool is_kept(const Ports& ports) const;
    [[nodiscard]] std::string hindrance_of(const packet::DesiredForward& wanted) const;
    Task<Outcome<void>> run(packet::xsk::ForwardOptions options);
    void tell_waiting(const packet::DesiredForward& wanted, std::string why);
    Outcome<WorkerAddress> worker();
    Task<Outcome<void>> begin(RunRef run);
    Task<void> follow(RunRef run);
    Task<Outcome<void>> end(RunRef run);
    static Task<Outcome<void>> open_there(Io io, RunRef run);
    static Task<Result<void>> run_there(Io io, RunRef run);
    static Task<packet::xsk::ForwardStatus> status_there(Io io, RunRef run);
    static Task<void> close_there(Io io, RunRef run);

    Io io_;
    Scope& scope_;
    packet::Service& service_;
    std::unique_ptr<WorkerGroup> workers_;
    std::vector<RunRef> runs_;
    std::set<std::string> reserved_;
    /// Why pairs wait, as it was told last.
    std::map<Ports, std::string> told_;
};

} // namespace zsync::zsyncd
