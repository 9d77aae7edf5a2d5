#include "job_object.hpp"

#include <zsync/bus/authorize.hpp>

#include <algorithm>
#include <format>

namespace zsync::zsyncd {

const bus::Interface& JobObject::bus_interface() {
    static const bus::Interface interface =
        bus::InterfaceBuilder<JobObject>("org.zsync1.Job")
            .property<&JobObject::id>("Id", bus::Emits::constant)
            .property<&JobObject::kind>("Kind", bus::Emits::constant)
            .property<&JobObject::subject>("Subject", bus::Emits::constant)
            .property<&JobObject::state>("State", bus::Emits::change)
            .property<&JobObject::progress>("Progress", bus::Emits::change)
            .method<&JobObject::cancel>("Cancel", {}, {})
            .build();
    return interface;
}

JobObject::JobObject(std::uint32_t id, std::string kind, std::string subject, TaskRef task)
    : id_(id), kind_(std::move(kind)), subject_(std::move(subject)), task_(std::move(task)),
      path_(std::format("/org/zsync1/job/{}", id)) {}

void JobObject::set_progress(double progress, bus::Connection& connection) {
    progress_ = std::clamp(progress, 0.0, 1.0);
    connection.properties_changed(path_, bus_interface(), {"Progress"});
}

Task<Outcome<void>> JobObject::cancel(bus::CallContext call) {
    ZCO_CHECK(co_await bus::authorize(call, "org.zsync1.manage-jobs"));
    canceling_ = true;
    call.connection().properties_changed(path_, bus_interface(), {"State"});
    task_.request_cancel();
    co_return {};
}

} // namespace zsync::zsyncd
