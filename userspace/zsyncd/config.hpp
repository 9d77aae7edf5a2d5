// The configuration of zsyncd: zsyncd.toml(5).
#pragma once

#include <zsync/core/log.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/detector_options.hpp>
#include <zsync/packet/analysis/flow_options.hpp>
#include <zsync/packet/attach_mode.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::zsyncd {

namespace limits {
/// Bytes of one configuration file.
constexpr std::size_t config_bytes_max = std::size_t{1} << 20;
/// Files in the drop-in directory.
constexpr std::size_t drop_ins_max = 64;
/// Interfaces the configuration may name.
constexpr std::size_t configured_interfaces_max = 256;
/// Errors given for one configuration; one more line says that there were others.
constexpr std::size_t config_errors_max = 20;
} // namespace limits

enum class ConfigError : std::uint16_t {
    /// A configuration file is wrong or cannot be read; the detail says what and where.
    invalid_config,
};

extern const ErrorDomain config_errors;
constexpr const ErrorDomain& error_domain(ConfigError) noexcept { return config_errors; }

struct Config {
    /// An interface to attach at start.
    struct Interface {
        std::string name;
        packet::AttachMode mode = packet::AttachMode::automatic;
        std::string rules; ///< path of the rule file; empty: what was loaded last stays
        std::uint32_t analyse_every = 0; ///< analyse one packet of so many; 0: none

        friend bool operator==(const Interface&, const Interface&) = default;
    };

    log::Level log_level = log::Level::info;
    /// The mode of interfaces that name none.
    packet::AttachMode default_mode = packet::AttachMode::automatic;
    packet::analysis::DetectorOptions alerts; ///< what the traffic analysis takes for an attack
    packet::analysis::FlowOptions flows;      ///< how many flows it keeps, and for how long
    std::vector<Interface> interfaces;        ///< by name

    friend bool operator==(const Config&, const Config&) = default;
};

/// The configuration that holds where there is no file: every key with its default.
extern const std::string_view default_config_text;

/// One configuration file's text under the name it has in errors.
struct ConfigText {
    std::string name;
    std::string text;
};

/// Reads texts in order: a key of a later one replaces that of an earlier one, tables are joined.
/// Fails with every error as `FILE:LINE:COL: error: words; hint: words` on a line of its own.
[[nodiscard]] Outcome<Config> parse_config(const std::vector<ConfigText>& texts);

/// What a missing main file means: the embedded default, or an error because a person named it.
enum class MissingFile : std::uint8_t { use_default, refuse };

/// Reads `file`, then `file.d/*.toml` in the order of their names. Nothing is remembered: a caller
/// that reloads keeps its running `Config` when this fails.
[[nodiscard]] Outcome<Config> load_config(const std::string& file, MissingFile missing);

} // namespace zsync::zsyncd
