#include "daemon.hpp"

#include "directories.hpp"
#include "limits.hpp"
#include "manager_object.hpp"
#include "packet_objects.hpp"

#include <zsync/core/log.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/packet/capabilities.hpp>
#include <zsync/packet/service.hpp>
#include <zsync/store/store.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <format>
#include <memory>
#include <optional>

namespace zsync::zsyncd {
namespace {

constexpr const char* bus_name = "org.zsync1";

std::vector<Feature> runtime_features(const Executor& executor) {
    std::vector<Feature> features;
    for (RuntimeFeature& feature : executor.features()) {
        features.push_back({std::move(feature.name), feature.available, std::move(feature.detail)});
    }
    return features;
}

std::vector<Feature> packet_features(const std::vector<packet::Capability>& capabilities) {
    std::vector<Feature> features;
    features.reserve(capabilities.size());
    for (const packet::Capability& capability : capabilities) {
        features.push_back({capability.name, capability.available, capability.detail});
    }
    return features;
}

std::vector<packet::ConfiguredInterface> configured_interfaces(const Config& config) {
    std::vector<packet::ConfiguredInterface> configured;
    configured.reserve(config.interfaces.size());
    for (const Config::Interface& interface : config.interfaces) {
        configured.push_back({interface.name, interface.mode, interface.rules});
    }
    return configured;
}

} // namespace

struct Daemon::Parts {
    Parts(Io io, const Options& options)
        : scope(io, "zsyncd"), bus(io, scope, {.address = options.bus_address}), jobs(io, bus) {}

