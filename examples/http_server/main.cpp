// An HTTP/1.1 file server: `http_server PORT FOLDER [fibers]`.
//
// A task a connection, all on one thread. Read it from `main` down: the listener and its clients
// live in one scope, so that a signal ends all of them, and nothing is left when `main` returns.
#include "request.hpp"

#include <zsync/core/accept_stream.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/log.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/signals.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <format>
#include <memory>
#include <span>
#include <string>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

constexpr auto idle_time_max = 30s; // for a request, and for each block of an answer
constexpr std::uint32_t receive_buffers = 1024;
constexpr std::uint32_t receive_buffer_bytes = 4096;
constexpr std::size_t file_block_bytes = 64UZ * 1024;

struct Site {
    Fd folder;
    std::shared_ptr<BufferPool> buffers;
};

std::string head_of(int status, std::string_view reason, std::uint64_t length, bool keep_alive) {
    return std::format(
        "HTTP/1.1 {} {}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
        status,
        reason,
        length,
        keep_alive ? "keep-alive" : "close"
    );
}

Task<Result<void>> send_all(Io io, FdRef to, std::span<const char> text, std::uint32_t flags = 0) {
    for (std::span<const char> rest = text; !rest.empty();) {
        const auto sent =
            co_await io.send(to, rest, flags | MSG_WAITALL).until(io.now() + idle_time_max);
        ZCO_CHECK(sent.count);
        rest = rest.subspan(*sent.count);
    }
    co_return {};
}

Task<Result<void>> refuse(Io io, FdRef client, Refusal refusal, bool head_only = false) {
    std::string text = head_of(refusal.status, refusal.reason, refusal.reason.size() + 1, false);
    if (!head_only) {
        text += std::format("{}\n", refusal.reason);
    }
    co_return co_await send_all(io, client, text);
}

Task<Result<void>> send_file(Io io, FdRef client, const Fd& file, std::uint64_t length) {
    Bytes block(file_block_bytes);
    for (std::uint64_t sent = 0; sent < length;) {
        auto [count, filled] = co_await io.read(file, std::move(block), sent);
        block = std::move(filled);
        ZCO_CHECK(count);
        if (*count == 0) {
            co_return fail(CoreError::closed); // the file has become shorter than it was promised
        }
        ZCO_CHECK(co_await send_all(io, client, block.text(*count)));
        sent += *count;
    }
    co_return {};
}

/// Answers one request. False when the connection ends with it.
Task<Result<bool>> answer(Io io, FdRef client, const Site& site, std::string_view head) {
    Refusal refusal{};
    const std::optional<Request> request = parse_request(head, refusal);
    if (!request) {
        ZCO_CHECK(co_await refuse(io, client, refusal, head.starts_with("HEAD ")));
        co_return false;
    }
    const Result<Fd> file =
        co_await io.open(request->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, site.folder);
    Result<struct statx> found = fail(CoreError::closed);
    if (file) {
        found = co_await io.stat(*file);
    }
    if (!found || !S_ISREG(found->stx_mode)) {
        ZCO_CHECK(co_await refuse(io, client, not_found, request->head_only));
        co_return false;
    }
    const std::string answer_head = head_of(200, "OK", found->stx_size, request->keep_alive);
    const bool has_body = !request->head_only && found->stx_size > 0;
    ZCO_CHECK(co_await send_all(io, client, answer_head, has_body ? MSG_MORE : 0));
    if (has_body) {
        ZCO_CHECK(co_await send_file(io, client, *file, found->stx_size));
    }
    co_return request->keep_alive;
}

/// One connection, request after request.
Task<void> serve_client(Io io, Fd client, const Site& site) {
    RecvStream in(io, client, site.buffers);
    std::string received;
    for (;;) {
        std::optional<std::size_t> end;
        while (!(end = end_of_head(received))) {
            if (received.size() > head_bytes_max) {
                (void)co_await refuse(io, client, head_too_large);
                co_return;
            }
            const Result<Chunk> chunk = co_await in.next().until(io.now() + idle_time_max);
            if (!chunk || chunk->empty()) {
                co_return;
            }
            const auto bytes = chunk->bytes();
            received.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }
        const Result<bool> goes_on =
            co_await answer(io, client, site, std::string_view(received).substr(0, *end));
        if (!goes_on || !*goes_on) {
            (void)co_await io.shutdown(client, SHUT_WR);
            co_return;
        }
        received.erase(0, *end);
    }
}

Task<Result<void>> accept_clients(Io io, Scope& clients, const Fd& listener, const Site& site) {
    AcceptStream connections(io, listener);
    for (;;) {
        ZCO_TRY(Fd client, co_await connections.next());
        const int on = 1;
        ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        clients.spawn("client", serve_client(io, std::move(client), site));
    }
}

Task<Result<Fd>> listen_on(Io io, std::uint16_t port) {
    ZCO_TRY(Fd listener, co_await io.socket(AF_INET6, SOCK_STREAM));
    const int on = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    SocketAddress address{.length = sizeof(sockaddr_in6)};
    auto& any = reinterpret_cast<sockaddr_in6&>(address.storage);
    any.sin6_family = AF_INET6; // and IPv4, by mapped addresses
    any.sin6_port = htons(port);
    ZCO_CHECK(co_await io.bind(listener, address));
    ZCO_CHECK(co_await io.listen(listener, SOMAXCONN));
    co_return listener;
}

Task<Result<void>> stop_on_signal(Io io, SignalSet& signals, Scope& scope) {
    ZCO_CHECK(co_await signals.next(io));
    scope.cancel();
    co_return {};
}

Task<Result<void>>
serve(Scope& scope, Io io, std::uint16_t port, std::string folder, SignalSet* signals) {
    Site site;
    ZCO_TRY(site.folder, co_await io.open(std::move(folder), O_RDONLY | O_DIRECTORY));
    ZCO_TRY(site.buffers, BufferPool::create(io, receive_buffers, receive_buffer_bytes));
    ZCO_TRY(const Fd listener, co_await listen_on(io, port));
    scope.spawn("signals", stop_on_signal(io, *signals, scope));
    scope.spawn("accept", accept_clients(io, scope, listener, site));
    log::info(std::format("serving on port {}", port));
    co_return co_await scope.join(); // before what the tasks borrow is gone
}

} // namespace

int main(int count, char** words) {
    std::uint16_t port = 0;
    const std::string_view port_text = count >= 3 ? words[1] : "";
    if (std::from_chars(port_text.data(), port_text.data() + port_text.size(), port).ptr !=
            port_text.data() + port_text.size() ||
        port == 0) {
        (void)std::fprintf(stderr, "usage: http_server PORT FOLDER [fibers]\n");
        return 2;
    }
    auto worker = Worker::create();
    if (!worker) {
        log::error(worker.error().message());
        return 1;
    }
    auto signals = SignalSet::create({SIGINT, SIGTERM});
    if (!signals) {
        log::error(signals.error().message());
        return 1;
    }
    const bool on_fibers = count > 3 && std::string_view(words[3]) == "fibers";
    const Io io = on_fibers ? (*worker)->fiber_io() : (*worker)->io();
    const Result<void> served =
        io.run("http", in_scope(io, "server", &serve, io, port, std::string(words[2]), &*signals));
    if (!served && !served.error().is_canceled()) {
        log::error(served.error().message());
        return 1;
    }
    return 0;
}
