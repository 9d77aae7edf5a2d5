// Very many TCP connections on which nothing happens: what one costs in memory of the process.
//
//     idle_connections COUNT BYTES_MAX
//
// Both ends are in this process; the other ends are bare descriptors. Exits with 1 when a
// connection costs more, or when one of them turns out not to work.
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <unistd.h>
#include <vector>

using namespace zsync;

namespace {

/// A destination has some 28,000 local ports. connect(2) takes every second one first, and when
/// those are taken goes through all of them each time before it looks at the others.
constexpr std::size_t connections_per_address = 12000;
constexpr std::size_t connections_woken = 1000;

std::size_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::size_t total = 0;
    std::size_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

sockaddr_in address_of(std::size_t number, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = port;
    address.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(number / connections_per_address));
    return address;
}

struct Heard {
    std::size_t bytes = 0;
    std::size_t ended = 0;
};

Task<Result<void>>
serve(Io io, Fd socket, std::shared_ptr<BufferPool> pool, Heard& heard) { // NOLINT
    RecvStream stream(io, socket, std::move(pool));
    for (;;) {
        ZCO_TRY(const Chunk chunk, co_await stream.next());
        if (chunk.empty()) {
            ++heard.ended;
            co_return {};
        }
        heard.bytes += chunk.size();
    }
}

Task<Result<std::size_t>> measure(Io io, std::size_t count, Heard& heard) {
    ZCO_TRY(const Fd listener, co_await io.socket(AF_INET, SOCK_STREAM));
    SocketAddress any;
    any.storage.ss_family = AF_INET;
    any.length = sizeof(sockaddr_in);
    ZCO_CHECK(co_await io.bind(listener, any));
    ZCO_CHECK(co_await io.listen(listener, 128));
    sockaddr_in bound{};
    socklen_t length = sizeof bound;
    (void)::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &length);

    ZCO_TRY(auto pool, BufferPool::create(io, 256, 2048));
    Scope scope(io, "connections");
    std::vector<Fd> clients(count);
    const std::size_t before = resident_bytes();
    for (std::size_t n = 0; n < count; ++n) {
        clients[n] = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in address = address_of(n, bound.sin_port);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        if (::connect(clients[n].get(), generic, sizeof address) != 0) {
            co_return fail(os_error(errno));
        }
        ZCO_TRY(Fd server, co_await io.accept(listener));
        scope.spawn("connection", serve(io, std::move(server), pool, heard));
    }
    ZCO_CHECK(co_await io.yield());
    const std::size_t each = (std::max(resident_bytes(), before) - before) / count;

    // They work: some say something, and all hang up.
    const std::size_t step = std::max<std::size_t>(count / connections_woken, 1);
    std::size_t said = 0;
    for (std::size_t n = 0; n < count; n += step) {
        said += ::send(clients[n].get(), "x", 1, 0) == 1 ? 1U : 0U;
    }
    while (heard.bytes < said) {
        ZCO_CHECK(co_await io.sleep_for(std::chrono::milliseconds(1)));
    }
    clients.clear();
    ZCO_CHECK(co_await scope.join());
    co_return each;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s COUNT BYTES_MAX\n", argv[0]);
        return 2;
    }
    const std::size_t count = std::strtoull(argv[1], nullptr, 10);
    const std::size_t bytes_max = std::strtoull(argv[2], nullptr, 10);
    const rlim_t descriptors = 2 * count + 64;
    const rlimit limits{.rlim_cur = descriptors, .rlim_max = descriptors};
    if (::setrlimit(RLIMIT_NOFILE, &limits) != 0) {
        std::perror("RLIMIT_NOFILE");
        return 2;
    }
    auto worker = Worker::create();
    if (!worker) {
        std::fprintf(stderr, "%s\n", worker.error().message().c_str());
        return 2;
    }
    Heard heard;
    const auto each = (*worker)->run("root", measure((*worker)->io(), count, heard));
    if (!each) {
        std::fprintf(stderr, "%s\n", each.error().message().c_str());
        return 1;
    }
    std::printf("%zu idle connections: %zu bytes of user memory each\n", count, *each);
    return heard.ended == count && *each <= bytes_max ? 0 : 1;
}
