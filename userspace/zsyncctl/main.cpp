// zsyncctl: a person's way to zsyncd. A D-Bus client and nothing else.
#include <clocale>
#include <cstdio>
#include <format>
#include <string>
#include <unistd.h>
#include <vector>
#include <zsyncctl/command_line.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace {

using namespace zsyncctl;

enum ExitCode : int { done = 0, refused = 1, usage = 2 };

void complain(std::string_view text) {
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
}

/// The last line of the message speaks for the program; lines before it are handed on as they are.
void complain(const Refusal& refusal) {
    const std::size_t last = refusal.message.rfind('\n') + 1; // npos + 1 is the beginning
    std::string text;
    for (std::size_t begin = 0; begin < last;) {
        const std::size_t end = refusal.message.find('\n', begin);
        text += printable(refusal.message.substr(begin, end - begin)) + '\n';
        begin = end + 1;
    }
    complain(std::format("{}zsyncctl: {}\n", text, printable(refusal.message.substr(last))));
}

int run(const Invocation& invocation) {
    Session session(invocation, choose_style(invocation, STDOUT_FILENO));
    switch (invocation.wish) {
    case Invocation::Wish::help:
        session.print(help_text(invocation, all_verbs));
        return done;
    case Invocation::Wish::version:
        session.print(std::format("zsyncctl {}\n", ZSYNC_VERSION));
        return done;
    case Invocation::Wish::run:
        break;
    }
    if (const auto answer = invocation.verb->run(session); !answer) {
        complain(answer.error());
        return refused;
    }
    return done;
}

} // namespace

int main(int argc, char** argv) {
    static_cast<void>(std::setlocale(LC_TIME, "")); // NOLINT(concurrency-mt-unsafe): one thread
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    const auto invocation = parse_command_line(arguments, all_verbs);
    if (!invocation) {
        const UsageError& error = invocation.error();
        complain(std::format("zsyncctl: {}; {}\n", printable(error.message), printable(error.hint))
        );
        return usage;
    }
    const int code = run(*invocation);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        complain("zsyncctl: cannot write all of the output\n");
        return refused;
    }
    return code;
}
