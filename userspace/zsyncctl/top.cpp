#include <array>
#include <format>
#include <optional>
#include <zsyncctl/live_view.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

class TopSource final : public LiveSource {
public:
    explicit TopSource(TopLook look) : look_(look) {}

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
        const Json stacks = ZTRY(daemon.call(
            {.path = names::root,
             .interface = names::manager,
             .name = "StackMarks",
             .reply_signature = "a{st}"}
        ));
        taken.stacks = stacks.at(0);
        taken.monotonic_us = monotonic_us();
        before_ = std::exchange(now_, std::move(taken));
        return {};
    }
    [[nodiscard]] std::vector<std::string>
    lines(const Style& style, std::size_t rows_max, std::size_t columns_max) const override {
        page_ = rows_max > top_head_lines ? rows_max - top_head_lines : 1;
        return top_lines(before(), *now_, style, rows_max, columns_max, look_);
    }
    [[nodiscard]] Json document() const override { return top_json(before(), *now_); }
    [[nodiscard]] std::string_view keys_note() const override {
        return "sort: t tree, c cpu, p polls, w wakes, a age, n name, r reverse; e awaits; arrows "
               "scroll";
    }
    void key(char key) override { look_.key(key, page_); }
    [[nodiscard]] std::string_view away_note() const override {
        return "zsyncd is away; this view goes on when it is back";
    }

private:
    [[nodiscard]] const TopSample* before() const { return before_ ? &*before_ : nullptr; }

    TopLook look_;
    mutable std::size_t page_ = 1;
    std::optional<TopSample> before_;
    std::optional<TopSample> now_;
};

Answer<void> run(Session& session) {
    const Invocation& invocation = session.invocation();
    TopLook look;
    look.order = top_order(invocation.value("--sort").value_or("tree")).value_or(TopOrder::tree);
    look.chains = invocation.has("--chains");
    TopSource source(look);
    return show_live(session, source);
}

std::expected<void, UsageError> check(const Invocation& invocation) {
    if (const auto order = invocation.value("--sort"); order && !top_order(*order)) {
        return std::unexpected(UsageError{
            .message = std::format("'{}' is nothing to sort by", *order),
            .hint = std::format("--sort takes one of {}", top_orders)
        });
    }
    return check_live(invocation);
}

constexpr std::array top_options{
    live_options[0],
    live_options[1],
    Option{
        .name = "--sort", .value = "KEY", .help = "tree (default), cpu, polls, wakes, age, name"
    },
    Option{.name = "--chains", .help = "show all awaits of each task, the innermost first"},
};

} // namespace

constinit const Verb top_verb{
    .path = "top",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Show the daemon's tasks live: what each waits for, takes and is woken",
    .details = "A full-screen view on a terminal (q or Ctrl-C ends it; its first line names the "
               "other keys),\n"
               "repeated tables elsewhere; with --json one object a line.",
    .options = top_options,
    .check = check,
    .run = run,
};

} // namespace zsyncctl
