#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    Daemon daemon = ZTRY(session.daemon());
    const Json manager = ZTRY(daemon.properties(names::root, names::manager));
    const Json features = manager.value("Features", Json::array());
    session.print_either(features_json(features), features_text(features, session.style()));
    return {};
}

bool is_available(const Json& feature) {
    return feature.size() > 1 && feature[1].is_boolean() && feature[1].get<bool>();
}

} // namespace

Json features_json(const Json& features) {
    Json rows = Json::array();
    for (const Json& feature : features) {
        rows.push_back(
            {{"name", text_at(feature, 0)},
             {"available", is_available(feature)},
             {"detail", text_at(feature, 2)}}
        );
    }
    return rows;
}

std::string features_text(const Json& features, const Style& style) {
    Table table({{.title = "FEATURE"}, {.title = "AVAILABLE"}, {.title = "DETAIL"}});
    for (const Json& feature : features) {
        const bool available = is_available(feature);
        table.row(
            {text_at(feature, 0),
             available ? Cell("yes", Tone::good) : Cell("no", Tone::bad),
             text_at(feature, 2)}
        );
    }
    return table.text(style);
}

constinit const Verb features_verb{
    .path = "features",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Show what this host lets zsyncd do, and why not where it does not",
    .details = "",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
