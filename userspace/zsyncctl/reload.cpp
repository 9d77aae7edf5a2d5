#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    Daemon daemon = ZTRY(session.daemon());
    auto answer = daemon.call(
        {.path = names::root,
         .interface = names::manager,
         .name = "Reload",
         .reply_signature = "",
         .right = "org.zsync1.reload"},
        "a{sv}",
        0
    );
    if (!answer && answer.error().bus_error == "org.zsync1.Error.InvalidConfig") {
        return std::unexpected(
            with_summary(answer.error(), "configuration", "the running one stays")
        );
    }
    ZTRY(std::move(answer));
    session.print_either({{"reloaded", true}}, "configuration read again\n");
    return {};
}

} // namespace

constinit const Verb reload_verb{
    .path = "reload",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Make the daemon read its configuration again",
    .details = "A configuration with a fault is refused whole and the running one stays.",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
