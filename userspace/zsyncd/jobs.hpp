// Jobs: work that takes long enough to be watched and cancelled, each an object on the bus.
#pragma once

#include "job_object.hpp"
#include "manager_object.hpp"

#include <zsync/bus/connection.hpp>
#include <zsync/core/task_record.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace zsync::zsyncd {

/// The running jobs. The task that starts a job does its work:
///
///     ZCO_TRY(JobRegistry::Entry job, jobs.add("packet-load", ifname));
///     job.set_progress(0.5);
///     co_return job.end(co_await load(ifname));
///
/// Cancelling the job cancels that task.
class JobRegistry {
public:
    JobRegistry(Io io, bus::Connection& connection) noexcept : io_(io), connection_(connection) {}
    JobRegistry(const JobRegistry&) = delete;
    JobRegistry& operator=(const JobRegistry&) = delete;

    /// Ends the job with its own life: `failed` unless `end` was told otherwise.
    class Entry {
    public:
        Entry(JobRegistry& registry, std::shared_ptr<JobObject> job) noexcept
            : registry_(&registry), job_(std::move(job)) {}
        Entry(Entry&& other) noexcept = default;
        Entry& operator=(Entry&&) = delete;
        ~Entry() {
            if (job_) {
                registry_->remove(*job_, result_);
            }
        }

        [[nodiscard]] bus::ObjectPath path() const { return {job_->path()}; }
        /// Between 0 and 1.
        void set_progress(double progress) { job_->set_progress(progress, registry_->connection_); }
        /// Notes how the work ended and passes it on.
        template <class T> Outcome<T> end(Outcome<T> outcome) {
            result_ = outcome                               ? "done"
                      : outcome.error().error.is_canceled() ? "canceled"
                                                            : "failed";
            return outcome;
        }

    private:
        JobRegistry* registry_;
        std::shared_ptr<JobObject> job_;
        const char* result_ = "failed";
    };

    /// `limit_reached` when `limits::jobs_max` jobs are running.
    Outcome<Entry> add(std::string kind, std::string subject);

    [[nodiscard]] std::vector<JobRow> rows() const;

private:
    void remove(JobObject& job, const char* result);
    void rows_changed();

    Io io_;
    bus::Connection& connection_;
    std::map<std::uint32_t, std::shared_ptr<JobObject>> jobs_;
    std::uint32_t last_id_ = 0;
};

} // namespace zsync::zsyncd
