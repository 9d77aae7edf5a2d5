#include "service_manager.hpp"

#include "limits.hpp"

#include <zsync/core/log.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <format>
#include <string_view>
#include <unistd.h>

namespace zsync::zsyncd {
namespace {

std::string_view environment(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): no threads yet
    return value != nullptr ? value : "";
}

std::optional<std::int64_t> number(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                    : std::nullopt;
}

/// A path, or a name in the abstract namespace written with a leading `@`.
Fd connect_to(std::string_view name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (name.empty() || name.size() >= sizeof address.sun_path) {
        return {};
    }
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') {
        address.sun_path[0] = '\0';
    }
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket ||
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
        return {};
    }
    return socket;
}

} // namespace

ServiceManager::ServiceManager(Io io) : io_(io), socket_(connect_to(environment("NOTIFY_SOCKET"))) {
    const auto pid = number(environment("WATCHDOG_PID"));
    const auto period = number(environment("WATCHDOG_USEC"));
    if (period && *period > 0 && (!pid || *pid == ::getpid())) {
        watchdog_period_ = std::chrono::microseconds(*period);
    }
}

Task<Result<void>> ServiceManager::say(std::string state, Duration patience) {
    if (!socket_) {
        co_return {};
    }
    const auto [sent, buffer] =
        co_await io_.send(socket_, Bytes::copy_of(state)).until(Clock::now() + patience);
    if (!sent && sent.error().is_canceled()) {
        co_return fail(CoreError::canceled);
    }
    if (!sent) {
        log::warning(
            "the service manager does not listen",
            {{.name = "ERROR", .value = sent.error().message()}}
        );
    }
    co_return {};
}

Task<void> ServiceManager::ready(std::string status, Duration patience) {
    (void)co_await say(std::format("READY=1\nSTATUS={}", status), patience);
}

Task<Result<void>> ServiceManager::reloading() {
    const auto now =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch());
    co_return co_await say(
        std::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reloading", now.count()),
        limits::notify_patience
    );
}

Task<void> ServiceManager::stopping() {
    (void)co_await say("STOPPING=1\nSTATUS=stopping", limits::notify_stopping_patience);
}

Task<void> ServiceManager::feed_watchdog() {
    if (!watchdog_period_ || !socket_) {
        co_return;
    }
    while (co_await say("WATCHDOG=1", limits::notify_patience) &&
           co_await io_.sleep_for(*watchdog_period_ / 2)) {
    }
}

} // namespace zsync::zsyncd
