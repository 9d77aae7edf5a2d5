// PrivateZsyncd: the built zsyncd on a bus of its own, for as long as a benchmark needs it.
#pragma once

#include "bench/packet/child.hpp"

#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <format>
#include <fstream>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>

namespace zsync::bench {

constexpr std::string_view how_to_run =
    "run it by './dev bench FOLDER/NAME', which builds and installs what it needs, or inside "
    "'./dev shell' after './dev build release zsyncd zsyncctl'";

/// Until `condition` holds, at most ten seconds. Fails at once when `child` ends, and with the last
/// words of whoever was asked.
template <class Condition>
void wait_for(
    const std::string& what,
    Condition condition,
    Child* child = nullptr,
    const std::string* last_words = nullptr
) {
    constexpr std::chrono::seconds start_time_max{10};
    constexpr std::chrono::milliseconds look_again{10};
    constexpr int not_executed = 127;
    const auto end = std::chrono::steady_clock::now() + start_time_max;
    while (!condition()) {
        const std::optional<int> ended = child == nullptr ? std::nullopt : child->ended();
        if (ended && WIFEXITED(*ended) && WEXITSTATUS(*ended) == not_executed) {
            throw std::runtime_error(
                std::format("{} is missing or cannot be executed; {}", what, how_to_run)
            );
        }
        if (ended) {
            throw std::runtime_error(std::format(
                "{} ended at once, {} {}; what it said is above; {}",
                what,
                WIFEXITED(*ended) ? "with code" : "by signal",
                WIFEXITED(*ended) ? WEXITSTATUS(*ended) : WTERMSIG(*ended),
                how_to_run
            ));
        }
        if (std::chrono::steady_clock::now() > end) {
            throw std::runtime_error(std::format(
                "{} did not start within {} s{}; {}",
                what,
                start_time_max.count(),
                last_words == nullptr ? "" : "; zsyncctl said last: " + *last_words,
                how_to_run
            ));
        }
        std::this_thread::sleep_for(look_again);
    }
}

/// The folder that the benchmark is in, asked before it enters a mount namespace of its own: from
/// there a program on a bind mount, as in a session of ./dev, is seen under a path that is not its.
inline const std::filesystem::path build_folder =
    std::filesystem::read_symlink("/proc/self/exe").parent_path();

/// A program of that folder.
inline std::string built(const char* name) { return build_folder / name; }

class PrivateZsyncd {
public:
    struct Options {
        std::string bpf_dir;           ///< on a bpffs where rules are loaded; else anywhere
        std::function<void()> prepare; ///< in zsyncd's process before it begins
    };

    explicit PrivateZsyncd(const Options& options = {}) {
        const std::string& folder = folder_.path;
        const std::string bpf_dir = options.bpf_dir.empty() ? folder + "/bpf" : options.bpf_dir;
        for (const char* name : {"state", "run", "bpf"}) {
            std::filesystem::create_directory(folder + "/" + name);
        }
        std::ofstream(folder + "/zsyncd.toml") << "# what is built in\n";
        std::ofstream(folder + "/bus.conf") << std::format(
            R"(<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>{}</listen><auth>EXTERNAL</auth><policy context="default">
<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>)",
            bus_address()
        );
        bus_.emplace([&] {
            const std::string config = std::format("--config-file={}/bus.conf", folder);
            ::execlp("dbus-daemon", "dbus-daemon", "--nofork", config.c_str(), nullptr);
        });
        wait_for("dbus-daemon", [&] { return std::filesystem::exists(folder + "/bus"); }, &*bus_);
        zsyncd_.emplace([&] {
            if (options.prepare) {
                options.prepare();
            }
            const auto in = [&](const char* name) { return folder + "/" + name; };
            ::execl(
                built("zsyncd").c_str(),
                "zsyncd",
                "--bus",
                bus_address().c_str(),
                "--config",
                in("zsyncd.toml").c_str(),
                "--state-dir",
                in("state").c_str(),
                "--run-dir",
                in("run").c_str(),
                "--bpf-dir",
                bpf_dir.c_str(),
                nullptr
            );
        });
    }

    /// Until `condition` says that zsyncd answers; `last_words` are those of the last try.
    template <class Condition>
    void wait_until(Condition condition, const std::string* last_words = nullptr) {
        wait_for(built("zsyncd"), condition, &*zsyncd_, last_words);
    }

    [[nodiscard]] std::string bus_address() const { return "unix:path=" + folder_.path + "/bus"; }
    [[nodiscard]] pid_t pid() const { return zsyncd_->pid(); }

private:
    struct Folder {
        Folder() : path(std::filesystem::temp_directory_path() / "zsync-bench-XXXXXX") {
            if (::mkdtemp(path.data()) == nullptr) {
                throw std::runtime_error("cannot make a folder for zsyncd");
            }
        }
        Folder(const Folder&) = delete;
        Folder& operator=(const Folder&) = delete;
        ~Folder() { std::filesystem::remove_all(path); }
        std::string path;
    };

    Folder folder_;
    std::optional<Child> bus_;
    std::optional<Child> zsyncd_;
};

} // namespace zsync::bench
