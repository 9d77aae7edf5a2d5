#include <format>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<std::vector<JobView>> ask_jobs(Daemon& daemon) {
    const Json manager = ZTRY(daemon.properties(names::root, names::manager));
    std::vector<JobView> jobs;
    for (const Json& row : manager.value("Jobs", Json::array())) {
        JobView job{
            .id = number_at(row, 0),
            .kind = text_at(row, 1),
            .subject = text_at(row, 2),
            .state = text_at(row, 3),
            .path = text_at(row, 4),
        };
        const auto properties = daemon.properties(job.path, names::job);
        if (!properties) {
            continue; // it ended meanwhile
        }
        job.progress = properties->value("Progress", 0.0);
        jobs.push_back(std::move(job));
    }
    return jobs;
}

Answer<void> run(Session& session) {
    Daemon daemon = ZTRY(session.daemon());
    const std::vector<JobView> jobs = ZTRY(ask_jobs(daemon));
    session.print_either(jobs_json(jobs), jobs_text(jobs, session.style()));
    return {};
}

} // namespace

Json jobs_json(const std::vector<JobView>& jobs) {
    Json rows = Json::array();
    for (const JobView& job : jobs) {
        rows.push_back(
            {{"id", job.id},
             {"kind", job.kind},
             {"subject", job.subject},
             {"state", job.state},
             {"progress", job.progress},
             {"path", job.path}}
        );
    }
    return rows;
}

std::string jobs_text(const std::vector<JobView>& jobs, const Style& style) {
    if (jobs.empty()) {
        return "no job is running\n";
    }
    Table table(
        {{.title = "JOB", .align = Align::right},
         {.title = "KIND"},
         {.title = "SUBJECT"},
         {.title = "STATE"},
         {.title = "DONE", .align = Align::right}}
    );
    for (const JobView& job : jobs) {
        table.row(
            {job.id, job.kind, job.subject, job.state, std::format("{:.0f}%", job.progress * 100)}
        );
    }
    return table.text(style);
}

constinit const Verb jobs_verb{
    .path = "jobs",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Show the long work that is going on",
    .details = "",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
