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

PacketForwards::PacketForwards(Scope& scope, packet::Service& service)
    : scope_(scope), service_(service) {}

PacketForwards::RunRef PacketForwards::find(const std::string& port) const {
    const auto found = std::ranges::find_if(runs_, [&](const RunRef& run) {
        return std::ranges::contains(run->options.ports, port);
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

Task<Outcome<void>> PacketForwards::start(ForwardOptions options) {
    for (const std::string& port : options.ports) {
        if (const RunRef other = find(port)) {
            co_return fail(
                packet::PacketError::already_attached,
                std::format(
                    "{} forwards already, between {} and {}",
                    port,
                    other->options.ports[0],
                    other->options.ports[1]
                )
            );
        }
    }
    if (runs_.size() == limits::forwards_max) {
        co_return fail(
            CoreError::limit_reached,
            std::format("{} pairs forward, which is the limit", limits::forwards_max)
        );
    }
    auto run = std::make_shared<Run>(std::move(options));
    runs_.push_back(run);
    Outcome<void> begun = co_await begin(run);
    if (!begun) {
        (void)co_await end(run); // what it may say says less
        co_return begun;
    }
    run->task = scope_.spawn("packet-forward", follow(run));
    log::info(std::format("{} and {} forward", run->options.ports[0], run->options.ports[1]));
    co_return {};
}

/// The sockets first: a filter that hands packets over finds them there.
Task<Outcome<void>> PacketForwards::begin(RunRef run) {
    ZCO_TRY(const WorkerAddress there, worker());
    for (std::size_t port = 0; port < 2; ++port) {
        ZCO_TRY(run->maps[port], co_await service_.send_to_sockets(run->options.ports[port], true));
    }
    co_return co_await there.call("packet-forward-open", &PacketForwards::open_there, run);
}

Task<void> PacketForwards::follow(RunRef run) {
    Result<void> ended =
        co_await (*workers_)[0].call("packet-forward", &PacketForwards::run_there, run);
    if (!ended && !ended.error().is_canceled()) {
        log::error(std::format(
            "{} and {} no longer forward: {}",
            run->options.ports[0],
            run->options.ports[1],
            ended.error().message()
        ));
    }
    if (const auto cleared = co_await end(run); !cleared) {
        log::warning(cleared.error().message());
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
    for (std::size_t port = 0; port < 2; ++port) {
        if (!run->maps[port]) {
            continue;
        }
        const auto kept = co_await service_.send_to_sockets(run->options.ports[port], false);
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
    const RunRef run = find(first);
    if (!run || run != find(second) || !run->task) {
        co_return fail(
            packet::PacketError::not_attached, std::format("{} and {} don't forward", first, second)
        );
    }
    run->task.request_cancel();
    ZCO_CHECK(co_await run->ended.wait());
    log::info(std::format("{} and {} no longer forward", first, second));
    co_return {};
}

Task<Outcome<std::vector<ForwardView>>> PacketForwards::list() {
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
        views.push_back({run->options.ports, run->options.rewrite_addresses, status});
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
