#include <zsync/core/error.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fcntl.h>
#include <format>
#include <optional>
#include <unistd.h>
#include <zsyncctl/number.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{.name = "-w", .value = "FILE", .help = "the pcapng file; '-' is standard output"},
    Option{
        .name = "--samples",
        .value = "HOOK",
        .help = "what the rules of a hook (in, out) sample, instead"
    },
    Option{.name = "--take", .help = "by AF_XDP, what the rules pass: the host gets none of it"},
    Option{
        .name = "--force",
        .help = "with --take, also where this host has an address or its default route"
    },
    Option{.name = "--count", .value = "N", .help = "end after N packets"},
    Option{.name = "--for", .value = "SECONDS", .help = "end after so long"},
};

std::optional<std::uint64_t> count_of(const Invocation& invocation) {
    const auto value = number_of<std::uint64_t>(invocation.value("--count").value_or("0"));
    return value && (*value > 0 || !invocation.has("--count")) ? value : std::nullopt;
}

std::optional<std::uint64_t> duration_us_of(const Invocation& invocation) {
    const auto value = number_of<double>(invocation.value("--for").value_or("0"));
    const bool is_given = invocation.has("--for");
    if (!value || (is_given && !(*value >= 0.001 && *value <= limits::capture_seconds_max))) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(std::llround(*value * 1e6));
}

std::expected<void, UsageError> check(const Invocation& invocation) {
    if (!invocation.has("-w")) {
        return std::unexpected(
            UsageError{.message = "no file to write to", .hint = "give one: -w FILE.pcapng"}
        );
    }
    if (invocation.has("--samples") && invocation.operands.size() > 1) {
        return std::unexpected(UsageError{
            .message = "samples are captured without conditions",
            .hint = "the rules have chosen them; give either --samples or conditions"
        });
    }
    if (invocation.has("--take") &&
        (invocation.operands.size() > 1 || invocation.has("--samples"))) {
        return std::unexpected(UsageError{
            .message = "what is taken is what the rules of the interface pass",
            .hint = "give --take alone, and say in rules what else is to be dropped"
        });
    }
    if (invocation.has("--force") && !invocation.has("--take")) {
        return std::unexpected(
            UsageError{.message = "nothing to force", .hint = "--force is for --take"}
        );
    }
    if (!count_of(invocation)) {
        return std::unexpected(UsageError{
            .message = std::format(
                "'{}' is no number of packets", invocation.value("--count").value_or("")
            ),
            .hint = "--count takes a whole number from 1"
        });
    }
    if (!duration_us_of(invocation)) {
        return std::unexpected(UsageError{
            .message = std::format(
                "'{}' is no time for a capture", invocation.value("--for").value_or("")
            ),
            .hint =
                std::format("--for takes seconds, from 0.001 to {}", limits::capture_seconds_max)
        });
    }
    return {};
}

Answer<zsync::Fd> open_output(const std::string& path) {
    zsync::Fd file(
        path == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                    : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
    );
    if (!file) {
        return refuse(
            std::format("cannot write {}: {}", printable(path), zsync::os_error(errno).message())
        );
    }
    return file;
}

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    const Invocation& invocation = session.invocation();
    const std::string condition = session.operands_from(1);
    const std::string path = invocation.value("-w").value_or("");
    Daemon daemon = ZTRY(session.daemon());
    const zsync::Fd file = ZTRY(open_output(path));
    daemon.reply_timeout(limits::capture_timeout);
    const bool takes = invocation.has("--take");
    const Method method{
        .path = packet_object(ifname),
        .interface = names::packet_interface,
        .name = takes ? "Take" : "Capture",
        .reply_signature = takes ? "ttts" : "ttt",
        .right = "org.zsync1.manage-packet"
    };
    const std::uint64_t count = count_of(invocation).value_or(0);
    const std::uint64_t duration_us = duration_us_of(invocation).value_or(0);
    const auto hook = invocation.value("--samples");
    const auto call = [&](auto... arguments) {
        return daemon.call(
            method, arguments..., "count", "t", count, "duration_usec", "t", duration_us
        );
    };
    const auto answer =
        takes  ? call("ha{sv}", file.get(), 3, "force", "b", invocation.has("--force") ? 1 : 0)
        : hook ? call("hsa{sv}", file.get(), "", 3, "samples", "s", hook->c_str())
               : call("hsa{sv}", file.get(), condition.c_str(), 2);
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    if (path == "-") {
        return {};
    }
    const std::uint64_t packets = number_at(*answer, 0);
    const std::uint64_t lost = number_at(*answer, 2);
    Json shown{
        {"ifname", ifname},
        {"file", path},
        {"packets", packets},
        {"bytes", number_at(*answer, 1)},
        {"lost", lost}
    };
    std::string how;
    if (takes) {
        const std::string mode = text_at(*answer, 3);
        shown["mode"] = mode;
        how = std::format(", taken from the host by {}", mode);
    }
    session.print_either(
        shown,
        std::format(
            "{}: {} in {}{}, {} lost\n",
            printable(ifname),
            counted(packets, "packet"),
            printable(path),
            how,
            lost
        )
    );
    return {};
}

} // namespace

constinit const Verb packet_capture_verb{
    .path = "packet capture",
    .operands = "IFACE [CONDITION...]",
    .operands_min = 1,
    .operands_max = 64,
    .summary = "Write packets of a filtered interface to a pcapng file",
    .details =
        "Both directions: what the filter lets pass, and what the host sends. Conditions are "
        "those\n"
        "of a rule ('proto udp dport 53'), decided in the kernel. With --samples it is what rules\n"
        "with 'sample' copy, dropped packets too, each with its rule and verdict. With --take it "
        "is\n"
        "what the rules pass, from AF_XDP sockets on all queues:\n"
        "THE HOST DOES NOT SEE WHAT IS TAKEN. For ports that a switch mirrors to. It ends with\n"
        "--count, --for or Ctrl-C, and the file is whole in each case.",
    .options = options,
    .check = check,
    .run = run,
};

} // namespace zsyncctl
