#include <array>
#include <format>
#include <string>
#include <zsyncctl/packet_rates.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

constexpr std::size_t set_operands_min = 5; // IFACE set CLASS max RATE
constexpr std::size_t set_operands_max = 7; // ... guarantee RATE
constexpr std::size_t class_rates_operand = 3;
constexpr std::size_t shape_operands_min = 3; // IFACE shape RATE
constexpr std::size_t shape_operands_max = 5; // ... horizon TIME
constexpr std::size_t shape_rates_operand = 2;

std::expected<void, UsageError> check(const Invocation& invocation) {
    const std::size_t operands = invocation.operands.size();
    if (operands > 1 && invocation.operands[1] == "shape") {
        if (operands < shape_operands_min || operands > shape_operands_max) {
            return std::unexpected(UsageError{
                .message = "to change the shape, give its rate, its horizon, or both",
                .hint = "packet classes IFACE shape 80mbit horizon 50ms"
            });
        }
    } else if (operands > 1 && (invocation.operands[1] != "set" || operands < set_operands_min)) {
        return std::unexpected(UsageError{
            .message = "to change a class, name it and its rates",
            .hint = "packet classes IFACE set CLASS guarantee 30mbit max 50mbit, or packet classes "
                    "IFACE shape 80mbit for the whole"
        });
    }
    return {};
}

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    Daemon daemon = ZTRY(session.daemon());
    if (session.invocation().operands.size() > 1) {
        const bool whole = session.operand(1) == "shape";
        return change_rates(
            session,
            daemon,
            ifname,
            whole
                ? RateChange{.method = "SetShape", .words = {session.operands_from(shape_rates_operand)}, .key = "shape"}
                : RateChange{.method = "SetClass", .words = {session.operand(2), session.operands_from(class_rates_operand)}, .key = "class"}
        );
    }
    const auto answer = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = "ListClasses",
         .reply_signature = "tta(sttttttt)"},
        ""
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    const ShapeView shape = shape_view(*answer);
    session.print_either(shape_json(shape), shape_text(shape, session.style()));
    return {};
}

/// `60Mbit/s`: the number as people write it, with at most three digits behind the point.
std::string bits_text(std::uint64_t bits) {
    constexpr std::array units{"bit/s", "kbit/s", "Mbit/s", "Gbit/s"};
    auto number = static_cast<double>(bits);
    std::size_t unit = 0;
    for (; number >= 1000 && unit + 1 < units.size(); ++unit) {
        number /= 1000;
    }
    return std::format("{:.6g}{}", number, units[unit]);
}

} // namespace

ShapeView shape_view(const Json& classes_answer) {
    ShapeView shape{
        .rate = number_at(classes_answer, 0), .horizon_us = number_at(classes_answer, 1)
    };
    for (const Json& row : classes_answer.at(2)) {
        shape.classes.push_back(
            {.name = text_at(row, 0),
             .guarantee = number_at(row, 1),
             .max = number_at(row, 2),
             .packets = number_at(row, 3),
             .bytes = number_at(row, 4),
             .borrowed = number_at(row, 5),
             .dropped = number_at(row, 6),
             .backlog_us = number_at(row, 7)}
        );
    }
    return shape;
}

Json shape_json(const ShapeView& shape) {
    Json rows = Json::array();
    for (const ClassView& one : shape.classes) {
        rows.push_back(
            {{"name", one.name},
             {"guarantee", one.guarantee},
             {"max", one.max},
             {"packets", one.packets},
             {"bytes", one.bytes},
             {"borrowed_bytes", one.borrowed},
             {"dropped", one.dropped},
             {"backlog_us", one.backlog_us}}
        );
    }
    return {{"rate", shape.rate}, {"horizon_us", shape.horizon_us}, {"classes", std::move(rows)}};
}

std::string shape_text(const ShapeView& shape, const Style& style) {
    if (shape.rate == 0) {
        return "no rules shape\n";
    }
    Table table(
        {{.title = "CLASS"},
         {.title = "GUARANTEE", .align = Align::right},
         {.title = "MAX", .align = Align::right},
         {.title = "PACKETS", .align = Align::right},
         {.title = "BYTES", .align = Align::right},
         {.title = "BORROWED", .align = Align::right},
         {.title = "DROPPED", .align = Align::right},
         {.title = "BACKLOG", .align = Align::right}}
    );
    for (const ClassView& one : shape.classes) {
        table.row(
            {one.name,
             one.guarantee == 0 ? "none" : bits_text(one.guarantee),
             bits_text(one.max),
             one.packets,
             one.bytes,
             one.borrowed,
             Cell(std::to_string(one.dropped), one.dropped != 0 ? Tone::bad : Tone::plain),
             latency_text(one.backlog_us)}
        );
    }
    return std::format(
               "{}, a packet waits at most {}\n",
               bits_text(shape.rate),
               latency_text(shape.horizon_us)
           ) +
           table.text(style);
}

constinit const Verb packet_classes_verb{
    .path = "packet classes",
    .operands = "IFACE [set CLASS RATES | shape RATES]",
    .operands_min = 1,
    .operands_max = set_operands_max,
    .summary = "Show how fast classes are sent, or change one, or the whole",
    .details =
        "RATES of a class are 'guarantee RATE', 'max RATE' or both; of the shape 'RATE',\n"
        "'horizon TIME' or 'RATE horizon TIME'. What is not said stays. RATE is 500kbit, 20mbit "
        "or\n"
        "1gbit, TIME 50ms. What waits leaves at the time that it has. The change is kept over\n"
        "restarts, until rules are loaded.",
    .options = {},
    .check = check,
    .run = run,
};

} // namespace zsyncctl
