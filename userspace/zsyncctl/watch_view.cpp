// What `packet watch` shows: the difference of two samples.
#include <algorithm>
#include <format>
#include <map>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

/// Counts of a rule, to compare with those of the next sample.
using Counts = std::pair<std::uint64_t, std::uint64_t>;

/// The text, and which of the rules of this text it is.
using RuleKey = std::pair<std::string, std::size_t>;

struct Interval {
    double seconds = 0;

    // A count that went down was given up in between: a rate would be made up.
    [[nodiscard]] std::optional<double> rate(std::uint64_t before, std::uint64_t now) const {
        if (seconds <= 0 || now < before) {
            return std::nullopt;
        }
        return static_cast<double>(now - before) / seconds;
    }
    [[nodiscard]] Rate rate(Counts before, Counts now) const {
        return {.packets = rate(before.first, now.first), .bytes = rate(before.second, now.second)};
    }
};

std::vector<RuleKey> rule_keys(const std::vector<RuleView>& rules) {
    std::map<std::string_view, std::size_t> seen;
    std::vector<RuleKey> keys;
    keys.reserve(rules.size());
    for (const RuleView& rule : rules) {
        keys.emplace_back(rule.text, seen[rule.text]++);
    }
    return keys;
}

std::vector<Rate>
rule_rates(const Interval& interval, const RuleList& before, const RuleList& now) {
    std::map<RuleKey, Counts> counts;
    const std::vector<RuleKey> keys_before = rule_keys(before.rules);
    for (std::size_t i = 0; i < keys_before.size(); ++i) {
        counts[keys_before[i]] = {before.rules[i].packets, before.rules[i].bytes};
    }
    std::vector<Rate> rates;
    const std::vector<RuleKey> keys = rule_keys(now.rules);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto found = counts.find(keys[i]);
        rates.push_back(
            found == counts.end()
                ? Rate{}
                : interval.rate(found->second, {now.rules[i].packets, now.rules[i].bytes})
        );
    }
    return rates;
}

void put_rate(Json& object, const Rate& rate) {
    object["packets_per_second"] = rate.packets ? Json(*rate.packets) : Json(nullptr);
    object["bytes_per_second"] = rate.bytes ? Json(*rate.bytes) : Json(nullptr);
}

Tone tone_of_traffic(const Rate& rate, Tone busy) {
    return rate.packets.value_or(0) > 0 ? busy : Tone::plain;
}

Table watch_table(const WatchView& watch) {
    Table table(
        {{.title = "#", .align = Align::right},
         {.title = "PACKETS", .align = Align::right},
         {.title = "BYTES", .align = Align::right},
         {.title = "PKT/S", .align = Align::right},
         {.title = "BYTE/S", .align = Align::right},
         {.title = "RULE"},
         {.title = "NAME"}}
    );
    const RuleList& list = watch.sample.list;
    for (std::size_t i = 0; i < list.rules.size(); ++i) {
        const RuleView& rule = list.rules[i];
        const Rate& rate = watch.rules[i];
        const Tone busy = rule.text.starts_with("drop") ? Tone::bad : Tone::good;
        table.row(
            {rule.index,
             rule.packets,
             rule.bytes,
             Cell(rate_text(rate.packets), tone_of_traffic(rate, busy)),
             rate_text(rate.bytes),
             Cell(rule.text, rule.packets == 0 ? Tone::faint : Tone::plain),
             rule.name}
        );
    }
    const auto& [fallback, rate] = std::tie(list.fallback, watch.fallback);
    table.row(
        {"",
         fallback.packets,
         fallback.bytes,
         rate_text(rate.packets),
         rate_text(rate.bytes),
         fallback.text}
    );
    table.row(
        {"",
         watch.sample.counters.malformed_packets(),
         "",
         rate_text(watch.malformed.packets),
         "",
         "malformed " + watch.sample.view.malformed_verdict}
    );
    return table;
}

} // namespace

WatchView watch_view(const Sample* before, Sample sample) {
    WatchView watch;
    if (before == nullptr) {
        watch.rules.resize(sample.list.rules.size());
    } else {
        const Interval interval{
            static_cast<double>(sample.monotonic_us - before->monotonic_us) / 1e6
        };
        const CounterView& old = before->counters;
        const CounterView& now = sample.counters;
        watch.total = interval.rate({old.packets, old.bytes}, {now.packets, now.bytes});
        watch.passed =
            interval.rate({old.passed, old.passed_bytes}, {now.passed, now.passed_bytes});
        watch.dropped =
            interval.rate({old.dropped, old.dropped_bytes}, {now.dropped, now.dropped_bytes});
        watch.malformed.packets = interval.rate(old.malformed_packets(), now.malformed_packets());
        watch.fallback = interval.rate(
            {before->list.fallback.packets, before->list.fallback.bytes},
            {sample.list.fallback.packets, sample.list.fallback.bytes}
        );
        watch.rules = rule_rates(interval, before->list, sample.list);
    }
    watch.sample = std::move(sample);
    return watch;
}

Json watch_json(const WatchView& watch) {
    const Sample& sample = watch.sample;
    Json object = stats_json(sample.view, sample.counters, sample.hooks);
    object["time_us"] = sample.realtime_us;
    put_rate(object, watch.total);
    object["rule_list"] = rules_json(sample.list);
    for (std::size_t i = 0; i < watch.rules.size(); ++i) {
        put_rate(object["rule_list"][i], watch.rules[i]);
    }
    return object;
}

std::vector<std::string> watch_lines(
    const WatchView& watch, const Style& style, std::size_t rows_max, std::size_t columns_max
) {
    const CounterView& counters = watch.sample.counters;
    Table totals(
        {{.title = ""},
         {.title = "PACKETS", .align = Align::right},
         {.title = "BYTES", .align = Align::right},
         {.title = "PKT/S", .align = Align::right},
         {.title = "BYTE/S", .align = Align::right}}
    );
    const auto add = [&](const char* what,
                         std::uint64_t packets,
                         std::uint64_t bytes,
                         const Rate& rate,
                         Tone busy) {
        totals.row(
            {what,
             packets,
             bytes,
             Cell(rate_text(rate.packets), tone_of_traffic(rate, busy)),
             rate_text(rate.bytes)}
        );
    };
    add("seen", counters.packets, counters.bytes, watch.total, Tone::plain);
    add("passed", counters.passed, counters.passed_bytes, watch.passed, Tone::good);
    add("dropped", counters.dropped, counters.dropped_bytes, watch.dropped, Tone::bad);

    std::vector<std::string> lines;
    std::string head = interface_line(watch.sample.view, {.color = false});
    head.pop_back();
    lines.push_back(columns_max == 0 ? head : shortened(head, columns_max));
    std::ranges::move(totals.lines(style, columns_max), std::back_inserter(lines));
    lines.emplace_back();
    std::ranges::move(watch_table(watch).lines(style, columns_max), std::back_inserter(lines));
    if (rows_max != 0 && lines.size() > rows_max) {
        // The end is more worth than the rules before it: default and malformed stand there.
        constexpr std::size_t footer = 2;
        const std::size_t hidden = lines.size() - rows_max + 1;
        if (rows_max > footer + 1) {
            const auto end = lines.end() - footer;
            lines.erase(end - static_cast<std::ptrdiff_t>(hidden), end);
            lines.insert(
                lines.end() - footer,
                style.paint(
                    shortened(std::format("… {} more lines", hidden), columns_max), Tone::faint
                )
            );
        } else {
            lines.resize(rows_max);
        }
    }
    return lines;
}

} // namespace zsyncctl
