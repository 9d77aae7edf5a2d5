#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>

#include <toml++/toml.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <format>
#include <iterator>
#include <map>
#include <optional>
#include <zsyncd/config.hpp>

namespace zsync::zsyncd {
namespace {

using packet::AttachMode;

constexpr std::array entries{
    ErrorEntry{
        .code = std::to_underlying(ConfigError::invalid_config),
        .name = "InvalidConfig",
        .text = "the configuration is wrong"
    },
};

constexpr std::array<std::string_view, 2> top_keys{"log", "packet"};
constexpr std::array<std::string_view, 1> log_keys{"level"};
constexpr std::array<std::string_view, 4> packet_keys{
    "alerts", "default_mode", "flows", "interfaces"
};
constexpr std::array<std::string_view, 3> interface_keys{"analyse_every", "mode", "rules"};
constexpr std::array<std::string_view, 5> levels{"error", "warning", "notice", "info", "debug"};
constexpr std::array<std::string_view, 3> modes{"auto", "native", "generic"};

/// An interface as the files have it so far. A mode that none gives is the default mode, which a
/// later file may still change.
struct InterfaceDraft {
    std::optional<AttachMode> mode;
    std::string rules;
    std::uint32_t analyse_every = 0;
};

/// Where a key was given last.
struct GivenOption {
    std::string file;
    toml::source_region where;
};

std::string choices(std::string_view word, std::span<const std::string_view> known) {
    if (std::string guess = did_you_mean(word, known); !guess.empty()) {
        return guess;
    }
    std::string out = "one of ";
    for (const std::string_view choice : known) {
        out += out.ends_with("of ") ? "" : ", ";
        out += choice;
    }
    return out;
}

/// The words of a TOML parser are for programmers; the position is what helps.
std::string syntax_words(const toml::parse_error& error) {
    return "no TOML: " + printable(error.description(), 200);
}

class Reader {
public:
    void read(const ConfigText& text);
    Outcome<Config> finish();

private:
    using Table = void (Reader::*)(const toml::table&);

    void error(const toml::source_region& where, std::string words, std::string hint = {});
    void unknown_key(
        const toml::key& key, std::string_view table, std::span<const std::string_view> known
    );
    /// The option of that name, or null, which it has said then.
    template <class Option, std::size_t count>
    const Option* find_option(
        const toml::key& key, std::string_view table, const std::array<Option, count>& options
    );
    void wrong_type(const toml::node& node, std::string_view key, std::string_view wanted);
    void sub_table(const toml::node& node, std::string_view key, Table visit);
    std::optional<std::string> string(const toml::node& node, std::string_view key);
    std::optional<AttachMode> mode(const toml::node& node, std::string_view key);

    void top(const toml::table& table);
    void log_table(const toml::table& table);
    void packet_table(const toml::table& table);
    void alerts(const toml::table& table);
    void flows(const toml::table& table);
    void check_flows();
    void interfaces(const toml::table& table);
    void one_interface(const std::string& name, const toml::table& table);
    void rules(const toml::node& node, InterfaceDraft& draft);
    void analyse_every(const toml::node& node, InterfaceDraft& draft);

