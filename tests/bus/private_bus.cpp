#include "private_bus.hpp"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <format>
#include <fstream>
#include <unistd.h>

namespace zsync::bus::test {

PrivateBus::PrivateBus() {
    std::string pattern = std::filesystem::temp_directory_path() / "zsync-bus-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    // Clients of other users reach the socket too.
    EXPECT_EQ(::chmod(folder_.c_str(), 0755), 0);
    address_ = std::format("unix:path={}/socket", folder_);
    std::ofstream(folder_ + "/config") << std::format(
        R"(<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <deny own="org.example.Forbidden"/>
  </policy>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
)",
        address_
    );
    start();
}

PrivateBus::~PrivateBus() {
    stop();
    std::filesystem::remove_all(folder_);
}

void PrivateBus::start() {
    std::array<int, 2> ready{};
    ASSERT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
    const Fd reader(ready[0]);
    Fd writer(ready[1]);
    const std::string config = std::format("--config-file={}/config", folder_);
    daemon_ = ::fork();
    ASSERT_GE(daemon_, 0);
    if (daemon_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::dup2(writer.get(), STDOUT_FILENO);
        ::execlp(
            "dbus-daemon", "dbus-daemon", "--nofork", "--print-address=1", config.c_str(), nullptr
        );
        ::_exit(127);
    }
    writer.reset();
    char first = 0;
    ASSERT_EQ(::read(reader.get(), &first, 1), 1) << "dbus-daemon did not start";
}

void PrivateBus::freeze() { EXPECT_EQ(::kill(daemon_, SIGSTOP), 0); }

void PrivateBus::stop() {
    if (daemon_ > 0) {
        ::kill(daemon_, SIGKILL);
        ::waitpid(daemon_, nullptr, 0);
        daemon_ = -1;
    }
}

} // namespace zsync::bus::test
