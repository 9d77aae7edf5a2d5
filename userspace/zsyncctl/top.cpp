#include <optional>
#include <zsyncctl/live_view.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

class TopSource final : public LiveSource {
public:
    Answer<void> sample(Daemon& daemon) override {
        TopSample taken;
        taken.tasks = ZTRY(ask_tasks(daemon));
        const Json stats = ZTRY(daemon.call(
            {.path = names::root,
             .interface = names::manager,
             .name = "WorkerStats",
             .reply_signature = "a{st}"}
        ));
        taken.worker = stats.at(0);
        taken.monotonic_us = monotonic_us();
        before_ = std::exchange(now_, std::move(taken));
        return {};
    }
    [[nodiscard]] std::vector<std::string>
    lines(const Style& style, std::size_t rows_max, std::size_t columns_max) const override {
        return top_lines(before(), *now_, style, rows_max, columns_max);
    }
    [[nodiscard]] Json document() const override { return top_json(before(), *now_); }
    [[nodiscard]] std::string_view away_note() const override {
        return "zsyncd is away; this view goes on when it is back";
    }

private:
    [[nodiscard]] const TopSample* before() const { return before_ ? &*before_ : nullptr; }

    std::optional<TopSample> before_;
    std::optional<TopSample> now_;
};

Answer<void> run(Session& session) {
    TopSource source;
    return show_live(session, source);
}

} // namespace

constinit const Verb top_verb{
    .path = "top",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Show the daemon's tasks live: what each waits for, takes and is woken",
    .details =
        "A full-screen view on a terminal (q or Ctrl-C ends it), repeated tables elsewhere;\n"
        "with --json one object a line.",
    .options = live_options,
    .check = check_live,
    .run = run,
};

} // namespace zsyncctl