    Scope scope;
    bus::Connection bus;
    JobRegistry jobs;
    Features features;
    Config config;
    Fd run_lock;
    std::optional<store::Store> store;
    std::optional<packet::Service> packets;
    std::shared_ptr<PacketObjects> packet_objects;
};

Daemon::Daemon(Io io, Options options, SignalSet signals)
    : io_(io), options_(std::move(options)), signals_(std::move(signals)), manager_(io) {}

Task<int> Daemon::run() {
    Parts parts(io_, options_);
    parts.scope.spawn("signals", follow_signals(&parts));
    parts.scope.spawn("service", serve(&parts));
    // Every task ends here, whether a signal or a failure stops them.
    if (const Result<void> joined = co_await parts.scope.join(); !joined && !failed_) {
        failed_ = true;
        log::error("a task failed: " + joined.error().message());
    }
    log::info(failed_ ? "ended" : "stopped");
    co_return failed_ ? EXIT_FAILURE : EXIT_SUCCESS;
}

Task<Result<void>> Daemon::follow_signals(Parts* parts) {
    for (;;) {
        ZCO_TRY(const int signal, co_await signals_.next(io_));
        if (signal == SIGHUP) {
            parts->scope.spawn("reload", reload_on_signal(parts));
            continue;
        }
        log::info("stopping");
        co_await manager_.stopping();
        parts->scope.cancel();
        co_return {};
    }
}

Task<Result<void>> Daemon::serve(Parts* parts) {
    if (const Outcome<void> started = co_await start(parts); !started) {
        if (!started.error().error.is_canceled()) {
            failed_ = true;
            log::error(started.error().message());
        }
        co_return fail(started.error().error);
    }
    co_await manager_.ready("serving", limits::notify_patience);
    log::info(std::format("serving on {}", bus_name));
    parts->scope.spawn("watchdog", manager_.feed_watchdog());
    co_return co_await keep_on_bus(parts);
}

Task<Outcome<void>> Daemon::start(Parts* parts) {
    ZCO_CHECK(co_await configure(parts));
    parts->features.add([this] { return runtime_features(io_.executor()); });
    const auto manager =
        std::make_shared<ManagerObject>(io_, parts->features, parts->jobs, [this, parts] {
            return reload(parts);
        });
    ZCO_CHECK(parts->bus.add_object_manager(ManagerObject::path));
    ZCO_CHECK(parts->bus.add(ManagerObject::path, manager));
    ZCO_CHECK(co_await start_packets(parts));
    ZCO_CHECK(co_await parts->bus.open());
    ZCO_CHECK(co_await own_name(parts));
    packet::Service& packets = parts->packets.value();
    parts->scope.spawn("packet-links", packets.follow_links());
    parts->scope.spawn("packet-limits", packets.follow_limits());
    parts->scope.spawn("packet-expiries", packets.follow_expiries());
    parts->scope.spawn("packet-hindrances", packets.follow_hindrances());
    parts->scope.spawn("packet-objects", parts->packet_objects->follow());
    co_return {};
}

// The run directory is ours alone by now, so on the usual bus an owner can only be a predecessor
// whose death the bus has yet to notice: after a kill -9 that takes a moment.
Task<Outcome<void>> Daemon::own_name(Parts* parts) {
    const TimePoint deadline = Clock::now() + limits::name_wait;
    for (;;) {
        Outcome<void> owned = co_await parts->bus.own_name(bus_name);
        const bool taken = !owned && owned.error().error == Error(bus::BusError::name_taken);
        if (!taken || Clock::now() >= deadline) {
            co_return owned;
        }
        ZCO_CHECK(co_await io_.sleep_for(limits::name_retry_delay));
    }
}

Task<Outcome<void>> Daemon::start_packets(Parts* parts) {
    ZCO_TRY(parts->run_lock, co_await io_.offload([this] {
        return lock_run_directory(options_.run_dir);
    }));
    ZCO_TRY(const auto capabilities, co_await io_.offload([this] {
        return packet::probe_capabilities(options_.bpf_dir);
    }));
    parts->features.add([capabilities] { return packet_features(capabilities); });
    ZCO_TRY(store::Store store, co_await io_.offload([this] {
        return open_state(options_.state_dir);
    }));
    parts->store.emplace(std::move(store));
    packet::Service& packets = parts->packets.emplace(io_, *parts->store, options_.bpf_dir);
    ZCO_CHECK(co_await packets.start());
    const auto configured = co_await packets.configure(configured_interfaces(parts->config));
    if (!configured) {
        // One wrong interface must not leave the others unserved.
        log::error(configured.error().message());
    }
    parts->packet_objects =
        std::make_shared<PacketObjects>(io_, parts->scope, packets, parts->bus, parts->jobs);
    ZCO_CHECK(co_await parts->packet_objects->configure(parts->config.alerts, parts->config.flows));
    ZCO_CHECK(parts->packet_objects->add());
    ZCO_CHECK(co_await parts->packet_objects->restore_forwards());
    co_return co_await start_analyses(parts);
}

Task<Outcome<void>> Daemon::start_analyses(Parts* parts) {
    for (const Config::Interface& interface : parts->config.interfaces) {
        if (interface.analyse_every == 0) {
            continue;
        }
        const auto begun =
            co_await parts->packet_objects->analyse(interface.name, interface.analyse_every);
        if (!begun && begun.error().error.is_canceled()) {
            co_return begun;
        }
        if (!begun) { // the filter goes on without
            log::error(begun.error().message());
        }
    }
    co_return co_await parts->packet_objects->analyses().end_unwanted();
}

Task<Result<void>> Daemon::keep_on_bus(Parts* parts) {
    for (;;) {
        const Error reason = (co_await parts->bus.lost()).error();
        if (reason.is_canceled()) {
            co_return {};
        }
        log::warning(
            "the bus is gone; filters go on", {{.name = "ERROR", .value = reason.message()}}
        );
        std::chrono::milliseconds delay = limits::reconnect_delay_first;
        for (bool open = false; !open; delay = std::min(2 * delay, limits::reconnect_delay_max)) {
            ZCO_CHECK(co_await io_.sleep_for(delay));
            const Outcome<void> opened = co_await parts->bus.open();
            open = opened.has_value();
            if (!open) {
                log::debug(opened.error().message());
            }
        }
        log::notice(std::format("serving on {} again", bus_name));
    }
}

Task<Result<void>> Daemon::reload_on_signal(Parts* parts) {
    if (const Outcome<void> reloaded = co_await reload(parts); !reloaded) {
        log::error(reloaded.error().message());
    }
    co_return {};
}

Task<Outcome<void>> Daemon::reload(Parts* parts) {
    if (std::exchange(reloading_, true)) {
        co_return fail(CoreError::limit_reached, "a reload is running already; wait for its end");
    }
    Outcome<void> result = co_await reload_as_job(parts);
    const bool hurry = !result && result.error().error.is_canceled();
    co_await manager_.ready(
        "serving", hurry ? limits::notify_stopping_patience : Duration(limits::notify_patience)
    );
    reloading_ = false;
    co_return result;
}

Task<Outcome<void>> Daemon::reload_as_job(Parts* parts) {
    ZCO_TRY(JobRegistry::Entry job, parts->jobs.add("reload", options_.config_file));
    if (const Result<void> told = co_await manager_.reloading(); !told) {
        co_return job.end(Outcome<void>(std::unexpected(told.error())));
    }
    co_return job.end(co_await reconfigure(parts));
}

Task<Outcome<void>> Daemon::reconfigure(Parts* parts) {
    ZCO_CHECK(co_await configure(parts));
    packet::Service& packets = parts->packets.value();
    ZCO_CHECK(co_await packets.reconcile());
    ZCO_CHECK(co_await parts->packet_objects->configure(parts->config.alerts, parts->config.flows));
    Outcome<void> configured = co_await packets.configure(configured_interfaces(parts->config));
    parts->packet_objects->publish();
    ZCO_CHECK(co_await start_analyses(parts));
    co_return configured;
}

Task<Outcome<void>> Daemon::configure(Parts* parts) {
    const auto missing = options_.config_was_named ? MissingFile::refuse : MissingFile::use_default;
    ZCO_TRY(Config config, co_await io_.offload([file = options_.config_file, missing] {
        return load_config(file, missing);
    }));
    log::set_level(config.log_level);
    parts->config = std::move(config);
    co_return {};
}

} // namespace zsync::zsyncd
