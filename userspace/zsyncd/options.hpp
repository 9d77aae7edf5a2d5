// The command line of zsyncd.
#pragma once

#include <optional>
#include <string>

namespace zsync::zsyncd {

struct Options {
    std::string bus_address; ///< empty: the system bus
    std::string config_file = "/etc/zsync/zsyncd.toml";
    bool config_was_named = false; ///< a named file that is missing is an error
    std::string state_dir = "/var/lib/zsync";
    std::string run_dir = "/run/zsync";
    std::string bpf_dir = "/sys/fs/bpf/zsync";
};

/// The options, or what to print instead of running.
struct ParsedOptions {
    std::optional<Options> options;
    std::string text;
    bool is_usage_error = false;
};

[[nodiscard]] ParsedOptions parse_options(int argc, const char* const* argv);

/// Prints the text to where it belongs: 0 after --help and --version, 2 after a usage error.
[[nodiscard]] int print_and_choose_exit_code(const ParsedOptions& parsed);

} // namespace zsync::zsyncd
