#include <zsync/core/text.hpp>
#include <zsync/packet/desired.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>

#include <algorithm>
#include <charconv>
#include <format>
#include <optional>
#include <set>

namespace zsync::packet {
namespace {

constexpr std::string_view first_line = "zsync-packet 1";
constexpr std::string_view temporary_key = "temporary";
constexpr std::string_view forwards_first_line = "zsync-forwards 1";
constexpr std::string_view forward_key = "forward";
constexpr std::string_view rewrite_word = " rewrite";

bool is_plain(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
}

template <class IsPlain> std::string escape(std::string_view text, IsPlain is_plain_byte) {
    std::string out;
    for (const char c : text) {
        if (is_plain_byte(c)) {
            out += c;
        } else {
            out += std::format("%{:02X}", static_cast<std::uint8_t>(c));
        }
    }
    return out;
}

std::string escape_value(std::string_view text) {
    return escape(text, [](char c) { return c >= ' ' && c < '\x7f' && c != '%'; });
}

std::optional<std::string> unescape_value(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const std::string_view digits = text.substr(i + 1, 2);
        unsigned byte = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
        if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
            return std::nullopt;
        }
        out += static_cast<char>(byte);
        i += 2;
    }
    // One way to write a value: what is escaped without need was not written here.
    return escape_value(out) == text ? std::optional(out) : std::nullopt;
}

std::optional<std::uint64_t> time_of(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole && std::to_string(value) == text ? std::optional(value) : std::nullopt;
}

/// `temporary EXPIRY RULE`, the rule in its canonical form.
std::optional<TemporaryRule> temporary_of(std::string_view line) {
    if (!line.starts_with(temporary_key) || line.substr(temporary_key.size(), 1) != " ") {
        return std::nullopt;
    }
    line.remove_prefix(temporary_key.size() + 1);
    const std::size_t space = std::min(line.find(' '), line.size() - 1);
    const auto expires = time_of(line.substr(0, space));
    auto text = unescape_value(line.substr(space + 1));
    const auto canonical = text ? canonical_rule(*text) : Outcome<std::string>(std::string());
    if (!expires || !text || !canonical || *canonical != *text) {
        return std::nullopt;
    }
    return TemporaryRule{.text = *std::move(text), .expires_realtime_us = *expires};
}

/// `A B` or `A B rewrite`.
std::optional<DesiredForward> forward_of(std::string_view line) {
    DesiredForward forward;
    if (line.ends_with(rewrite_word) && line.find(' ') != line.rfind(' ')) {
        forward.rewrite_addresses = true;
        line.remove_suffix(rewrite_word.size());
    }
    const std::size_t space = std::min(line.find(' '), line.size());
    auto first = unescape_value(line.substr(0, space));
    auto second = unescape_value(line.substr(std::min(space + 1, line.size())));
    if (!first || !second || !is_interface_name(*first) || !is_interface_name(*second)) {
        return std::nullopt;
    }
    forward.ports = {*std::move(first), *std::move(second)};
    return forward;
}

class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}

    Outcome<std::string_view> line() {
        ++line_;
        const std::size_t end = rest_.find('\n');
        if (end == std::string_view::npos) {
            return wrong("the text ends");
        }
        const std::string_view line = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return line;
    }

    Outcome<std::string> value(std::string_view key) {
        const std::string_view text = ZTRY(line());
        if (!text.starts_with(key) || text.substr(key.size(), 1) != " ") {
            return wrong(std::format("no {}", key));
        }
        auto value = unescape_value(text.substr(key.size() + 1));
        if (!value) {
            return wrong(std::format("a damaged {}", key));
        }
        return *std::move(value);
    }

    [[nodiscard]] bool at_end() const { return rest_.empty(); }

    [[nodiscard]] std::unexpected<Fault> wrong(std::string_view what) const {
        return fail(
            PacketError::invalid_desired_state,
            std::format("line {} of the saved packet filter state has {}", line_, what)
        );
    }

    [[nodiscard]] std::string_view rest() const { return rest_; }

private:
    std::string_view rest_;
    int line_ = 0;
};

} // namespace

std::string encode(const DesiredInterface& desired) {
    std::string text = std::format(
        "{}\ninterface {}\nmode {}\nsource {}\nloaded {}\n",
        first_line,
        escape_value(desired.name),
        name_of(desired.mode),
        escape_value(desired.source),
        desired.load_realtime_us
    );
    for (const TemporaryRule& rule : desired.temporary) {
        text += std::format(
            "{} {} {}\n", temporary_key, rule.expires_realtime_us, escape_value(rule.text)
        );
    }
    return text + '\n' + desired.rules;
}

Outcome<DesiredInterface> decode(std::string_view text) {
    Reader reader(text);
    if (ZTRY(reader.line()) != first_line) {
        return reader.wrong("an unknown format");
    }
    DesiredInterface desired;
    desired.name = ZTRY(reader.value("interface"));
    if (!is_interface_name(desired.name)) {
        return reader.wrong("a name that is no interface's");
    }
    const auto mode = attach_mode_from(ZTRY(reader.value("mode")));
    if (!mode) {
        return reader.wrong("an unknown mode");
    }
    desired.mode = *mode;
    desired.source = ZTRY(reader.value("source"));
    const auto load_time = time_of(ZTRY(reader.value("loaded")));
    if (!load_time) {
        return reader.wrong("a time that is no number");
    }
    desired.load_realtime_us = *load_time;
    std::string_view line = ZTRY(reader.line());
    for (; !line.empty(); line = ZTRY(reader.line())) {
        auto rule = temporary_of(line);
        if (!rule || desired.temporary.size() == limits::temporary_rules_max) {
            return reader.wrong("something before the rules");
        }
        desired.temporary.push_back(*std::move(rule));
    }
    if (reader.rest().size() > limits::file_bytes_max) {
        return reader.wrong(std::format("over {} bytes of rules behind it", limits::file_bytes_max)
        );
    }
    desired.rules = reader.rest();
    return desired;
}

std::string encode_forwards(const std::vector<DesiredForward>& forwards) {
    std::string text = std::format("{}\n", forwards_first_line);
    for (const DesiredForward& forward : forwards) {
        text += std::format(
            "{} {} {}{}\n",
            forward_key,
            escape_value(forward.ports[0]),
            escape_value(forward.ports[1]),
            forward.rewrite_addresses ? rewrite_word : std::string_view()
        );
    }
    return text;
}

Outcome<std::vector<DesiredForward>> decode_forwards(std::string_view text) {
    Reader reader(text);
    if (ZTRY(reader.line()) != forwards_first_line) {
        return reader.wrong("an unknown format");
    }
    std::vector<DesiredForward> forwards;
    std::set<std::string> ports;
    while (!reader.at_end()) {
        const std::string_view line = ZTRY(reader.line());
        auto forward = line.starts_with(forward_key) && line.substr(forward_key.size(), 1) == " "
                           ? forward_of(line.substr(forward_key.size() + 1))
                           : std::nullopt;
        if (!forward) {
            return reader.wrong("something that is no pair of interfaces");
        }
        for (const std::string& port : forward->ports) {
            if (!ports.insert(port).second) {
                return reader.wrong(std::format("{} for the second time", port));
            }
        }
        if (forwards.size() == limits::forwards_max) {
            return reader.wrong(std::format("more than {} pairs", limits::forwards_max));
        }
        forwards.push_back(*std::move(forward));
    }
    return forwards;
}

std::string document_name(std::string_view interface_name) {
    return "packet." + escape(interface_name, is_plain);
}

} // namespace zsync::packet
