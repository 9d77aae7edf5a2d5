#include <systemd/sd-bus.h>

#include <format>
#include <zsyncctl/packet_rates.hpp>
#include <zsyncctl/packet_view.hpp>

namespace zsyncctl {

Answer<void> change_rates(
    const Session& session, Daemon& daemon, const std::string& ifname, const RateChange& change
) {
    const auto answer = daemon.call_with(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = change.method,
         .reply_signature = "s",
         .right = "org.zsync1.manage-packet"},
        [&](sd_bus_message* message) {
            int r = 0;
            for (const std::string& word : change.words) {
                r = r < 0 ? r : sd_bus_message_append(message, "s", word.c_str());
            }
            return r < 0 ? r : sd_bus_message_append(message, "a{sv}", 0);
        }
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    const std::string changed = text_at(*answer, 0);
    session.print_either(
        {{"ifname", ifname}, {change.key, changed}},
        std::format("{}: {}\n", printable(ifname), printable(changed))
    );
    return {};
}

} // namespace zsyncctl
