// Leaks one thing on purpose, or none: `leaking KIND`. What is leaked stays reachable, in `kept`.
#include <zsync/core/accept_stream.hpp>
#include <zsync/core/datagram_stream.hpp>
#include <zsync/core/future.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/worker.hpp>

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace zsync;

namespace {

/// Lives until the process ends.
template <class T> T& keep(T value) {
    static std::vector<std::unique_ptr<T>>& kept = *new std::vector<std::unique_ptr<T>>;
    kept.push_back(std::make_unique<T>(std::move(value)));
    return *kept.back();
}

struct Pair {
    Fd near;
    Fd far;
};

/// Two connected sockets, out of the ledger's sight.
Pair& sockets() {
    std::array<int, 2> ends{};
    (void)::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data());
    return keep(Pair{Fd(ends[0]), Fd(ends[1])});
}

/// A TCP listener, out of the ledger's sight.
Fd& listener() {
    Fd& made = keep(Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    (void)::listen(made.get(), 1);
    return made;
}

/// A connection to it, where that waits to be accepted.
Fd client_of(const Fd& listening) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    (void)::getsockname(listening.get(), generic, &length);
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    (void)::connect(client.get(), generic, length);
    return client;
}

/// Connected sockets as above, over TCP, where one request serves all receives.
Pair& tcp_sockets() {
    const Fd& listening = listener();
    Fd far = client_of(listening);
    return keep(Pair{Fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC)), std::move(far)}
    );
}

Task<Result<void>> nothing(Io io) {
    ZCO_TRY(Fd null, co_await io.open("/dev/null", O_RDWR));
    auto [count, buffer] = co_await io.write(null, Bytes(16));
    ZCO_CHECK(count);
    co_return co_await io.yield();
}

Task<Result<Fd>> open_null(Io io) {
    co_return co_await io.open("/dev/null", O_RDONLY); // LINE: open
}

Task<Result<void>> opened(Io io) {
    ZCO_TRY(Fd null, co_await open_null(io)); // LINE: open's caller
    keep(std::move(null));
    co_return {};
}

Task<Result<void>> made(Io io) {
    keep(Fd(::eventfd(0, EFD_CLOEXEC))); // LINE: eventfd
    co_return co_await io.yield();
}

Task<Result<void>> frame(Io io) {
    keep(nothing(io)); // never awaited
    co_return co_await io.yield();
}

Task<Result<void>> future(Io io) {
    keep(io.async("forgotten", nothing, io)); // LINE: async
    co_return co_await io.yield();
}

Task<Result<void>> chunk(Io io, Pair* ends) {
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 256)); // LINE: pool
    RecvStream in(io, ends->near, pool);                // LINE: in
    (void)::send(ends->far.get(), "x", 1, 0);
    ZCO_TRY(Chunk got, co_await in.next()); // LINE: next
    keep(std::move(pool));
    keep(std::move(got));
    co_return {};
}

Task<Result<void>> count(Io io, Pair* ends) {
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 256));
    RecvStream in(io, ends->near, pool);
    (void)::send(ends->far.get(), "x", 1, 0);
    const auto held = [io] { return static_cast<int>(io.executor().tasks()[0].buffers); };
    ZCO_TRY(Chunk got, co_await in.next());
    std::printf("root holds %d", held());
    got = Chunk();
    std::printf(", then %d\n", held());
    co_return {};
}

/// Reads two chunks, and holds them until it is cancelled.
Task<Result<void>> read_two(Io io, RecvStream* in) {
    ZCO_TRY(const Chunk first, co_await in->next());
    ZCO_TRY(const Chunk second, co_await in->next());
    co_return co_await io.sleep_for(std::chrono::hours(1));
}

Task<Result<void>> share(Io io, Pair* ends) {
    ZCO_TRY(auto pool, BufferPool::create(io, 8, 1));
    RecvStream in(io, ends->near, pool);
    (void)::send(ends->far.get(), "abcd", 4, 0);
    for (int n = 0; n < 20; ++n) { // buffers that went back are nobody's
        (void)::send(ends->far.get(), "x", 1, 0);
        ZCO_TRY(const Chunk gone, co_await in.next());
    }
    ZCO_TRY(const Chunk mine, co_await in.next());
    auto reading = io.async("reader", read_two, io, &in);
    ZCO_CHECK(co_await io.sleep_for(std::chrono::milliseconds(5)));
    const std::vector<TaskInfo> tasks = io.executor().tasks();
    std::printf(
        "root holds %d, the reader %d\n",
        static_cast<int>(tasks[0].buffers),
        static_cast<int>(tasks[1].buffers)
    );
    (void)co_await reading.cancel();
    co_return {};
}

