// org.zsync1.Manager: the daemon itself on the bus.
#pragma once

#include "features.hpp"

#include <zsync/bus/interface.hpp>
#include <zsync/core/io.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

namespace zsync::zsyncd {

class JobRegistry;

/// `id, kind, subject, state, path` of a job.
using JobRow = std::tuple<std::uint32_t, std::string, std::string, std::string, bus::ObjectPath>;

/// `id, parent, name, kind, state, chain, age_usec, running_usec, polls, wakeups, stack_bytes,
/// buffers` of a task.
using TaskRow = std::tuple<
    std::uint64_t,
    std::uint64_t,
    std::string,
    std::string,
    std::string,
    std::vector<std::string>,
    std::uint64_t,
    std::uint64_t,
    std::uint64_t,
    std::uint64_t,
    std::uint64_t,
    std::uint64_t>;

class ManagerObject {
public:
    static constexpr const char* path = "/org/zsync1";
    static constexpr bus::Signal<std::uint32_t, bus::ObjectPath, std::string> job_removed{
        "JobRemoved"
    };
    static const bus::Interface& bus_interface();

    using Reload = std::function<Task<Outcome<void>>()>;
    /// All are borrowed from the daemon, which outlives its objects.
    ManagerObject(Io io, const Features& features, const JobRegistry& jobs, Reload reload);

    /// \name Members on the bus
    /// \{
    [[nodiscard]] std::string version() const;
    [[nodiscard]] std::uint32_t pid() const;
    [[nodiscard]] std::uint64_t start_timestamp() const { return start_realtime_us_; }
    [[nodiscard]] std::uint64_t start_timestamp_monotonic() const { return start_monotonic_us_; }
    [[nodiscard]] std::vector<Feature> features() const { return features_.collect(); }
    [[nodiscard]] std::vector<JobRow> jobs() const;
    Task<Outcome<std::vector<TaskRow>>> list_tasks(bus::CallContext call);
    Task<Outcome<std::map<std::string, std::uint64_t>>> worker_stats(bus::CallContext call);
    Task<Outcome<std::map<std::string, std::uint64_t>>> stack_marks(bus::CallContext call);
    Task<Outcome<void>> reload(bus::CallContext call, bus::Options options);
    /// \}

private:
    Io io_;
    const Features& features_;
    const JobRegistry& jobs_;
    Reload reload_;
    std::uint64_t start_realtime_us_;
    std::uint64_t start_monotonic_us_;
};

} // namespace zsync::zsyncd