    std::string file_;
    Config config_;
    std::map<std::string, InterfaceDraft> interfaces_;
    std::map<std::string_view, GivenOption> flows_given_; ///< keys of [packet.flows]
    std::string errors_;
    std::size_t error_count_ = 0;
};

void Reader::error(const toml::source_region& where, std::string words, std::string hint) {
    ++error_count_;
    if (error_count_ > limits::config_errors_max) {
        if (error_count_ == limits::config_errors_max + 1) {
            errors_ += std::format(
                "\n{}: error: and more: only the first {} errors are shown",
                file_,
                limits::config_errors_max
            );
        }
        return;
    }
    const packet::Diagnostic diagnostic{
        .source = file_,
        .line = std::max<std::uint32_t>(where.begin.line, 1),
        .column = std::max<std::uint32_t>(where.begin.column, 1),
        .words = std::move(words),
        .hint = std::move(hint),
    };
    errors_ += (errors_.empty() ? "" : "\n") + diagnostic.message();
}

void Reader::unknown_key(
    const toml::key& key, std::string_view table, std::span<const std::string_view> known
) {
    error(
        key.source(),
        std::format(
            "unknown key {}{}",
            in_quotes(key.str()),
            table.empty() ? "" : std::format(" in [{}]", table)
        ),
        choices(key.str(), known)
    );
}

void Reader::wrong_type(const toml::node& node, std::string_view key, std::string_view wanted) {
    std::string_view is = "something else";
    switch (node.type()) {
    case toml::node_type::table:
        is = "a table";
        break;
    case toml::node_type::array:
        is = "an array";
        break;
    case toml::node_type::string:
        is = "a string";
        break;
    case toml::node_type::boolean:
        is = "a boolean";
        break;
    case toml::node_type::integer:
    case toml::node_type::floating_point:
        is = "a number";
        break;
    default:
        break;
    }
    error(node.source(), std::format("{} is {} where {} should be", key, is, wanted));
}

void Reader::sub_table(const toml::node& node, std::string_view key, Table visit) {
    if (const toml::table* table = node.as_table()) {
        (this->*visit)(*table);
    } else {
        wrong_type(node, key, "a table");
    }
}

std::optional<std::string> Reader::string(const toml::node& node, std::string_view key) {
    if (const auto* value = node.as_string()) {
        return value->get();
    }
    wrong_type(node, key, "a string");
    return std::nullopt;
}

std::optional<AttachMode> Reader::mode(const toml::node& node, std::string_view key) {
    const auto name = string(node, key);
    if (!name) {
        return std::nullopt;
    }
    const auto value = packet::attach_mode_from(*name);
    if (!value) {
        error(node.source(), in_quotes(*name) + " is no mode", choices(*name, modes));
        return std::nullopt;
    }
    return *value;
}

void Reader::top(const toml::table& table) {
    for (const auto& [key, node] : table) {
        if (key == "log") {
            sub_table(node, "log", &Reader::log_table);
        } else if (key == "packet") {
            sub_table(node, "packet", &Reader::packet_table);
        } else {
            unknown_key(key, "", top_keys);
        }
    }
}

void Reader::log_table(const toml::table& table) {
    for (const auto& [key, node] : table) {
        if (key != "level") {
            unknown_key(key, "log", log_keys);
        } else if (const auto name = string(node, "log.level")) {
            const auto level = log::level_from(*name);
            if (level) {
                config_.log_level = *level;
            } else {
                error(node.source(), in_quotes(*name) + " is no log level", choices(*name, levels));
            }
        }
    }
}

void Reader::packet_table(const toml::table& table) {
    for (const auto& [key, node] : table) {
        if (key == "default_mode") {
            config_.default_mode = mode(node, "packet.default_mode").value_or(config_.default_mode);
        } else if (key == "alerts") {
            sub_table(node, "packet.alerts", &Reader::alerts);
        } else if (key == "flows") {
            sub_table(node, "packet.flows", &Reader::flows);
        } else if (key == "interfaces") {
            sub_table(node, "packet.interfaces", &Reader::interfaces);
        } else {
            unknown_key(key, "packet", packet_keys);
        }
    }
}

template <class Option, std::size_t count>
const Option* Reader::find_option(
    const toml::key& key, std::string_view table, const std::array<Option, count>& options
) {
    const auto known = std::ranges::find(options, key.str(), &Option::name);
    if (known != options.end()) {
        return &*known;
    }
    std::array<std::string_view, count> names{};
    std::ranges::transform(options, names.begin(), &Option::name);
    unknown_key(key, table, names);
    return nullptr;
}

void Reader::alerts(const toml::table& table) {
    for (const auto& [key, node] : table) {
        const auto* known =
            find_option(key, "packet.alerts", packet::analysis::detector_option_list);
        if (known == nullptr) {
            continue;
        }
        const auto value = node.value<double>();
        if (!node.is_number() || !value) {
            wrong_type(node, std::format("packet.alerts.{}", known->name), "a number");
        } else if (!(*value >= known->min && *value <= known->max)) {
            error(
                node.source(),
                std::format("{} is out of range", known->name),
                std::format("from {} to {}", known->min, known->max)
            );
        } else {
            config_.alerts.*(known->value) = *value;
        }
    }
}

void Reader::flows(const toml::table& table) {
    for (const auto& [key, node] : table) {
        const auto* known = find_option(key, "packet.flows", packet::analysis::flow_option_list);
        if (known == nullptr) {
            continue;
        }
        const auto value = node.value<std::int64_t>();
        if (!node.is_integer() || !value) {
            wrong_type(node, std::format("packet.flows.{}", known->name), "a whole number");
        } else if (*value < known->min || *value > known->max) {
            error(
                node.source(),
                std::format("{} is out of range", known->name),
                std::format("from {} to {}", known->min, known->max)
            );
        } else {
            config_.flows.*(known->value) = static_cast<std::uint32_t>(*value);
            flows_given_[known->name] = {.file = file_, .where = node.source()};
        }
    }
}

/// What only all files together can say.
void Reader::check_flows() {
    packet::analysis::FlowOptions& flows = config_.flows;
    const auto complain = [this](std::string_view first, std::string_view second, auto... words) {
        const auto given = flows_given_.find(first);
        const GivenOption& last =
            given == flows_given_.end() ? flows_given_.at(second) : given->second;
        file_ = last.file;
        error(last.where, std::move(words)...);
    };
    if (!flows_given_.contains("unanswered_max")) {
        flows.unanswered_max = flows.flows_max / 2;
    }
    if (flows.unanswered_max > flows.flows_max) {
        complain(
            "unanswered_max",
            "flows_max",
            std::format("unanswered_max is more than the {} of flows_max", flows.flows_max),
            std::string("half of flows_max leaves room for flows that are answered")
        );
    }
    if (flows.half_open_in_flood_seconds > flows.half_open_seconds) {
        complain(
            "half_open_in_flood_seconds",
            "half_open_seconds",
            std::format(
                "half_open_in_flood_seconds is more than the {} of half_open_seconds",
                flows.half_open_seconds
            ),
            std::string("a flood asks for less time, not for more")
        );
    }
}

void Reader::interfaces(const toml::table& table) {
    for (const auto& [key, node] : table) {
        const std::string name(key.str());
        if (!packet::is_interface_name(name)) {
            error(
                key.source(),
                in_quotes(name) + " is no name of an interface",
                name.contains('.') ? "" : "1 to 15 bytes without white space, / and :"
            );
            continue;
        }
        const toml::table* interface = node.as_table();
        if (interface == nullptr) {
            const std::string path = "packet.interfaces." + printable(name);
            wrong_type(node, path, "a table");
            continue;
        }
        if (!interfaces_.contains(name) &&
            interfaces_.size() == limits::configured_interfaces_max) {
            error(
                key.source(),
                std::format("more than {} interfaces", limits::configured_interfaces_max)
            );
            return;
        }
        one_interface(name, *interface);
    }
}

void Reader::one_interface(const std::string& name, const toml::table& table) {
    InterfaceDraft& draft = interfaces_[name];
    for (const auto& [key, node] : table) {
        if (key == "mode") {
            if (const auto value = mode(node, "mode")) {
                draft.mode = value;
            }
        } else if (key == "rules") {
            rules(node, draft);
        } else if (key == "analyse_every") {
            analyse_every(node, draft);
        } else {
            // `[packet.interfaces.eth0.100]` is TOML for table 100 of eth0.
            const bool nested = node.is_table();
            const std::string whole = name + "." + std::string(key.str());
            if (nested && packet::is_interface_name(whole)) {
                error(
                    key.source(),
                    std::format(
                        "unknown key {} in [packet.interfaces.{}]",
                        in_quotes(key.str()),
                        printable(name)
                    ),
                    std::format(
                        "an interface's name with a dot goes in quotes: \"{}\"", printable(whole)
                    )
                );
            } else {
                unknown_key(key, "packet.interfaces." + printable(name), interface_keys);
            }
        }
    }
}

void Reader::analyse_every(const toml::node& node, InterfaceDraft& draft) {
    const auto value = node.value<std::int64_t>();
    if (!node.is_integer() || !value) {
        wrong_type(node, "analyse_every", "a whole number");
    } else if (*value < 0 || *value > packet::limits::sample_every_max) {
        error(
            node.source(),
            "analyse_every is out of range",
            std::format("from 0 to {}", packet::limits::sample_every_max)
        );
    } else {
        draft.analyse_every = static_cast<std::uint32_t>(*value);
    }
}

void Reader::rules(const toml::node& node, InterfaceDraft& draft) {
    const auto path = string(node, "rules");
    if (!path) {
        return;
    }
    const bool nul = path->contains('\0');
    if (!path->starts_with('/') || nul || path->size() > packet::limits::path_bytes_max) {
        error(
            node.source(),
            in_quotes(*path) + " is no absolute path",
            nul || path->starts_with('/') ? "" : "start it with /"
        );
        return;
    }
    draft.rules = *path;
}

void Reader::read(const ConfigText& text) {
    file_ = printable(text.name);
    try {
        top(toml::parse(text.text, text.name));
    } catch (const toml::parse_error& wrong) {
        error(wrong.source(), syntax_words(wrong));
    }
}

Outcome<Config> Reader::finish() {
    check_flows();
    if (error_count_ > 0) {
        return fail(ConfigError::invalid_config, std::move(errors_));
    }
    for (auto& [name, draft] : interfaces_) {
        config_.interfaces.push_back({
            .name = name,
            .mode = draft.mode.value_or(config_.default_mode),
            .rules = std::move(draft.rules),
            .analyse_every = draft.analyse_every,
        });
    }
    return std::move(config_);
}

Outcome<ConfigText> read_text(const std::string& path) {
    auto text = packet::read_regular_file(path);
    if (!text) {
        const Fault& fault = text.error();
        return fail(fault.error, fault.message());
    }
    if (text->size() > limits::config_bytes_max) {
        return fail(
            ConfigError::invalid_config,
            std::format("{} is over {} bytes", path, limits::config_bytes_max)
        );
    }
    return ConfigText{.name = path, .text = *std::move(text)};
}

/// The paths of the drop-ins in order. A directory that is not there has none.
Outcome<std::vector<std::string>> drop_ins_of(const std::string& file) {
    const std::string directory = file + ".d";
    std::error_code failed;
    std::vector<std::string> paths;
    for (auto entry = std::filesystem::directory_iterator(directory, failed);
         !failed && entry != std::filesystem::directory_iterator();
         entry.increment(failed)) {
        const std::string name = entry->path().filename();
        if (name.ends_with(".toml") && !name.starts_with('.')) {
            paths.push_back(entry->path());
        }
    }
    if (failed && failed.value() != ENOENT) {
        return fail(
            ConfigError::invalid_config,
            std::format("cannot list {}: {}", directory, failed.message())
        );
    }
    if (paths.size() > limits::drop_ins_max) {
        return fail(
            ConfigError::invalid_config,
            std::format("{} has more than {} files", directory, limits::drop_ins_max)
        );
    }
    std::ranges::sort(paths);
    return paths;
}

} // namespace

constinit const ErrorDomain config_errors{.name = "config", .entries = entries};

const std::string_view default_config_text = R"(# zsyncd.toml(5) explains every key.

[log]
# error, warning, notice, info or debug
level = "info"

[packet]
# How interfaces are attached that name no mode: auto, native or generic
default_mode = "auto"

# What the traffic analysis takes for an attack:
# [packet.alerts]
# port_scan_ports = 20

# How many flows of an interface are counted, and how long they stay without a packet:
# [packet.flows]
# flows_max = 65536

# Interfaces to attach at start, each with a table of its own:
# [packet.interfaces.eth0]
# mode = "auto"
# rules = "/etc/zsync/eth0.rules"
)";

Outcome<Config> parse_config(const std::vector<ConfigText>& texts) {
    Reader reader;
    for (const ConfigText& text : texts) {
        reader.read(text);
    }
    return reader.finish();
}

Outcome<Config> load_config(const std::string& file, MissingFile missing) {
    std::vector<ConfigText> texts;
    auto main = read_text(file);
    if (main) {
        texts.push_back(*std::move(main));
    } else if (main.error().error.os_error() == ENOENT && missing == MissingFile::use_default) {
        texts.push_back({.name = "default configuration", .text = std::string(default_config_text)}
        );
    } else {
        return fail(ConfigError::invalid_config, main.error().message());
    }
    for (const std::string& path : ZTRY(drop_ins_of(file))) {
        auto text = read_text(path);
        if (!text) {
            return fail(ConfigError::invalid_config, text.error().message());
        }
        texts.push_back(*std::move(text));
    }
    return parse_config(texts);
}

} // namespace zsync::zsyncd
