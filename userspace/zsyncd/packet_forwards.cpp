#include "packet_forwards.hpp"

#include "limits.hpp"

#include <zsync/core/log.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/xsk/redirect.hpp>

#include <algorithm>
#include <format>

namespace zsync::zsyncd {

using packet::xsk::Forwarder;
using packet::xsk::ForwardOptions;
using packet::xsk::ForwardStatus;

PacketForwards::PacketForwards(Io io, Scope& scope, packet::Service& service)
    : io_(io), scope_(scope), service_(service) {}

void PacketForwards::follow_renames() {
    const std::map<std::string, packet::InterfaceView> views = service_.interfaces();
    for (const RunRef& run : runs_) {
        for (std::size_t port = 0; port < 2; ++port) {
            if (run->ifindexes[port] == 0) {
                continue;
            }
            const auto found = std::ranges::find_if(views, [&](const auto& named) {
                return named.second.ifindex == run->ifindexes[port];
            });
            if (found != views.end()) {
                run->ports[port] = found->first;
            }
        }
    }
}

PacketForwards::RunRef PacketForwards::find(const std::string& port) const {
    const auto found = std::ranges::find_if(runs_, [&](const RunRef& run) {
        return std::ranges::contains(run->ports, port);
    });
    return found == runs_.end() ? nullptr : *found;
}

Outcome<WorkerAddress> PacketForwards::worker() {
    if (!workers_) {
        std::vector<WorkerOptions> options(1);
        options.front().name = "zsync-forward";
        workers_ = ZTRY(WorkerGroup::create(std::move(options)));
    }
    return (*workers_)[0];
}

Outcome<PacketForwards::Reservation> PacketForwards::reserve(const std::string& port) {
    follow_renames();
    if (find(port) || reserved_.contains(port)) {
        return fail(
            packet::PacketError::already_attached,
            std::format(
                "{} {} already", port, reserved_.contains(port) ? "is taken from" : "forwards"
            )
        );
    }
    return Reservation(reserved_, port);
}

Task<Outcome<void>> PacketForwards::start(ForwardOptions options) {
    follow_renames();
    for (const std::string& port : options.ports) {
        if (reserved_.contains(port)) {
            co_return fail(
                packet::PacketError::already_attached,
                std::format("{} is taken from: end that before it forwards", port)
            );
        }
        if (const RunRef other = find(port)) {
            co_return fail(
                packet::PacketError::already_attached,
                std::format(
                    "{} forwards already, between {} and {}", port, other->ports[0], other->ports[1]
                )
            );
        }
    }
    const packet::DesiredForward wanted{
        .ports = options.ports, .rewrite_addresses = options.rewrite_addresses
    };
    const bool waits = is_kept(wanted.ports);
    // Kept before it begins: what is said to forward forwards after a crash as well.
    ZCO_CHECK(co_await service_.keep_forward(wanted));
    Outcome<void> begun = co_await run(std::move(options));
    if (!begun && !waits) {
        const CancelProtection protection;
        if (const auto forgotten =
                co_await service_.forget_forward(wanted.ports[0], wanted.ports[1]);
            !forgotten) {
            log::warning(forgotten.error().message());
        }
    }
    co_return begun;
}

Task<Outcome<void>> PacketForwards::run(ForwardOptions options) {
    auto run = std::make_shared<Run>(std::move(options));
    runs_.push_back(run);
    Outcome<void> begun = co_await begin(run);
    if (!begun) {
        (void)co_await end(run); // what it may say says less
        co_return begun;
    }
    run->task = scope_.spawn("packet-forward", follow(run));
    told_.erase(run->ports);
    log::info(std::format("{} and {} forward", run->ports[0], run->ports[1]));
    co_return {};
}

/// Whether a pair is to forward, in either order.
bool PacketForwards::is_kept(const Ports& ports) const {
    return std::ranges::any_of(service_.forwards(), [&](const auto& kept) {
        return std::ranges::is_permutation(kept.ports, ports);
    });
}

/// Why a pair cannot forward; empty if both interfaces are filtered.
std::string PacketForwards::hindrance_of(const packet::DesiredForward& wanted) const {
    const auto interfaces = service_.interfaces();
    for (const std::string& port : wanted.ports) {
        const auto found = interfaces.find(port);
        if (found == interfaces.end()) {
            return std::format("{} is not attached", port);
        }
        if (found->second.state != packet::InterfaceState::attached) {
            return std::format("{} is {}", port, name_of(found->second.state));
        }
        if (reserved_.contains(port)) {
            return std::format("{} is taken from", port);
        }
    }
    return {};
}

void PacketForwards::tell_waiting(const packet::DesiredForward& wanted, std::string why) {
    std::string& told = told_[wanted.ports];
    if (told == why) {
        return;
    }
    log::warning(std::format("{} and {} wait to forward: {}", wanted.ports[0], wanted.ports[1], why)
    );
    told = std::move(why);
}

Task<Result<void>> PacketForwards::restore() {
    follow_renames();
    std::erase_if(told_, [this](const auto& told) { return !is_kept(told.first); });
    for (const packet::DesiredForward& wanted : std::vector(service_.forwards())) {
        if (std::ranges::any_of(wanted.ports, [&](const auto& port) {
                return find(port) != nullptr;
            })) {
            continue;
        }
        if (std::string why = hindrance_of(wanted); !why.empty()) {
            tell_waiting(wanted, std::move(why));
            continue;
        }
        ForwardOptions options;
        options.ports = wanted.ports;
        options.rewrite_addresses = wanted.rewrite_addresses;
        const Outcome<void> begun = co_await run(std::move(options));
        if (!begun && begun.error().error.is_canceled()) {
            co_return fail(begun.error().error);
        }
        if (!begun) {
            tell_waiting(wanted, begun.error().message());
        }
    }
    co_return {};
}

/// The sockets first: a filter that hands packets over finds them there.
Task<Outcome<void>> PacketForwards::begin(RunRef run) {
    ZCO_TRY(const WorkerAddress there, worker());
    for (std::size_t port = 0; port < 2; ++port) {
        const auto views = service_.interfaces();
        if (const auto found = views.find(run->ports[port]); found != views.end()) {
            run->ifindexes[port] = found->second.ifindex;
        }
        ZCO_TRY(run->maps[port], co_await service_.send_to_sockets(run->ports[port], true));
    }
    co_return co_await there.call("packet-forward-open", &PacketForwards::open_there, run);
}

Task<void> PacketForwards::follow(RunRef run) {
    Result<void> ended =
        co_await (*workers_)[0].call("packet-forward", &PacketForwards::run_there, run);
    if (!ended && !ended.error().is_canceled()) {
        log::error(std::format(
            "{} and {} no longer forward: {}", run->ports[0], run->ports[1], ended.error().message()
        ));
    }
    if (const auto cleared = co_await end(run); !cleared) {
        log::warning(cleared.error().message());
    }
    if (ended || ended.error().is_canceled()) {
        co_return;
    }
    const packet::DesiredForward wanted{
        .ports = run->ports, .rewrite_addresses = run->options.rewrite_addresses
    };
    if (std::string why = hindrance_of(wanted); !why.empty() && is_kept(wanted.ports)) {
        tell_waiting(wanted, std::move(why));
    }
    if (co_await io_.sleep_for(limits::forward_retry_delay)) {
        (void)co_await restore(); // only a cancel fails it
    }
}

/// Closes what is open and has the filters keep their packets, whoever is in a hurry.
Task<Outcome<void>> PacketForwards::end(RunRef run) {
    const CancelProtection protection;
    run->stopping = true;
    Outcome<void> outcome;
    if (workers_) {
        const Result<void> closed =
            co_await (*workers_)[0].call("packet-forward-close", &PacketForwards::close_there, run);
        if (!closed) {
            outcome = fail(closed.error());
        }
    }
    follow_renames();
    for (std::size_t port = 0; port < 2; ++port) {
        if (!run->maps[port]) {
            continue;
        }
        const auto kept = co_await service_.send_to_sockets(run->ports[port], false);
        // An interface that is gone, or detached, has nothing to be told.
        if (!kept && kept.error().error != Error(packet::PacketError::not_attached)) {
            outcome = std::unexpected(kept.error());
        }
    }
    std::erase(runs_, run);
    run->ended.set();
    co_return outcome;
}

Task<Outcome<void>> PacketForwards::stop(std::string first, std::string second) {
    follow_renames();
    const RunRef run = find(first);
    const bool runs = run && run == find(second) && run->task;
    if (!runs && !is_kept({first, second})) {
        co_return fail(
            packet::PacketError::not_attached, std::format("{} and {} don't forward", first, second)
        );
    }
    ZCO_CHECK(co_await service_.forget_forward(first, second));
    told_.erase({first, second});
    told_.erase({second, first});
    if (runs) {
        run->task.request_cancel();
        ZCO_CHECK(co_await run->ended.wait());
    }
    log::info(std::format("{} and {} no longer forward", first, second));
    co_return {};
}

Task<Outcome<std::vector<ForwardView>>> PacketForwards::list() {
    follow_renames();
    std::vector<ForwardView> views;
    for (const RunRef& run : std::vector(runs_)) {
        if (run->stopping || !run->task) {
            continue;
        }
        ZCO_TRY(
            const ForwardStatus status,
            co_await (*workers_)[0].call(
                "packet-forward-status", &PacketForwards::status_there, run
            )
        );
        views.push_back({run->ports, run->options.rewrite_addresses, true, status});
    }
    for (const packet::DesiredForward& wanted : service_.forwards()) {
        const bool runs = std::ranges::any_of(views, [&](const ForwardView& view) {
            return std::ranges::is_permutation(view.ports, wanted.ports);
        });
        if (!runs) {
            views.push_back({wanted.ports, wanted.rewrite_addresses, false, {}});
        }
    }
    co_return views;
}

Task<Outcome<void>> PacketForwards::open_there(Io io, RunRef run) {
    ZCO_TRY(run->forwarder, co_await Forwarder::open(io, run->options));
    for (std::size_t port = 0; port < 2; ++port) {
        for (const auto& socket : run->forwarder->sockets(port)) {
            ZCO_CHECK(packet::xsk::enter_map(FdRef(run->maps[port].get()), *socket));
        }
    }
    co_return {};
}

Task<Result<void>> PacketForwards::run_there(Io /*io*/, RunRef run) {
    co_return co_await run->forwarder->run();
}

Task<ForwardStatus> PacketForwards::status_there(Io /*io*/, RunRef run) {
    co_return run->forwarder ? run->forwarder->status() : ForwardStatus();
}

Task<void> PacketForwards::close_there(Io /*io*/, RunRef run) {
    run->forwarder.reset();
    co_return;
}

} // namespace zsync::zsyncd
