#include "jobs.hpp"

#include "limits.hpp"

#include <zsync/core/worker.hpp>

#include <format>

namespace zsync::zsyncd {

Outcome<JobRegistry::Entry> JobRegistry::add(std::string kind, std::string subject) {
    if (jobs_.size() >= limits::jobs_max) {
        return fail(
            CoreError::limit_reached,
            std::format("{} jobs are running already; wait until one ends", limits::jobs_max)
        );
    }
    TaskRecord* worker_task = TaskRecord::current();
    ZASSERT(worker_task != nullptr, "a job is started by the task that does its work");
    const std::uint32_t id = ++last_id_;
    auto job =
        std::make_shared<JobObject>(id, std::move(kind), std::move(subject), TaskRef(*worker_task));
    ZTRY(connection_.add(job->path(), job));
    jobs_.emplace(id, job);
    rows_changed();
    return Entry(*this, std::move(job));
}

void JobRegistry::remove(JobObject& job, const char* result) {
    job.end();
    connection_.remove(job.path());
    connection_.emit(
        ManagerObject::path,
        ManagerObject::bus_interface(),
        ManagerObject::job_removed,
        job.id(),
        bus::ObjectPath{job.path()},
        result
    );
    jobs_.erase(job.id());
    rows_changed();
}

void JobRegistry::rows_changed() {
    connection_.properties_changed(ManagerObject::path, ManagerObject::bus_interface(), {"Jobs"});
}

std::vector<JobRow> JobRegistry::rows() const {
    std::vector<JobRow> rows;
    rows.reserve(jobs_.size());
    for (const auto& [id, job] : jobs_) {
        rows.emplace_back(
            id, job->kind(), job->subject(), job->state(), bus::ObjectPath{job->path()}
        );
    }
    return rows;
}

} // namespace zsync::zsyncd
