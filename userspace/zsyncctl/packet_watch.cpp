#include <optional>
#include <zsyncctl/live_view.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<Sample> take_sample(Daemon& daemon, const std::string& ifname) {
    Sample sample;
    sample.view = ZTRY(ask_interface(daemon, ifname));
    sample.monotonic_us = monotonic_us();
    sample.realtime_us = realtime_us();
    if (sample.view.has_filter()) {
        sample.counters = ZTRY(ask_counters(daemon, ifname));
        sample.list = ZTRY(ask_rules(daemon, ifname));
        sample.hooks = ZTRY(ask_hooks(daemon, ifname));
    }
    return sample;
}

class WatchSource final : public LiveSource {
public:
    explicit WatchSource(std::string ifname) : ifname_(std::move(ifname)) {}

    Answer<void> sample(Daemon& daemon) override {
        Sample taken = ZTRY(take_sample(daemon, ifname_));
        const WatchView* before = watch_ ? &*watch_ : nullptr;
        watch_ = watch_view(before != nullptr ? &before->sample : nullptr, std::move(taken));
        return {};
    }
    [[nodiscard]] std::vector<std::string>
    lines(const Style& style, std::size_t rows_max, std::size_t columns_max) const override {
        return watch_lines(*watch_, style, rows_max, columns_max);
    }
    [[nodiscard]] Json document() const override { return watch_json(*watch_); }
    [[nodiscard]] std::string_view away_note() const override {
        return "zsyncd is away; the filter goes on, and this view when it is back";
    }

private:
    std::string ifname_;
    std::optional<WatchView> watch_;
};

Answer<void> run(Session& session) {
    WatchSource source(session.operand(0));
    return show_live(session, source);
}

} // namespace

constinit const Verb packet_watch_verb{
    .path = "packet watch",
    .operands = "IFACE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show an interface's rules and counters live, with rates",
    .details =
        "A full-screen view on a terminal (q or Ctrl-C ends it), repeated tables elsewhere;\n"
        "with --json one object a line.",
    .options = live_options,
    .check = check_live,
    .run = run,
};

} // namespace zsyncctl
