// A property read through zsyncd beside the same read through a bare sd-bus loop, on one private
// dbus-daemon, call by call in turns; then what zsyncd costs while nobody calls.
#include "bench/packet/child.hpp"
#include "bench/packet/private_zsyncd.hpp"
#include "bench/report.hpp"

#include <sys/wait.h>
#include <system_error>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

namespace bench = zsync::bench;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int warm_up_calls = 500;
constexpr int measured_calls = 20000;
constexpr auto idle_time = 10s;
/// zsyncd watches departures of callers a little longer than the last call runs.
constexpr auto settle_time = 6s;

void check(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(-result, std::generic_category(), what);
    }
}

sd_bus* connect(const std::string& address) {
    sd_bus* bus = nullptr;
    check(sd_bus_new(&bus), "sd_bus_new");
    check(sd_bus_set_address(bus, address.c_str()), "address");
    check(sd_bus_set_bus_client(bus, 1), "bus client");
    check(sd_bus_start(bus), "connect");
    return bus;
}

int read_version(
    sd_bus* /*bus*/,
    const char* /*path*/,
    const char* /*interface*/,
    const char* /*property*/,
    sd_bus_message* reply,
    void* /*userdata*/,
    sd_bus_error* /*error*/
) {
    return sd_bus_message_append(reply, "s", "0.1.0");
}

/// What a service that has nothing but sd-bus looks like.
void serve_bare(const std::string& address) {
    static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", read_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END
    };
    sd_bus* bus = connect(address);
    check(
        sd_bus_add_object_vtable(bus, nullptr, "/bare", "org.example.Bare", vtable, nullptr), "add"
    );
    check(sd_bus_request_name(bus, "org.example.Bare", 0), "name");
    for (;;) {
        const int result = sd_bus_process(bus, nullptr);
        check(result, "process");
        if (result == 0) {
            check(sd_bus_wait(bus, UINT64_MAX), "wait");
        }
    }
}

struct Service {
    const char* name;
    const char* path;
    const char* interface;
};
constexpr Service ours{
    .name = "org.zsync1", .path = "/org/zsync1", .interface = "org.zsync1.Manager"
};
constexpr Service bare{
    .name = "org.example.Bare", .path = "/bare", .interface = "org.example.Bare"
};

/// Microseconds of one read; negative if the service is not there.
double read_once(sd_bus* bus, const Service& service) {
    sd_bus_message* reply = nullptr;
    const auto began = Clock::now();
    const int result = sd_bus_call_method(
        bus,
        service.name,
        service.path,
        "org.freedesktop.DBus.Properties",
        "Get",
        nullptr,
        &reply,
        "ss",
        service.interface,
        "Version"
    );
    const std::chrono::duration<double, std::micro> took = Clock::now() - began;
    sd_bus_message_unref(reply);
    return result < 0 ? -1 : took.count();
}

/// The number behind a field of every thread's status, summed.
std::uint64_t status_of_threads(pid_t pid, const std::string& field) {
    std::uint64_t sum = 0;
    for (const auto& task :
         std::filesystem::directory_iterator(std::format("/proc/{}/task", pid))) {
        std::ifstream status(task.path() / "status");
        std::string word;
        while (status >> word) {
            if (std::uint64_t value = 0; word == field && status >> value) {
                sum += value;
            }
        }
    }
    return sum;
}

std::uint64_t resident_kib(pid_t pid) {
    std::ifstream status(std::format("/proc/{}/status", pid));
    std::string word;
    std::uint64_t value = 0;
    while (status >> word) {
        if (word == "VmRSS:") {
            status >> value;
        }
    }
    return value;
}

void report_round_trip(sd_bus* bus) {
    constexpr double goal = 1.3;
    std::vector<double> our_times;
    std::vector<double> bare_times;
    for (int i = 0; i < warm_up_calls + measured_calls; ++i) {
        const double our_time = read_once(bus, ours);
        const double bare_time = read_once(bus, bare);
        if (i >= warm_up_calls) {
            our_times.push_back(our_time);
            bare_times.push_back(bare_time);
        }
    }
    const double our_median = bench::median(our_times);
    const double bare_median = bench::median(bare_times);
    bench::print_ratio(
        "D-Bus property read, zsyncd against a bare sd-bus loop",
        our_median,
        bare_median,
        "us",
        our_median / bare_median,
        goal
    );
}

void report_idle(pid_t pid) {
    constexpr double rss_goal_mib = 20;
    std::this_thread::sleep_for(settle_time);
    const std::uint64_t before = status_of_threads(pid, "voluntary_ctxt_switches:");
    std::this_thread::sleep_for(idle_time);
    const std::uint64_t wakes = status_of_threads(pid, "voluntary_ctxt_switches:") - before;
    bench::print_limit(
        std::format("zsyncd idle without watchdog, {} s", idle_time.count()),
        static_cast<double>(wakes),
        "wake-ups",
        0
    );
    bench::print_limit(
        "zsyncd idle, resident memory",
        static_cast<double>(resident_kib(pid)) / 1024,
        "MiB",
        rss_goal_mib
    );
}

void measure() {
    bench::PrivateZsyncd zsyncd;
    const bench::Child bare_server([&] { serve_bare(zsyncd.bus_address()); });
    sd_bus* bus = connect(zsyncd.bus_address());
    zsyncd.wait_until([&] { return read_once(bus, ours) >= 0; });
    bench::wait_for("the bare server", [&] { return read_once(bus, bare) >= 0; });
    report_round_trip(bus);
    report_idle(zsyncd.pid());
    sd_bus_flush_close_unref(bus);
}

} // namespace

int main() { return bench::run_bench(measure); }
