#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <unistd.h>
#include <zsyncd/config.hpp>

using namespace zsync;
using namespace zsync::zsyncd;
using packet::AttachMode;

namespace {

Outcome<Config> parse(std::string_view text) {
    return parse_config({{.name = "c", .text = std::string(text)}});
}

std::string errors_of(std::string_view text) {
    const auto config = parse(text);
    return config ? "" : config.error().message();
}

struct Case {
    std::string_view text;
    std::string_view message;
};

class Directory {
public:
    Directory() {
        std::string pattern = std::filesystem::temp_directory_path() /
                              std::format("zsync-config-{}-XXXXXX", ::getpid());
        path_ = ::mkdtemp(pattern.data());
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::string file(std::string_view name) const {
        return path_ + "/" + std::string(name);
    }
    void write(std::string_view name, std::string_view text) const {
        std::filesystem::create_directories(std::filesystem::path(file(name)).parent_path());
        std::ofstream(file(name), std::ios::binary) << text;
    }

private:
    std::string path_;
};

} // namespace

TEST(Config, embedded_default_says_what_holds_without_a_file) {
    EXPECT_EQ(parse(default_config_text).value(), Config{});
    EXPECT_EQ(load_config("/no/such/zsyncd.toml", MissingFile::use_default).value(), Config{});
}

TEST(Config, every_threshold_of_alerts_is_a_key_within_its_range) {
    using packet::analysis::detector_option_list;
    for (const packet::analysis::DetectorOption& option : detector_option_list) {
        const auto text_of = [&option](double value) {
            return std::format("[packet.alerts]\n{} = {:f}\n", option.name, value);
        };
        for (const double value : {option.min, option.max}) {
            const auto config = parse(text_of(value));
            ASSERT_TRUE(config) << config.error().message();
            EXPECT_EQ(config->alerts.*(option.value), value) << option.name;
        }
        for (const double value : {option.min - 1, option.max * 2}) {
            EXPECT_TRUE(errors_of(text_of(value)).contains("is out of range; hint: from "))
                << option.name;
        }
        EXPECT_TRUE(errors_of(std::format("[packet.alerts]\n{} = true\n", option.name))
                        .contains("is a boolean where a number should be"));
    }
    EXPECT_TRUE(
        errors_of("[packet.alerts]\nport_scan_port = 1\n").contains("did you mean port_scan_ports")
    );
}

TEST(Config, every_limit_and_time_of_flows_is_a_key_within_its_range) {
    using packet::analysis::flow_option_list;
    for (const packet::analysis::FlowOption& option : flow_option_list) {
        // What is asked of two options together is the next test's.
        const auto text_of = [&option](std::int64_t value) {
            std::string text = std::format("[packet.flows]\n{} = {}\n", option.name, value);
            if (option.name == "unanswered_max") {
                text += std::format("flows_max = {}\n", packet::analysis::limits::flows_max);
            } else if (option.name == "half_open_in_flood_seconds") {
                text += std::format("half_open_seconds = {}\n", option.max);
            }
            return text;
        };
        for (const std::uint32_t value : {option.min, option.max}) {
            const auto config = parse(text_of(value));
            ASSERT_TRUE(config) << config.error().message();
            EXPECT_EQ(config->flows.*(option.value), value) << option.name;
        }
        for (const std::int64_t value :
             {option.min - std::int64_t{1}, option.max + std::int64_t{1}}) {
            EXPECT_TRUE(errors_of(text_of(value))
                            .contains(std::format(
                                "c:2:{}: error: {} is out of range; hint: from {} to {}",
                                option.name.size() + 4,
                                option.name,
                                option.min,
                                option.max
                            ))
            ) << errors_of(text_of(value));
        }
        EXPECT_TRUE(errors_of(std::format("[packet.flows]\n{} = 1.5\n", option.name))
                        .contains("is a number where a whole number should be"));
    }
    EXPECT_TRUE(errors_of("[packet.flows]\nudp_second = 1\n").contains("did you mean udp_seconds"));
}

TEST(Config, limits_and_times_of_flows_fit_each_other_over_all_files) {
    EXPECT_EQ(parse("[packet.flows]\nflows_max = 4096\n")->flows.unanswered_max, 2048U);
    EXPECT_EQ(
        errors_of("[packet.flows]\nflows_max = 4096\nunanswered_max = 4097\n"),
        "c:3:18: error: unanswered_max is more than the 4096 of flows_max; hint: half of flows_max "
        "leaves room for flows that are answered"
    );
    EXPECT_TRUE(parse("[packet.flows]\nflows_max = 4096\nunanswered_max = 4096\n"));
    EXPECT_TRUE(errors_of("[packet.flows]\nhalf_open_seconds = 2\nhalf_open_in_flood_seconds = 3\n")
                    .starts_with("c:3:30: error: half_open_in_flood_seconds is more than the 2"));
    const auto config = parse_config({
        {.name = "a", .text = "[packet.flows]\nflows_max = 100000\nunanswered_max = 90000\n"},
        {.name = "b", .text = "[packet.flows]\nflows_max = 80000\n"},
    });
    ASSERT_FALSE(config);
    EXPECT_TRUE(config.error().message().starts_with("a:3:18: error: unanswered_max is more"));
}

TEST(Config, an_interface_may_be_analysed_in_part) {
    const auto config = parse("[packet.interfaces.eth0]\nanalyse_every = 100\n");
    ASSERT_TRUE(config);
    EXPECT_EQ(config->interfaces.at(0).analyse_every, 100U);
    for (const std::string_view value : {"-1", "1048577"}) {
        EXPECT_TRUE(errors_of(std::format("[packet.interfaces.eth0]\nanalyse_every = {}\n", value))
                        .contains("analyse_every is out of range; hint: from 0 to 1048576"));
    }
    EXPECT_TRUE(errors_of("[packet.interfaces.eth0]\nanalyse_every = 0.5\n")
                    .contains("where a whole number should be"));
}

TEST(Config, a_named_file_that_is_missing_is_an_error) {
    const auto config = load_config("/no/such/zsyncd.toml", MissingFile::refuse);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().error, ConfigError::invalid_config);
    EXPECT_EQ(
        config.error().message(), "cannot read /no/such/zsyncd.toml: No such file or directory"
    );
}

