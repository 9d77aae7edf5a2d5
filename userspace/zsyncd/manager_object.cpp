#include "manager_object.hpp"

#include "jobs.hpp"

#include <zsync/bus/authorize.hpp>
#include <zsync/core/epoch_time.hpp>
#include <zsync/core/worker.hpp>

#include <chrono>
#include <unistd.h>

namespace zsync::zsyncd {
namespace {

std::uint64_t in_us(std::chrono::nanoseconds duration) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(duration).count()
    );
}

} // namespace

const bus::Interface& ManagerObject::bus_interface() {
    static const bus::Interface interface =
        bus::InterfaceBuilder<ManagerObject>("org.zsync1.Manager")
            .property<&ManagerObject::version>("Version", bus::Emits::constant)
            .property<&ManagerObject::pid>("Pid", bus::Emits::constant)
            .property<&ManagerObject::start_timestamp>("StartTimestamp", bus::Emits::constant)
            .property<&ManagerObject::start_timestamp_monotonic>(
                "StartTimestampMonotonic", bus::Emits::constant
            )
            .property<&ManagerObject::features>("Features", bus::Emits::nothing)
            .property<&ManagerObject::jobs>("Jobs", bus::Emits::change)
            .method<&ManagerObject::list_tasks>("ListTasks", {}, {"tasks"})
            .method<&ManagerObject::worker_stats>("WorkerStats", {}, {"stats"})
            .method<&ManagerObject::stack_marks>("StackMarks", {}, {"marks"})
            .method<&ManagerObject::reload>("Reload", {"options"}, {})
            .signal(job_removed, {"id", "job", "result"})
            .build();
    return interface;
}

ManagerObject::ManagerObject(
    Io io, const Features& features, const JobRegistry& jobs, Reload reload
)
    : io_(io), features_(features), jobs_(jobs), reload_(std::move(reload)),
      start_realtime_us_(epoch_time<std::chrono::microseconds>()),
      start_monotonic_us_(epoch_time<std::chrono::microseconds, Clock>()) {}

std::string ManagerObject::version() const { return ZSYNC_VERSION; }

std::uint32_t ManagerObject::pid() const { return static_cast<std::uint32_t>(::getpid()); }

std::vector<JobRow> ManagerObject::jobs() const { return jobs_.rows(); }

Task<Outcome<std::vector<TaskRow>>> ManagerObject::list_tasks(bus::CallContext /*call*/) {
    std::vector<TaskRow> rows;
    for (TaskInfo& task : io_.executor().tasks()) {
        rows.emplace_back(
            task.id,
            task.parent,
            std::move(task.name),
            std::string(name_of(task.kind)),
            std::move(task.state),
            std::move(task.chain),
            in_us(task.age),
            in_us(task.running),
            task.resumes,
            task.wakeups,
            task.stack_bytes,
            task.buffers
        );
    }
    co_return rows;
}

Task<Outcome<std::map<std::string, std::uint64_t>>>
ManagerObject::worker_stats(bus::CallContext /*call*/) {
    const WorkerStats stats = static_cast<const Worker&>(io_.executor()).stats();
    co_return std::map<std::string, std::uint64_t>{
        {"turns", stats.turns},
        {"system_calls", stats.enters},
        {"resumes", stats.resumes},
        {"stalls", stats.stalls},
        {"tasks", stats.tasks},
        {"timers", stats.timers},
        {"requests", stats.in_flight},
        {"busy_usec", in_us(stats.busy)},
        {"frames", stats.frames.live},
        {"frames_pooled", stats.frames.pooled},
        {"frames_from_heap", stats.frames.heap},
        {"fibers", stats.fibers.live},
        {"fibers_pooled", stats.fibers.pooled},
        {"fibers_mapped", stats.fibers.mapped},
    };
}

Task<Outcome<std::map<std::string, std::uint64_t>>>
ManagerObject::stack_marks(bus::CallContext /*call*/) {
    std::map<std::string, std::uint64_t> marks;
    for (StackMark& mark : static_cast<const Worker&>(io_.executor()).stack_marks()) {
        marks.emplace(std::move(mark.task), mark.bytes);
    }
    co_return marks;
}

Task<Outcome<void>> ManagerObject::reload(bus::CallContext call, bus::Options options) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, "org.zsync1.reload"));
    co_return co_await reload_();
}

} // namespace zsync::zsyncd
