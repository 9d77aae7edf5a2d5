// zsyncd: the host service. Reads its options, makes the one worker, and runs the daemon on it.
#include "daemon.hpp"
#include "limits.hpp"
#include "options.hpp"

#include <zsync/core/log.hpp>
#include <zsync/core/signals.hpp>
#include <zsync/core/worker.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>

// NOLINTNEXTLINE(bugprone-exception-escape): without memory to begin with, it ends
int main(int argc, char** argv) {
    using namespace zsync;

    const zsyncd::ParsedOptions parsed = zsyncd::parse_options(argc, argv);
    if (!parsed.options) {
        return zsyncd::print_and_choose_exit_code(parsed);
    }
    // Captures are written to descriptors of clients, who may close the other end of theirs.
    if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        log::error("SIGPIPE cannot be ignored: " + os_error(errno).message());
        return EXIT_FAILURE;
    }
    // Blocked before any other thread starts, so that only the daemon's own task sees them.
    Result<SignalSet> signals = SignalSet::create({SIGHUP, SIGTERM, SIGINT});
    if (!signals) {
        log::error("signals cannot be received: " + signals.error().message());
        return EXIT_FAILURE;
    }
    Outcome<std::unique_ptr<Worker>> worker = Worker::create();
    if (!worker) {
        log::error(worker.error().message());
        return EXIT_FAILURE;
    }
    (*worker)->watch(zsyncd::limits::stall_limit, [](const Stall& stall) {
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(stall.held).count();
        log::warning(
            "a task held up all others",
            {{.name = "TASK", .value = stall.name},
             {.name = "UNTIL", .value = stall.until},
             {.name = "HELD_MS", .value = std::to_string(ms)}}
        );
    });
    zsyncd::Daemon daemon((*worker)->io(), *parsed.options, *std::move(signals));
    return (*worker)->run("zsyncd", daemon.run());
}
