#include <zsyncctl/input_file.hpp>
#include <zsyncctl/report_file.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    const InputFile capture = ZTRY(open_input_file(session.operand(0), capture_input));
    Daemon daemon = ZTRY(session.daemon());
    daemon.reply_timeout(limits::replay_timeout);
    const Method method{
        .path = names::packet_root,
        .interface = names::packet,
        .name = "Replay",
        .reply_signature = "htts",
    };
    const FileAnswer answer = ZTRY(
        daemon.call_for_file(method, "hsa{sv}", capture.fd.get(), capture.source_name.c_str(), 0)
    );
    ZTRY(print_report(session, answer.file));
    const std::string complaint = text_at(answer.values, 3);
    if (!complaint.empty()) {
        return refuse(complaint + "; the report is about what came before");
    }
    return {};
}

} // namespace

constinit const Verb packet_replay_verb{
    .path = "packet replay",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Analyse a capture, pcap or pcapng ('-': standard input)",
    .details =
        "Runs the traffic analysis over a file instead of an interface and prints JSON: flows,\n"
        "what they carry, who talks most and to how many. Changes nothing and needs no right.\n"
        "A capture that breaks off is analysed as far as it goes, and the exit status is 1.",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
