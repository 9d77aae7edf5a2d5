#include "packet_analyses.hpp"

#include "sealed_file.hpp"

#include <zsync/core/log.hpp>
#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <format>
#include <optional>
#include <poll.h>
#include <utility>
#include <vector>

namespace zsync::zsyncd {
namespace {

using packet::LiveAnalysis;
using packet::analysis::Alert;

Outcome<std::unique_ptr<LiveAnalysis>> start_live(
    std::uint32_t ifindex,
    const std::string& ifname,
    std::uint32_t sample_every,
    packet::analysis::AnalyserOptions options,
    packet::FlowReader flows
) {
    if (::getrandom(&options.seed, sizeof options.seed, 0) != sizeof options.seed) {
        return fail(os_error(errno), "no random numbers");
    }
    return LiveAnalysis::start(
        ifindex,
        ifname,
        {.sample_every = sample_every, .for_capture = false},
        options,
        std::move(flows)
    );
}

std::unexpected<Fault> not_analysed(const std::string& ifname) {
    return fail(
        packet::PacketError::not_attached,
        std::format("{} is not analysed; 'zsyncctl packet analyse {}' begins", ifname, ifname)
    );
}

} // namespace

PacketAnalyses::PacketAnalyses(
    Io io, Scope& scope, packet::Service& service, Tell tell, TellLeftOut tell_left_out
)
    : io_(io), scope_(scope), service_(service), tell_(std::move(tell)),
      tell_left_out_(std::move(tell_left_out)) {}

Task<Outcome<void>> PacketAnalyses::configure(
    packet::analysis::DetectorOptions detectors, packet::analysis::FlowOptions flows
) {
    detectors_ = detectors;
    if (std::exchange(flow_options_, flows) == flows) {
        co_return {};
    }
    std::vector<std::shared_ptr<Run>> runs;
    for (const auto& [name, wish] : wishes_) {
        if (wish.run) {
            runs.push_back(wish.run);
        }
    }
    for (const std::shared_ptr<Run>& run : runs) {
        ZCO_CHECK(co_await follow_flow_options(run));
    }
    co_return {};
}

/// An interface that has gone meanwhile is analysed by the new options when it is back.
Task<Outcome<void>> PacketAnalyses::follow_flow_options(std::shared_ptr<Run> run) {
    ZCO_TRY(const Mutex::Lock lock, co_await run->mutex.lock());
    if (!run->live) {
        co_return {};
    }
    Outcome<std::optional<packet::FlowReader>> flows =
        co_await service_.count_flows(run->ifname, true, flow_options_);
    if (!flows) {
        if (flows.error().error.is_canceled()) {
            co_return std::unexpected(std::move(flows).error());
        }
        log::error(
            std::format(
                "{}: flows are counted as before: {}", run->ifname, flows.error().message()
            ),
            {{.name = "ZSYNC_INTERFACE", .value = run->ifname}}
        );
        co_return {};
    }
    run->live->configure(flow_options_, std::move(*flows).value());
    co_return {};
}

std::uint32_t PacketAnalyses::sample_every(const std::string& ifname) const {
    const auto found = wishes_.find(ifname);
    return found == wishes_.end() ? 0 : found->second.sample_every;
}

std::uint64_t PacketAnalyses::alerts_left_out(const std::string& ifname) const {
    const auto found = wishes_.find(ifname);
    return found == wishes_.end() ? 0 : found->second.left_out.count();
}

Outcome<PacketAnalyses::Wish*> PacketAnalyses::find(const std::string& ifname) {
    const auto found = wishes_.find(ifname);
    if (found == wishes_.end()) {
        return not_analysed(ifname);
    }
    return &found->second;
}

Task<Outcome<void>>
PacketAnalyses::start(packet::InterfaceView view, std::uint32_t sample_every, bool must_run) {
    if (sample_every == 0 || sample_every > packet::limits::sample_every_max) {
        co_return fail(
            CoreError::invalid_argument,
            std::format("sample_every is from 1 to {}", packet::limits::sample_every_max)
        );
    }
    const bool is_there = view.state == packet::InterfaceState::attached;
    if (!is_there && must_run) {
        co_return fail(
            packet::PacketError::not_attached,
            std::format("{} cannot be analysed while it is {}", view.name, name_of(view.state))
        );
    }
    const auto known = wishes_.find(view.name);
    if (known != wishes_.end() && known->second.run && known->second.sample_every == sample_every &&
        known->second.run->ifindex == view.ifindex) {
        co_return {};
    }
    Wish& wish = wishes_[view.name];
    wish.sample_every = sample_every;
    if (std::shared_ptr<Run> before = std::exchange(wish.run, nullptr)) {
        ZCO_CHECK(co_await end(std::move(before)));
    }
    if (!is_there) {
        co_return {};
    }
    Outcome<void> begun = co_await begin(view.name, view.ifindex);
    if (!begun) {
        wishes_.erase(view.name);
    }
    co_return begun;
}

Task<Outcome<void>> PacketAnalyses::begin(std::string ifname, std::uint32_t ifindex) {
    auto run = std::make_shared<Run>(ifname);
    run->ifindex = ifindex;
    ZCO_TRY(
        std::optional<packet::FlowReader> flows,
        co_await service_.count_flows(ifname, true, flow_options_)
    );
    ZCO_TRY(Wish* const wish, find(ifname));
    Outcome<std::unique_ptr<LiveAnalysis>> live =
        co_await io_.offload([&, sample_every = wish->sample_every, this] {
            return start_live(
                ifindex,
                ifname,
                sample_every,
                {.flows = flow_options_, .detectors = detectors_},
                *std::move(flows)
            );
        });
    if (!live) {
        ZCO_CHECK(co_await stop_counting(ifname));
        co_return std::unexpected(std::move(live).error());
    }
    run->live = *std::move(live);
    ZCO_TRY(Wish* const still_wanted, find(ifname));
    still_wanted->run = run;
    run->task = scope_.spawn("packet-analysis", follow(run));
    run->ageing = scope_.spawn("packet-flows", age(run));
    log::info(
        std::format("{}: the traffic is analysed", ifname),
        {{.name = "ZSYNC_INTERFACE", .value = ifname}}
    );
    co_return {};
}

Task<Outcome<void>> PacketAnalyses::end(std::shared_ptr<Run> run) {
    run->task.request_cancel();
    run->ageing.request_cancel();
    ZCO_TRY(const Mutex::Lock lock, co_await run->mutex.lock());
    ZCO_CHECK(co_await io_.offload([&run] { run->live.reset(); }));
    co_return {};
}

Task<Outcome<void>> PacketAnalyses::stop(std::string ifname) {
    ZCO_TRY(Wish* const wish, find(ifname));
    std::shared_ptr<Run> run = std::exchange(wish->run, nullptr);
    wishes_.erase(ifname);
    if (run) {
        ZCO_CHECK(co_await end(std::move(run)));
    }
    ZCO_CHECK(co_await stop_counting(ifname));
    log::info(
        std::format("{}: the traffic is no longer analysed", ifname),
        {{.name = "ZSYNC_INTERFACE", .value = ifname}}
    );
    co_return {};
}

void PacketAnalyses::follow_renames(const std::map<std::string, packet::InterfaceView>& views) {
    std::vector<std::pair<std::string, std::string>> renamed;
    for (const auto& [old_name, wish] : wishes_) {
        // Of one that is elsewhere the number may be another one's here.
        const auto same = views.find(old_name);
        const bool is_elsewhere =
            same != views.end() && same->second.state != packet::InterfaceState::attached;
        const auto found = !wish.run || is_elsewhere
                               ? views.end()
                               : std::ranges::find_if(views, [&wish](const auto& named) {
                                     return named.second.ifindex == wish.run->ifindex;
                                 });
        if (found != views.end() && found->first != old_name) {
            renamed.emplace_back(old_name, found->first);
        }
    }
    // Names may have been exchanged.
    std::vector<decltype(wishes_)::node_type> moving;
    for (const auto& [old_name, name] : renamed) {
        moving.push_back(wishes_.extract(old_name));
        moving.back().key() = name;
        moving.back().mapped().run->ifname = name;
    }
    for (auto& wish : moving) {
        const auto waits = wishes_.find(wish.key());
        if (waits != wishes_.end()) {
            if (waits->second.run) {
                leftover_.push_back(std::move(waits->second.run)); // of a device that has gone
            }
            wishes_.erase(waits);
        }
        wishes_.insert(std::move(wish));
    }
}

Task<Outcome<void>> PacketAnalyses::reconcile(std::map<std::string, packet::InterfaceView> views) {
    follow_renames(views);
    for (std::shared_ptr<Run>& run : std::exchange(leftover_, {})) {
        ZCO_CHECK(co_await end(std::move(run)));
    }
    std::vector<std::string> names;
    names.reserve(wishes_.size());
    for (const auto& [name, wish] : wishes_) {
        names.push_back(name);
    }
    for (const std::string& name : names) {
        const auto view = views.find(name);
        const auto wish = wishes_.find(name);
        if (wish == wishes_.end()) {
            continue;
        }
        if (view == views.end()) { // detached by hand: the wish ends with the filter
            ZCO_CHECK(co_await stop(name));
            continue;
        }
        const bool is_there = view->second.state == packet::InterfaceState::attached;
        std::shared_ptr<Run> run = wish->second.run;
        if (run && is_there && run->ifindex == view->second.ifindex) {
            continue;
        }
        if (run) {
            wish->second.run = nullptr;
            ZCO_CHECK(co_await end(std::move(run)));
        }
        if (is_there) {
            if (const auto begun = co_await begin(name, view->second.ifindex); !begun) {
                log::error(begun.error().message());
            }
        }
    }
    co_return {};
}

/// With the filter its flows end as well.
Task<Outcome<void>> PacketAnalyses::stop_counting(std::string ifname) {
    const auto views = service_.interfaces();
    const auto view = views.find(ifname);
    if (view != views.end() && view->second.counts_flows) {
        ZCO_CHECK(co_await service_.count_flows(ifname, false));
    }
    co_return {};
}

Task<Outcome<void>> PacketAnalyses::end_unwanted() {
    for (const auto& [name, view] : service_.interfaces()) {
        if (!wishes_.contains(name)) {
            ZCO_CHECK(co_await stop_counting(name));
        }
    }
    co_return {};
}

Task<void> PacketAnalyses::age(std::shared_ptr<Run> run) {
    const Result<void> ended = co_await age_flows(run);
    if (!ended && !ended.error().is_canceled()) {
        log::error(
            std::format("{}: flows are no longer ended: {}", run->ifname, ended.error().message()),
            {{.name = "ZSYNC_INTERFACE", .value = run->ifname}}
        );
    }
}

Task<Result<void>> PacketAnalyses::age_flows(std::shared_ptr<Run> run) {
    for (;;) {
        ZCO_CHECK(
            co_await io_.sleep_for(std::chrono::milliseconds(packet::limits::flow_age_interval_ms))
        );
        ZCO_TRY(const Mutex::Lock lock, co_await run->mutex.lock());
        if (!run->live) {
            co_return {};
        }
        const Outcome<void> aged = co_await io_.offload([&run] { return run->live->age(); });
        if (!aged) {
            co_return fail(aged.error().error);
        }
    }
}

Task<void> PacketAnalyses::follow(std::shared_ptr<Run> run) {
    const Result<void> ended = co_await follow_packets(run);
    if (!ended && !ended.error().is_canceled()) {
        log::error(
            std::format("{}: the analysis ended: {}", run->ifname, ended.error().message()),
            {{.name = "ZSYNC_INTERFACE", .value = run->ifname}}
        );
    }
}

Task<Result<void>> PacketAnalyses::follow_packets(std::shared_ptr<Run> run) {
    for (;;) {
        if (!run->live) {
            co_return {};
        }
        ZCO_CHECK(co_await io_.poll(FdRef(run->live->ready_fd()), POLLIN));
        LiveAnalysis::Alerts alerts;
        {
            ZCO_TRY(const Mutex::Lock lock, co_await run->mutex.lock());
            if (!run->live) {
                co_return {};
            }
            const Outcome<std::size_t> taken =
                co_await io_.offload([&run, detectors = detectors_]() -> Outcome<std::size_t> {
                    run->live->configure(detectors);
                    return run->live->work();
                });
            if (!taken) {
                co_return fail(taken.error().error);
            }
            alerts = run->live->take_alerts();
        }
        tell(run->ifname, std::move(alerts));
    }
}

void PacketAnalyses::tell(const std::string& ifname, LiveAnalysis::Alerts alerts) {
    const auto found = wishes_.find(ifname);
    for (Alert& alert : alerts.list) {
        log::warning(
            std::format("{}: {}: {}", ifname, name_of(alert.kind), alert.reason),
            {{.name = "ZSYNC_INTERFACE", .value = ifname},
             {.name = "ZSYNC_ALERT", .value = std::string(name_of(alert.kind))},
             {.name = "ZSYNC_SOURCE", .value = shown(alert.subject.source)},
             {.name = "ZSYNC_DESTINATION", .value = shown(alert.subject.destination)}}
        );
        tell_(ifname, alert);
        if (found == wishes_.end()) {
            continue;
        }
        std::deque<Alert>& kept = found->second.alerts;
        if (kept.size() == packet::analysis::limits::alerts_kept_max) {
            kept.pop_front();
        }
        kept.push_back(std::move(alert));
    }
    if (alerts.left_out > 0) {
        leave_out(ifname, alerts.left_out);
    }
}

void PacketAnalyses::leave_out(const std::string& ifname, std::uint64_t alerts) {
    const auto found = wishes_.find(ifname);
    if (found == wishes_.end()) {
        return;
    }
    LeftOut& left_out = found->second.left_out;
    left_out.add(alerts);
    if (const std::optional<std::uint64_t> count = left_out.to_say(Clock::now())) {
        log::error(
            std::format(
                "{}: {} alerts more came at once than are told: {} is the limit",
                ifname,
                *count,
                packet::analysis::limits::alerts_kept_max
            ),
            {{.name = "ZSYNC_INTERFACE", .value = ifname}}
        );
    }
    tell_left_out_();
}

Task<Outcome<Fd>> PacketAnalyses::flows(std::string ifname) {
    ZCO_TRY(Wish* const wish, find(ifname));
    const std::shared_ptr<Run> run = wish->run;
    if (!run) {
        co_return fail(
            packet::PacketError::not_attached,
            std::format("{} is analysed when it is attached, and is not now", ifname)
        );
    }
    ZCO_TRY(const Mutex::Lock lock, co_await run->mutex.lock());
    if (!run->live) {
        co_return not_analysed(ifname);
    }
    co_return co_await io_.offload([&run, &ifname]() -> Outcome<Fd> {
        return sealed_file(ZTRY(run->live->report(ifname)));
    });
}

Task<Outcome<Fd>> PacketAnalyses::alerts(std::string ifname) {
    ZCO_TRY(Wish* const wish, find(ifname));
    std::string text;
    packet::analysis::JsonWriter json(text);
    json.begin_object();
    json.field("ifname", ifname);
    json.key("alerts");
    json.begin_array();
    for (const Alert& alert : wish->alerts) {
        json.new_line();
        packet::analysis::write_alert(json, alert);
    }
    json.end_array();
    json.end_object();
    text += '\n';
    co_return co_await io_.offload([&text] { return sealed_file(text); });
}

} // namespace zsync::zsyncd
