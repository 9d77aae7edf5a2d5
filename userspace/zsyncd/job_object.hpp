// org.zsync1.Job: one running job on the bus.
#pragma once

#include <zsync/bus/connection.hpp>
#include <zsync/core/task_record.hpp>

#include <cstdint>
#include <string>

namespace zsync::zsyncd {

class JobObject {
public:
    static const bus::Interface& bus_interface();

    JobObject(std::uint32_t id, std::string kind, std::string subject, TaskRef task);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    void set_progress(double progress, bus::Connection& connection);
    /// Forgets the task: its worker may do other work from here on.
    void end() noexcept { task_ = TaskRef(); }

    /// \name Members on the bus
    /// \{
    [[nodiscard]] std::uint32_t id() const { return id_; }
    [[nodiscard]] std::string kind() const { return kind_; }
    [[nodiscard]] std::string subject() const { return subject_; }
    /// `running`, or `canceling` once it is asked to stop.
    [[nodiscard]] std::string state() const { return canceling_ ? "canceling" : "running"; }
    [[nodiscard]] double progress() const { return progress_; }
    Task<Outcome<void>> cancel(bus::CallContext call);
    /// \}

private:
    std::uint32_t id_;
    std::string kind_;
    std::string subject_;
    TaskRef task_;
    std::string path_;
    double progress_ = 0;
    bool canceling_ = false;
};

} // namespace zsync::zsyncd
