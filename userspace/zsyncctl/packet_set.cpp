#include <algorithm>
#include <format>
#include <span>
#include <string>
#include <vector>
#include <zsyncctl/input_file.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

constexpr std::size_t first_word = 2; // behind IFACE and SET
constexpr std::size_t prefixes_max = 4096;

struct Wish {
    std::vector<std::string> add;
    std::vector<std::string> remove;
    std::string file; ///< of `replace`
};

std::unexpected<UsageError> wrong(std::string message, std::string hint) {
    return std::unexpected(UsageError{.message = std::move(message), .hint = std::move(hint)});
}

/// `add P... remove P...` in any number and order, or `replace FILE`.
std::expected<Wish, UsageError> wish_of(const Invocation& invocation) {
    Wish wish;
    const auto words = std::span(invocation.operands).subspan(first_word);
    if (words.front() == "replace") {
        if (words.size() != 2) {
            return wrong("'replace' takes one file", "packet set IFACE SET replace FILE");
        }
        wish.file = words[1];
        return wish;
    }
    std::vector<std::string>* into = nullptr;
    for (const std::string& word : words) {
        if (word == "add") {
            into = &wish.add;
        } else if (word == "remove") {
            into = &wish.remove;
        } else if (into == nullptr) {
            return wrong(
                std::format("'{}' is neither add, remove nor replace", word),
                "packet set IFACE SET add PREFIX..."
            );
        } else {
            into->push_back(word);
        }
    }
    if (wish.add.empty() && wish.remove.empty()) {
        return wrong(
            std::format("'{}' without a prefix", words.back()), "give it a prefix or more"
        );
    }
    return wish;
}

std::expected<void, UsageError> check(const Invocation& invocation) {
    auto wish = wish_of(invocation);
    return wish ? std::expected<void, UsageError>{} : std::unexpected(std::move(wish).error());
}

int append_strings(sd_bus_message* message, const std::vector<std::string>& texts) {
    int r = sd_bus_message_open_container(message, SD_BUS_TYPE_ARRAY, "s");
    for (std::size_t i = 0; r >= 0 && i < texts.size(); ++i) {
        r = sd_bus_message_append(message, "s", texts[i].c_str());
    }
    return r < 0 ? r : sd_bus_message_close_container(message);
}

Answer<Json>
send(Daemon& daemon, const std::string& ifname, const std::string& set, const Wish& wish) {
    Method method{
        .path = packet_object(ifname),
        .interface = names::packet_interface,
        .name = "ChangeSet",
        .reply_signature = "tttt",
        .right = "org.zsync1.manage-packet",
    };
    if (!wish.file.empty()) {
        method.name = "ReplaceSet";
        const InputFile file = ZTRY(open_input_file(wish.file, rule_input));
        return daemon.call(
            method, "shsa{sv}", set.c_str(), file.fd.get(), file.source_name.c_str(), 0
        );
    }
    return daemon.call_with(method, [&](sd_bus_message* message) {
        int r = sd_bus_message_append(message, "s", set.c_str());
        r = r < 0 ? r : append_strings(message, wish.add);
        r = r < 0 ? r : append_strings(message, wish.remove);
        return r < 0 ? r : sd_bus_message_append(message, "a{sv}", 0);
    });
}

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    const std::string set = printable(session.operand(1));
    const auto wish = wish_of(session.invocation());
    if (!wish) {
        return refuse(wish.error().message);
    }
    Daemon daemon = ZTRY(session.daemon());
    const auto answer = send(daemon, ifname, set, *wish);
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    const std::uint64_t added = number_at(*answer, 0);
    const std::uint64_t removed = number_at(*answer, 1);
    const std::uint64_t size = number_at(*answer, 2);
    const std::uint64_t visible_us = number_at(*answer, 3);
    session.print_either(
        {{"ifname", ifname},
         {"set", set},
         {"added", added},
         {"removed", removed},
         {"prefixes", size},
         {"visible_us", visible_us}},
        std::format(
            "{}: {} added to {}, {} removed; {} in it, in force after {}\n",
            printable(ifname),
            added,
            set,
            removed,
            counted(size, "prefix"),
            latency_text(visible_us)
        )
    );
    return {};
}

} // namespace

constinit const Verb packet_set_verb{
    .path = "packet set",
    .operands = "IFACE SET add|remove PREFIX...|replace FILE",
    .operands_min = 4,
    .operands_max = prefixes_max,
    .summary = "Change one set of an interface's rules",
    .details =
        "'add' and 'remove' take prefixes and may stand beside each other; 'replace' takes a file\n"
        "with a prefix a line ('-': standard input). Packets meet the set before or the set\n"
        "after. The change is kept over restarts, until rules are loaded.",
    .options = {},
    .check = check,
    .run = run,
};

} // namespace zsyncctl