/// A chunk on its way to a peer that takes nothing.
Task<Result<void>> sending(Io io, Pair* ends) {
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 256));
    RecvStream in(io, ends->near, pool);
    (void)::send(ends->far.get(), "x", 1, 0);
    ZCO_TRY(Chunk got, co_await in.next());
    const std::string block(65536, 'x');
    while (::send(ends->near.get(), block.data(), block.size(), MSG_DONTWAIT) > 0) {
    }
    SendStream& out = keep(SendStream(io, ends->near, pool)); // LINE: send stream
    ZCO_CHECK(co_await out.send(std::move(got)));
    co_return co_await io.yield();
}

Task<Result<Chunk>> read_one(RecvStream* in) { co_return co_await in->next(); }

Task<Result<void>> stream(Io io, Pair* ends) {
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 256));
    RecvStream& in = keep(RecvStream(io, ends->near, pool)); // LINE: stream
    auto first = io.async(read_one, &in);
    (void)co_await io.yield();
    (void)co_await io.yield();
    (void)co_await first.cancel(); // the request goes on for the next reader
    co_return {};
}

Task<Result<Fd>> accept_one(AcceptStream* connections) { co_return co_await connections->next(); }

Task<Result<void>> accepting(Io io, Fd* listening) {
    AcceptStream& connections = keep(AcceptStream(io, *listening)); // LINE: accept stream
    auto first = io.async(accept_one, &connections);
    (void)co_await io.yield();
    (void)co_await io.yield();
    (void)co_await first.cancel();
    co_return {};
}

Task<Result<void>> accepted(Io io, Fd* listening) {
    AcceptStream connections(io, *listening); // LINE: connections
    const Fd client = client_of(*listening);
    ZCO_TRY(Fd server, co_await connections.next());
    keep(std::move(server));
    co_return {};
}

/// A stream of a socket that a task has opened.
Task<Result<void>> reading(Io io) {
    std::array<int, 2> ends{};
    (void)::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data());
    Fd& socket = keep(Fd(ends[0])); // LINE: reading
    keep(Fd(ends[1]));
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 256));
    RecvStream& in = keep(RecvStream(io, socket, pool)); // LINE: reading stream
    auto first = io.async(read_one, &in);
    (void)co_await io.yield();
    (void)co_await io.yield();
    (void)co_await first.cancel();
    co_return {};
}

Task<Result<void>> one_datagram(DatagramStream* stream) {
    ZCO_TRY(const ReceivedDatagram datagram, co_await stream->next());
    co_return {};
}

Task<Result<void>> datagrams(Io io, Fd* socket) {
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 256));
    DatagramStream& in = keep(DatagramStream(io, *socket, pool)); // LINE: datagram stream
    auto first = io.async(one_datagram, &in);
    (void)co_await io.yield();
    (void)co_await io.yield();
    (void)co_await first.cancel();
    co_return {};
}

int run_one(std::string_view kind) {
    auto worker = Worker::create();
    if (!worker) {
        (void)std::fprintf(stderr, "%s\n", worker.error().message().c_str());
        return 2;
    }
    const Io io = (*worker)->io();
    if (kind == "task") {
        keep((*worker)->io().async("never run", nothing, io)); // LINE: task
        return 0;
    }
    const std::map<std::string_view, std::function<Task<Result<void>>()>> programs{
        {"nothing", [io] { return nothing(io); }},
        {"opened", [io] { return opened(io); }},
        {"made", [io] { return made(io); }},
        {"frame", [io] { return frame(io); }},
        {"future", [io] { return future(io); }},
        {"chunk", [io] { return chunk(io, &sockets()); }},
        {"count", [io] { return count(io, &sockets()); }},
        {"share", [io] { return share(io, &tcp_sockets()); }},
        {"stream", [io] { return stream(io, &sockets()); }},
        {"sending", [io] { return sending(io, &sockets()); }},
        {"accepting", [io] { return accepting(io, &listener()); }},
        {"accepted", [io] { return accepted(io, &listener()); }},
        {"reading", [io] { return reading(io); }},
        {"datagrams",
         [io] { return datagrams(io, &keep(Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)))); }
        },
    };
    const auto found = programs.find(kind);
    if (found == programs.end()) {
        return 2;
    }
    return (*worker)->run("root", found->second()) ? 0 : 1;
}

int run_on_threads() {
    auto threads = ThreadExecutor::create();
    const Io io(**threads, TaskKind::thread);
    return io.run("root", opened(io)) ? 0 : 1;
}

} // namespace

int main(int count, char** words) {
    const std::string_view kind = count == 2 ? words[1] : "";
    const int code = kind == "threads" ? run_on_threads() : run_one(kind);
    (void)std::puts("the end");
    return code;
}
