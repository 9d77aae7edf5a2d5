// The conformance table: what Io promises, a line a case, run on every execution model.
//
//     ZSYNC_CASE(mutex, is_handed_over_in_order_of_arrival, beside) {
//         ...
//         co_return {};
//     }
//
// A case is a program. Where its model has what it needs it must succeed; where not, it must end
// with that model's own refusal, so a case leaves with the first error (ZCO_TRY, ZCO_CHECK) of what
// it needs. HACKING.md says more.
#pragma once

#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/task.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zsync::conformance {

using namespace std::chrono_literals;

/// What a case needs of its model, as bits.
using Needs = std::uint32_t;
constexpr Needs nothing = 0;
constexpr Needs beside = 1;   ///< tasks that run beside each other; else `concurrency_unavailable`
constexpr Needs timer = 2;    ///< a clock that moves; else `unsupported`
constexpr Needs network = 4;  ///< sockets; else ENETDOWN
constexpr Needs writing = 8;  ///< files and pipes take bytes; else ENOSPC
constexpr Needs stack = 16;   ///< `wait()`: no coroutine has one, so it runs on the other models
constexpr Needs outside = 32; ///< something that no task does: not in a simulation
constexpr Needs on_worker = 64; ///< coroutines or fibers: not on threads
constexpr Needs urgency = 128;  ///< a worker that runs its tasks by urgency

struct Case {
    std::string_view subject;
    std::string_view name;
    Needs needs;
    Task<Result<void>> (*body)(Io io);
    const char* file;
    int line;
};

/// Every case, in no order that matters.
std::vector<Case>& table();

struct Registered {
    explicit Registered(const Case& one) { table().push_back(one); }
};

// NOLINTBEGIN(bugprone-macro-parentheses)
#define ZSYNC_CASE(subject, name, needs)                                                           \
    static ::zsync::Task<::zsync::Result<void>> subject##_##name(::zsync::Io io);                  \
    static const ::zsync::conformance::Registered registered_##subject##_##name(                   \
        {#subject, #name, needs, &subject##_##name, __FILE__, __LINE__}                            \
    );                                                                                             \
    static ::zsync::Task<::zsync::Result<void>> subject##_##name([[maybe_unused]] ::zsync::Io io)
// NOLINTEND(bugprone-macro-parentheses)

/// The outcome in a word: `ok`, the error's name, or the errno's.
std::string what(const Error& error);
template <class T> std::string what(const Result<T>& result) {
    return result ? "ok" : what(result.error());
}
template <class T>
    requires requires(const T& t) { what(t.count); }
std::string what(const T& transfer) {
    return what(transfer.count);
}

/// `expression` is a Result, or has one as `count`; `word` is what `what` makes of it.
#define EXPECT_IS(expression, word) EXPECT_EQ(::zsync::conformance::what(expression), word)

/// The wait's deadline passes. Leaves the case with `unsupported` where there is no clock.
#define TIMES_OUT(...)                                                                             \
    if (const std::string outcome_of_wait = ::zsync::conformance::what(__VA_ARGS__);               \
        outcome_of_wait == "Unsupported") {                                                        \
        co_return ::zsync::fail(::zsync::CoreError::unsupported);                                  \
    } else                                                                                         \
        EXPECT_EQ(outcome_of_wait, "TimedOut")

/// Leaves a case where the network is down; else what was expected.
#define EXPECT_FAILS(expression, word)                                                             \
    if (const std::string outcome_of_call = ::zsync::conformance::what(expression);                \
        outcome_of_call == "ENETDOWN") {                                                           \
        co_return ::zsync::fail(::zsync::os_error(ENETDOWN));                                      \
    } else                                                                                         \
        EXPECT_EQ(outcome_of_call, word)

/// Long enough for what is to time out, and not worth waiting for.
constexpr Duration soon = 2ms;

/// Waits until every other task of the executor waits for something.
Task<Result<void>> at_rest(Io io);

Task<Result<void>> sleep_long(Io io);

struct Pair {
    Fd a;
    Fd b;
};
/// `a` reads what is written to `b`.
Pair pipe_pair(int flags = 0);
/// Connected unix sockets.
Pair socket_pair(int type = SOCK_STREAM);
Pair unix_pair();
/// Connected over TCP, without delay.
Pair tcp_pair();
/// Both kinds of stream socket: what the kernel does for one is not what it does for the other.
using MakePair = Pair (*)();
constexpr std::array<MakePair, 2> each_family{&tcp_pair, &unix_pair};
Fd tcp_listener();
/// A UDP socket bound to the loopback.
Fd udp_socket();
SocketAddress loopback(std::uint16_t port = 0);
SocketAddress name_of(FdRef socket);
std::uint16_t port_of(const SocketAddress& address);
/// Sends without the runtime.
void put(FdRef to, std::string_view text);
/// A buffer to send, of which every byte has a value.
Bytes filled(std::size_t size);
/// What there is to receive or read now, without the runtime and without waiting.
std::string take(FdRef from);
std::size_t open_descriptors();

/// A request of a stream that has ended may still have to hear its own end.
Task<Result<void>> until_released(Io io, const std::shared_ptr<BufferPool>& pool);

/// A folder of its own, removed with all that is in it.
class Folder {
public:
    Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder();
    [[nodiscard]] std::string path(std::string_view name) const {
        return path_ + "/" + std::string(name);
    }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};
/// A file in the folder, made without the runtime.
Fd file_with(const Folder& folder, std::string_view name, std::string_view text);
std::string content_of(const std::string& path);

template <Buffer B> std::string text_of(const Transfer<B>& transfer) {
    const std::size_t count = transfer.count.value_or(0);
    return {reinterpret_cast<const char*>(std::data(transfer.buffer)), count};
}

} // namespace zsync::conformance
