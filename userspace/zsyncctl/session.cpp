#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <zsyncctl/session.hpp>

namespace zsyncctl {
namespace {

// The program has one thread, and nothing in it changes the environment.
const char* environment(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe)
    return value != nullptr && *value != '\0' ? value : nullptr;
}

} // namespace

std::string Session::operands_from(std::size_t index) const {
    std::string text;
    for (std::size_t i = index; i < invocation_.operands.size(); ++i) {
        text += (i == index ? "" : " ") + invocation_.operands[i];
    }
    return text;
}

Answer<Daemon> Session::daemon() const {
    if (const auto address = invocation_.value("--bus")) {
        return Daemon::connect(address);
    }
    if (const char* address = environment("ZSYNC_BUS_ADDRESS")) {
        return Daemon::connect(address);
    }
    return Daemon::connect(std::nullopt);
}

void Session::print(std::string_view text) const {
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stdout));
}

void Session::print_json(const Json& document) const { print(document.dump(2) + '\n'); }

void Session::print_either(const Json& document, std::string_view text) const {
    if (json()) {
        print_json(document);
    } else {
        print(text);
    }
}

Style choose_style(const Invocation& invocation, int output_fd) {
    if (invocation.has("--no-color") || environment("NO_COLOR") != nullptr ||
        isatty(output_fd) == 0) {
        return {.color = false};
    }
    const char* terminal = environment("TERM");
    return {.color = terminal != nullptr && std::string_view(terminal) != "dumb"};
}

} // namespace zsyncctl