TEST(Config, every_key_is_read) {
    const Config config = parse(R"(
[log]
level = "debug"
[packet]
default_mode = "generic"
[packet.interfaces.wan0]
rules = "/etc/zsync/wan0.rules"
[packet.interfaces."eth0.100"]
mode = "native"
)")
                              .value();
    EXPECT_EQ(config.log_level, log::Level::debug);
    EXPECT_EQ(config.default_mode, AttachMode::generic);
    const std::vector<Config::Interface> interfaces{
        {.name = "eth0.100", .mode = AttachMode::native, .rules = ""},
        {.name = "wan0", .mode = AttachMode::generic, .rules = "/etc/zsync/wan0.rules"},
    };
    EXPECT_EQ(config.interfaces, interfaces);
}

TEST(Config, errors_say_where_and_what_to_write) {
    constexpr std::array cases{
        Case{"[logs]\n", "c:1:2: error: unknown key 'logs'; hint: did you mean log"},
        Case{"x = 1\n", "c:1:1: error: unknown key 'x'; hint: one of log, packet"},
        Case{"log = 3", "c:1:7: error: log is a number where a table should be"},
        Case{
            "[log]\nlevle = \"info\"",
            "c:2:1: error: unknown key 'levle' in [log]; hint: did you mean level"
        },
        Case{
            "[log]\nlevel = true", "c:2:9: error: log.level is a boolean where a string should be"
        },
        Case{
            "[log]\nlevel = \"inof\"",
            "c:2:9: error: 'inof' is no log level; hint: did you mean info"
        },
        Case{
            "[log]\nlevel = \"loud\"",
            "c:2:9: error: 'loud' is no log level; hint: one of error, warning, notice, info, "
            "debug"
        },
        Case{"packet = []", "c:1:10: error: packet is an array where a table should be"},
        Case{
            "[packet]\nmode = \"auto\"",
            "c:2:1: error: unknown key 'mode' in [packet]; hint: one of alerts, default_mode, "
            "flows, interfaces"
        },
        Case{
            "[packet]\ndefault_mode = \"nativ\"",
            "c:2:16: error: 'nativ' is no mode; hint: did you mean native"
        },
        Case{
            "[packet]\ndefault_mode = 1979-05-27",
            "c:2:16: error: packet.default_mode is something else where a string should be"
        },
        Case{
            "[packet]\ninterfaces = \"eth0\"",
            "c:2:14: error: packet.interfaces is a string where a table should be"
        },
        Case{
            "[packet.interfaces]\neth0 = 1",
            "c:2:8: error: packet.interfaces.eth0 is a number where a table should be"
        },
        Case{
            "[packet.interfaces.\"a b\"]",
            "c:1:20: error: 'a b' is no name of an interface; hint: 1 to 15 bytes without white "
            "space, / and :"
        },
        Case{
            "[packet.interfaces.eth0.100]\nmode = \"auto\"",
            "c:1:25: error: unknown key '100' in [packet.interfaces.eth0]; hint: an interface's "
            "name with a dot goes in quotes: \"eth0.100\""
        },
        Case{
            "[packet.interfaces.eth0]\nrule = \"/x\"",
            "c:2:1: error: unknown key 'rule' in [packet.interfaces.eth0]; hint: did you mean "
            "rules"
        },
        Case{
            "[packet.interfaces.eth0]\nrules = \"x\"",
            "c:2:9: error: 'x' is no absolute path; hint: start it with /"
        },
        Case{
            "[packet.interfaces.eth0]\nrules = \"/a\\u0000b\"",
            "c:2:9: error: '/a\\x00b' is no absolute path"
        },
        Case{
            "[packet.interfaces.eth0]\nrules = 1.5",
            "c:2:9: error: rules is a number where a string should be"
        },
        Case{
            "[packet.interfaces.eth0]\nmode = \"fast\"",
            "c:2:8: error: 'fast' is no mode; hint: one of auto, native, generic"
        },
        Case{
            "[log]\nlevel = 1\n[packet]\ndefault_mode = 2\n",
            "c:2:9: error: log.level is a number where a string should be\n"
            "c:4:16: error: packet.default_mode is a number where a string should be"
        },
    };
    for (const Case& bad : cases) {
        EXPECT_EQ(errors_of(bad.text), bad.message) << bad.text;
    }
}

