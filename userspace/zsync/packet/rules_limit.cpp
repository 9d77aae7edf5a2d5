// A rule's limit: `limit 1000/s burst 100 by source/24 sliding`.
#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/rules_parser.hpp>
#include <zsync/packet/rules_quantity.hpp>

#include <algorithm>
#include <array>
#include <format>
#include <utility>

namespace zsync::packet {
namespace {

constexpr std::array byte_units{
    Unit{.word = "mb", .value = 1'000'000},
    Unit{.word = "kb", .value = 1000},
    Unit{.word = "b", .value = 1}
};
constexpr std::array period_units{
    Unit{.word = "/d", .value = 86'400},
    Unit{.word = "/h", .value = 3600},
    Unit{.word = "/m", .value = 60},
    Unit{.word = "/s", .value = 1}
};
constexpr std::array<std::string_view, 3> algorithm_words{"gcra", "token", "sliding"};
constexpr std::array<std::string_view, 7> key_words{
    "rule", "source", "destination", "dport", "flow", "cgroup", "interface"
};
constexpr std::array<std::string_view, 3> signal_words{"drops", "cpu", "queue"};
constexpr std::string_view signal_hint = "on drops, on cpu PERCENT or on queue PACKETS";
constexpr std::string_view rate_hint =
    "N/s, N/m, N/h or N/d for packets, Nkbit, Nmbit or Ngbit for bits a second";

/// Nothing when it is no rate.
std::optional<Limit> rate_of(std::string_view text) {
    const auto quantity = quantity_of(text);
    if (!quantity || quantity->number == 0) {
        return std::nullopt;
    }
    Limit limit;
    if (const Unit* period = unit_of(period_units, quantity->unit)) {
        limit.rate = quantity->number;
        limit.period_s = static_cast<std::uint32_t>(period->value);
        return limit.rate <= limits::limit_packets_max ? std::optional(limit) : std::nullopt;
    }
    const Unit* bits = unit_of(bit_units, quantity->unit);
    if (bits == nullptr || quantity->number > limits::limit_bits_max / bits->value ||
        quantity->number * bits->value < limits::limit_bits_min) {
        return std::nullopt;
    }
    limit.in_bits = true;
    limit.rate = quantity->number * bits->value;
    return limit;
}

/// A tenth of a second's worth, and no less than makes a burst at all.
std::uint64_t usual_burst(const Limit& limit) {
    if (limit.algorithm == LimitAlgorithm::sliding) {
        return 0;
    }
    if (limit.in_bits) {
        return std::clamp<std::uint64_t>(limit.rate / 80, 64'000, limits::limit_burst_max);
    }
    return std::max<std::uint64_t>(limit.rate / limit.period_s / 10, 5);
}

bool is_by_address(const Limit& limit) { return limit.by_source || limit.by_destination; }

/// What is wrong with the limit as a whole; empty when nothing is.
std::string fault_of(const Limit& limit) {
    if (limit.algorithm == LimitAlgorithm::sliding) {
        const std::uint64_t window = limit.in_bits ? limit.rate / 8 : limit.rate;
        return window <= limits::limit_window_max
                   ? ""
                   : std::format(
                         "a sliding window counts at most {} packets or bytes, not {}: use gcra",
                         limits::limit_window_max,
                         window
                     );
    }
    const std::uint64_t rate = limit.in_bits ? limit.rate / 8 : limit.rate;
    const std::uint64_t seconds = limit.burst / rate * limit.period_s;
    return seconds <= limits::limit_fill_days_max * 86'400
               ? ""
               : std::format(
                     "that burst takes longer than {} days to fill", limits::limit_fill_days_max
                 );
}

} // namespace

bool Parser::limit(RuleDraft& draft, const Token& word) {
    const Token rate = next();
    std::optional<Limit> limit;
    if (rate.kind == TokenKind::word) {
        limit = rate_of(lower(rate.text));
    }
    if (!limit) {
        return fail_expected(rate, "a rate", std::string(rate_hint));
    }
    for (bool known = true; known;) {
        const Token part = next();
        if (!limit_part(*limit, part, known)) {
            return false;
        }
        if (!known) {
            put_back(part);
        }
    }
    if (draft.verdict != Verdict::pass) {
        return fail(word, "drop with a limit", "pass limit ...: what is over the limit is dropped");
    }
    const bool sliding = limit->algorithm == LimitAlgorithm::sliding;
    if (sliding && limit->floor != 0) {
        return fail(word, "a sliding window does not adapt", "use gcra");
    }
    if (sliding && limit->burst != 0) {
        return fail(word, "a sliding window has no burst", "leave burst out, or use gcra");
    }
    limit->burst = limit->burst == 0 ? usual_burst(*limit) : limit->burst;
    if (std::string fault = fault_of(*limit); !fault.empty()) {
        return fail(word, std::move(fault));
    }
    draft.actions.limit = *limit;
    return true;
}

/// One of what may stand behind the rate; not `known`: something else.
bool Parser::limit_part(Limit& limit, const Token& word, bool& known) {
    const std::string name = word.kind == TokenKind::word ? lower(word.text) : std::string();
    if (name == "burst") {
        return limit_burst(limit);
    }
    if (name == "by") {
        return limit_key(limit);
    }
    if (name == "adaptive") {
        return limit_adaptive(limit);
    }
    const auto algorithm = std::ranges::find(algorithm_words, name);
    known = algorithm != algorithm_words.end();
    if (known) {
        limit.algorithm = static_cast<LimitAlgorithm>(algorithm - algorithm_words.begin());
    }
    return true;
}

bool Parser::limit_burst(Limit& limit) {
    const Token token = next();
    const std::string text = token.kind == TokenKind::word ? lower(token.text) : std::string();
    const auto quantity = quantity_of(text);
    const Unit* bytes = quantity ? unit_of(byte_units, quantity->unit) : nullptr;
    const std::uint64_t least = limit.in_bits ? limits::limit_burst_bytes_min : 1;
    const std::uint64_t each = limit.in_bits && bytes != nullptr ? bytes->value : 1;
    if (!quantity || (limit.in_bits ? bytes == nullptr : !quantity->unit.empty()) ||
        quantity->number > limits::limit_burst_max / each || quantity->number * each < least) {
        return fail_expected(
            token,
            "a burst",
            limit.in_bits
                ? std::format("Nb, Nkb or Nmb, of at least {} bytes", limits::limit_burst_bytes_min)
                : "a number of packets"
        );
    }
    limit.burst = quantity->number * each;
    return true;
}

bool Parser::limit_key(Limit& limit) {
    const Token token = next();
    std::string text = token.kind == TokenKind::word ? lower(token.text) : std::string();
    const std::string name = text.substr(0, text.find('/'));
    const auto bits = std::string_view(text).substr(name.size());
    limit.by_source = name == "source";
    limit.by_destination = name == "destination";
    limit.by_destination_port = name == "dport";
    limit.by_flow = name == "flow";
    limit.by_cgroup = name == "cgroup";
    limit.by_interface = name == "interface";
    const auto wrong = [&] {
        return fail_expected(
            token,
            "what to limit by",
            "rule, source, source/N, source/N/M (N bits of IPv4, M of IPv6), destination, dport, "
            "flow, cgroup or interface"
        );
    };
    if (!std::ranges::contains(key_words, name) || (!bits.empty() && !is_by_address(limit))) {
        return wrong();
    }
    if (bits.empty()) {
        return true;
    }
    const auto first = quantity_of(bits.substr(1));
    if (!first || first->number == 0 || first->number > 128) {
        return wrong();
    }
    limit.ipv4_bits = static_cast<std::uint8_t>(std::min<std::uint64_t>(first->number, 32));
    limit.ipv6_bits = static_cast<std::uint8_t>(first->number);
    if (first->unit.empty()) {
        return true;
    }
    const auto second =
        first->unit.starts_with('/') ? quantity_of(first->unit.substr(1)) : std::nullopt;
    if (!second || !second->unit.empty() || second->number == 0 || second->number > 128 ||
        first->number > 32) {
        return wrong();
    }
    limit.ipv6_bits = static_cast<std::uint8_t>(second->number);
    return true;
}

/// `adaptive 100/s on queue 500`; the rate it is a floor of came before.
bool Parser::limit_adaptive(Limit& limit) {
    const Token floor_token = next();
    const auto floor =
        floor_token.kind == TokenKind::word ? rate_of(lower(floor_token.text)) : std::nullopt;
    if (!floor || floor->in_bits != limit.in_bits || floor->period_s != limit.period_s ||
        floor->rate > limit.rate) {
        return fail_expected(
            floor_token, "a lowest rate", "in the unit of the limit's rate, and no higher"
        );
    }
    limit.floor = floor->rate;
    const Token on = next();
    if (on.kind != TokenKind::word || lower(on.text) != "on") {
        return fail_expected(on, "on", std::string(signal_hint));
    }
    const Token signal = next();
    const std::string name = signal.kind == TokenKind::word ? lower(signal.text) : std::string();
    const auto found = std::ranges::find(signal_words, name);
    if (found == signal_words.end()) {
        return fail_expected(signal, "a signal", std::string(signal_hint));
    }
    limit.signal = static_cast<LimitSignal>(found - signal_words.begin());
    if (limit.signal == LimitSignal::drops) {
        return true;
    }
    const std::uint64_t most = limit.signal == LimitSignal::cpu ? 100 : limits::limit_queue_max;
    const Token token = next();
    const auto threshold = token.kind == TokenKind::word ? quantity_of(token.text) : std::nullopt;
    if (!threshold || !threshold->unit.empty() || threshold->number == 0 ||
        threshold->number > most) {
        return fail_expected(token, "a threshold", std::format("a number from 1 to {}", most));
    }
    limit.threshold = static_cast<std::uint32_t>(threshold->number);
    return true;
}

std::string rate_text(const Limit& limit, std::uint64_t rate) {
    return limit.in_bits ? in_units(bit_units, rate)
                         : std::format(
                               "{}{}",
                               rate,
                               std::ranges::find(period_units, limit.period_s, &Unit::value)->word
                           );
}

std::string limit_text(const Limit& limit) {
    std::string out("limit ");
    out += rate_text(limit, limit.rate);
    if (limit.burst != 0) {
        out += " burst ";
        out += limit.in_bits ? in_units(byte_units, limit.burst) : std::to_string(limit.burst);
    }
    if (is_by_address(limit)) {
        out += limit.by_source ? " by source" : " by destination";
        if (limit.ipv4_bits != 32 || limit.ipv6_bits != 128) {
            out += std::format("/{}/{}", limit.ipv4_bits, limit.ipv6_bits);
        }
    }
    out += limit.by_destination_port ? " by dport" : "";
    out += limit.by_flow ? " by flow" : "";
    out += limit.by_cgroup ? " by cgroup" : "";
    out += limit.by_interface ? " by interface" : "";
    if (limit.algorithm != LimitAlgorithm::gcra) {
        out += ' ';
        out += algorithm_words[std::to_underlying(limit.algorithm)];
    }
    if (limit.floor != 0) {
        const std::string_view signal = signal_words[std::to_underlying(limit.signal)];
        out += std::format(" adaptive {} on {}", rate_text(limit, limit.floor), signal);
        out += limit.threshold == 0 ? "" : std::format(" {}", limit.threshold);
    }
    return out;
}

std::optional<Limit> adaptive_limit(std::string_view text) {
    const std::string_view rate = limit_rate(text);
    constexpr std::string_view on = " on ";
    const std::size_t adaptive = rate.empty() ? text.npos : text.find(" adaptive ");
    const std::size_t signal = adaptive == text.npos ? text.npos : text.find(on, adaptive);
    if (signal == text.npos) {
        return std::nullopt;
    }
    // Its last words: the signal, and of all but drops a number.
    std::size_t end = text.find(' ', signal + on.size());
    if (!text.substr(signal + on.size()).starts_with(signal_words[0])) {
        end = text.find(' ', end + 1);
    }
    const auto begin = static_cast<std::size_t>(rate.data() - text.data());
    const auto rules = parse_rules(
        std::format("pass out limit {}", text.substr(begin, end == text.npos ? end : end - begin)),
        "limit",
        read_regular_file
    );
    return rules && rules->rules.size() == 1 ? rules->rules.front().actions.limit : std::nullopt;
}

std::string_view limit_rate(std::string_view text) {
    constexpr std::string_view word = " limit ";
    constexpr std::string_view burst = " burst ";
    // Canonical texts have no strings, so the word stands nowhere else.
    const std::size_t at = text.find(word);
    if (at == std::string_view::npos) {
        return {};
    }
    const std::string_view rest = text.substr(at + word.size());
    std::size_t end = rest.find(' ');
    if (end != std::string_view::npos && rest.substr(end).starts_with(burst)) {
        end = rest.find(' ', end + burst.size());
    }
    return rest.substr(0, end);
}

} // namespace zsync::packet
