// Daemon: what zsyncd consists of, from start to stop.
#pragma once

#include "config.hpp"
#include "features.hpp"
#include "jobs.hpp"
#include "options.hpp"
#include "service_manager.hpp"

#include <zsync/bus/connection.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/signals.hpp>

namespace zsync::zsyncd {

class Daemon {
public:
    Daemon(Io io, Options options, SignalSet signals);

    /// Serves until SIGTERM or SIGINT, or until it cannot. Returns the exit code.
    Task<int> run();

private:
    /// What lives as long as the daemon's scope.
    struct Parts;

    Task<Result<void>> serve(Parts* parts);
    Task<Outcome<void>> start(Parts* parts);
    /// Becomes org.zsync1 on the bus, after a predecessor that is just dying if there is one.
    Task<Outcome<void>> own_name(Parts* parts);
    /// Takes over the filters that are attached and brings up those of the configuration.
    Task<Outcome<void>> start_packets(Parts* parts);
    Task<Result<void>> follow_signals(Parts* parts);
    Task<Result<void>> keep_on_bus(Parts* parts);
    Task<Result<void>> reload_on_signal(Parts* parts);
    Task<Outcome<void>> reload(Parts* parts);
    Task<Outcome<void>> reload_as_job(Parts* parts);
    Task<Outcome<void>> reconfigure(Parts* parts);
    /// Begins the analyses of the configuration.
    Task<Outcome<void>> start_analyses(Parts* parts);
    /// Reads the configuration and puts it into force; the running one stays if it is wrong.
    Task<Outcome<void>> configure(Parts* parts);

    Io io_;
    Options options_;
    SignalSet signals_;
    ServiceManager manager_;
    bool reloading_ = false;
    bool failed_ = false;
};

} // namespace zsync::zsyncd
