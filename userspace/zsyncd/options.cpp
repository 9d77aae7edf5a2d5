#include "options.hpp"

#include <array>
#include <cstdio>
#include <format>
#include <span>
#include <string_view>

namespace zsync::zsyncd {
namespace {

constexpr std::string_view help_text =
    "usage: zsyncd [OPTION]...\n"
    "The zsync host service: packet filters under D-Bus control. See zsyncd(8).\n"
    "\n"
    "  --bus ADDRESS    the bus to serve on (default: the system bus)\n"
    "  --config FILE    configuration; FILE.d/*.toml are read after it\n"
    "                   (default: /etc/zsync/zsyncd.toml)\n"
    "  --state-dir DIR  what must outlive a reboot (default: /var/lib/zsync)\n"
    "  --run-dir DIR    what must not (default: /run/zsync)\n"
    "  --bpf-dir DIR    where filters are pinned (default: /sys/fs/bpf/zsync)\n"
    "  --version        print the version\n"
    "  --help           print this\n";

struct ValueOption {
    std::string_view name;
    std::string Options::* value;
};
constexpr std::array value_options{
    ValueOption{.name = "--bus", .value = &Options::bus_address},
    ValueOption{.name = "--config", .value = &Options::config_file},
    ValueOption{.name = "--state-dir", .value = &Options::state_dir},
    ValueOption{.name = "--run-dir", .value = &Options::run_dir},
    ValueOption{.name = "--bpf-dir", .value = &Options::bpf_dir},
};

const ValueOption* find_option(std::string_view name) {
    for (const ValueOption& option : value_options) {
        if (option.name == name) {
            return &option;
        }
    }
    return nullptr;
}

ParsedOptions usage_error(const std::string& words) {
    return {
        .options = {},
        .text = std::format("zsyncd: {}\nTry 'zsyncd --help'.\n", words),
        .is_usage_error = true,
    };
}

} // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
    Options options;
    const std::span words(argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0));
    for (auto word = words.begin(); word != words.end(); ++word) {
        const std::string_view text = *word;
        if (text == "--help") {
            return {.options = {}, .text = std::string(help_text)};
        }
        if (text == "--version") {
            return {.options = {}, .text = "zsyncd " ZSYNC_VERSION "\n"};
        }
        // Both `--name VALUE` and `--name=VALUE`.
        const auto equals = text.find('=');
        const ValueOption* option = find_option(text.substr(0, equals));
        if (option == nullptr) {
            return usage_error(std::format("unknown option '{}'", text));
        }
        std::string_view value;
        if (equals != std::string_view::npos) {
            value = text.substr(equals + 1);
        } else if (word + 1 != words.end()) {
            value = *++word;
        }
        if (value.empty()) {
            return usage_error(std::format("{} needs a value", option->name));
        }
        options.*option->value = value;
        options.config_was_named |= option->value == &Options::config_file;
    }
    return {.options = std::move(options), .text = {}};
}

int print_and_choose_exit_code(const ParsedOptions& parsed) {
    constexpr int usage_exit_code = 2;
    (void)std::fputs(parsed.text.c_str(), parsed.is_usage_error ? stderr : stdout);
    return parsed.is_usage_error ? usage_exit_code : 0;
}

} // namespace zsync::zsyncd