TEST(Config, broken_toml_says_where) {
    for (const auto& [text, place] : std::to_array<std::array<std::string_view, 2>>({
             {"[log\n", "c:1:5: error: no TOML: "},
             {"[log]\nlevel = \n", "c:2:9: error: no TOML: "},
             {"[log]\nlevel = \"info\"\nlevel = \"info\"\n", "c:3:9: error: no TOML: "},
             {"\xff", "c:1:1: error: no TOML: "},
         })) {
        EXPECT_TRUE(errors_of(text).starts_with(place)) << errors_of(text);
        EXPECT_FALSE(errors_of(text).contains('\n')) << errors_of(text);
    }
    EXPECT_NE(errors_of(std::string_view("[log]\0", 6)), "");
    EXPECT_NE(errors_of("a = " + std::string(100'000, '[')), "");
    EXPECT_NE(errors_of(std::string(100'000, 'a') + " ="), "");
}

TEST(Config, drop_ins_come_later_in_the_order_of_their_names) {
    const Directory directory;
    const std::string file = directory.file("zsyncd.toml");
    directory.write(
        "zsyncd.toml", "[log]\nlevel = \"error\"\n[packet.interfaces.a]\nmode = \"native\"\n"
    );
    directory.write("zsyncd.toml.d/20-b.toml", "[log]\nlevel = \"debug\"\n");
    directory.write(
        "zsyncd.toml.d/10-a.toml",
        "[log]\nlevel = \"notice\"\n[packet.interfaces.a]\nrules = \"/a\"\n"
    );
    directory.write("zsyncd.toml.d/30-c.toml.bak", "no toml");
    directory.write("zsyncd.toml.d/.hidden.toml", "no toml");
    const Config config = load_config(file, MissingFile::refuse).value();
    EXPECT_EQ(config.log_level, log::Level::debug);
    ASSERT_EQ(config.interfaces.size(), 1U);
    EXPECT_EQ(config.interfaces[0].mode, AttachMode::native);
    EXPECT_EQ(config.interfaces[0].rules, "/a");
}

TEST(Config, drop_ins_hold_without_a_main_file_too) {
    const Directory directory;
    directory.write("zsyncd.toml.d/a.toml", "[packet]\ndefault_mode = \"generic\"\n");
    const Config config =
        load_config(directory.file("zsyncd.toml"), MissingFile::use_default).value();
    EXPECT_EQ(config.default_mode, AttachMode::generic);
}

TEST(Config, errors_name_the_drop_in) {
    const Directory directory;
    directory.write("zsyncd.toml", "[log]\nlevel = 1\n");
    directory.write("zsyncd.toml.d/a.toml", "\n[lgo]\n");
    const auto config = load_config(directory.file("zsyncd.toml"), MissingFile::refuse);
    ASSERT_FALSE(config);
    EXPECT_EQ(
        config.error().message(),
        directory.file("zsyncd.toml") +
            ":2:9: error: log.level is a number where a string should be\n" +
            directory.file("zsyncd.toml.d/a.toml") +
            ":2:2: error: unknown key 'lgo'; hint: did you mean log"
    );
}

TEST(Config, what_is_no_file_is_refused_without_waiting) {
    const Directory directory;
    ASSERT_EQ(::mkfifo(directory.file("fifo").c_str(), 0600), 0);
    for (const std::string& path : {directory.file("fifo"), directory.file("")}) {
        const auto config = load_config(path, MissingFile::use_default);
        ASSERT_FALSE(config);
        EXPECT_TRUE(config.error().message().starts_with("cannot read " + path))
            << config.error().message();
    }
    directory.write("zsyncd.toml.d", "a file in the directory's place");
    const auto config = load_config(directory.file("zsyncd.toml"), MissingFile::use_default);
    ASSERT_FALSE(config);
    EXPECT_TRUE(config.error().message().ends_with("zsyncd.toml.d: Not a directory"));
}

TEST(Config, limits) {
    const Directory directory;
    const std::string file = directory.file("zsyncd.toml");
    directory.write("zsyncd.toml", std::string(limits::config_bytes_max, '\n'));
    EXPECT_TRUE(load_config(file, MissingFile::refuse));
    directory.write("zsyncd.toml", std::string(limits::config_bytes_max + 1, '\n'));
    EXPECT_EQ(
        load_config(file, MissingFile::refuse).error().message(),
        std::format("{} is over {} bytes", file, limits::config_bytes_max)
    );
    directory.write("zsyncd.toml", "");
    for (std::size_t i = 0; i < limits::drop_ins_max; ++i) {
        directory.write(std::format("zsyncd.toml.d/{}.toml", i), "");
    }
    EXPECT_TRUE(load_config(file, MissingFile::refuse));
    directory.write("zsyncd.toml.d/over.toml", "");
    EXPECT_EQ(
        load_config(file, MissingFile::refuse).error().message(),
        std::format("{}.d has more than {} files", file, limits::drop_ins_max)
    );

    std::string interfaces;
    for (std::size_t i = 0; i < limits::configured_interfaces_max; ++i) {
        interfaces += std::format("[packet.interfaces.e{}]\n", i);
    }
    EXPECT_EQ(errors_of(interfaces), "");
    EXPECT_TRUE(
        errors_of(interfaces + "[packet.interfaces.over]\n")
            .contains(std::format("more than {} interfaces", limits::configured_interfaces_max))
    );

    std::string errors;
    for (std::size_t i = 0; i < limits::config_errors_max; ++i) {
        errors += std::format("x{} = 1\n", i);
    }
    EXPECT_FALSE(errors_of(errors).contains("and more"));
    EXPECT_TRUE(errors_of(errors + "y = 1\nz = 1\n")
                    .ends_with("\nc: error: and more: only the first 20 errors are shown"));
}
