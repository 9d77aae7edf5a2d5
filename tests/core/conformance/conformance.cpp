#include "tests/core/conformance/conformance.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <poll.h>
#include <sstream>
#include <unistd.h>

namespace zsync::conformance {

std::vector<Case>& table() {
    static std::vector<Case> cases;
    return cases;
}

std::string what(const Error& error) {
    if (error == Error(CoreError::os)) {
        const char* name = ::strerrorname_np(error.os_error());
        return name != nullptr ? name : "no errno";
    }
    return std::string(error.name());
}

Task<Result<void>> at_rest(Io io) {
    const std::uint64_t self = TaskRecord::current()->id();
    for (bool all = false; !all;) {
        ZCO_CHECK(co_await io.yield());
        all = true;
        for (const TaskInfo& task : io.executor().tasks()) {
            all = all && (task.id == self || task.state.starts_with("waiting"));
        }
    }
    co_return {};
}

Task<Result<void>> sleep_long(Io io) { co_return co_await io.sleep_for(24h); }

Pair pipe_pair(int flags) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | flags), 0);
    return {.a = Fd(ends[0]), .b = Fd(ends[1])};
}

Pair socket_pair(int type) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()), 0);
    return {.a = Fd(ends[0]), .b = Fd(ends[1])};
}

SocketAddress loopback(std::uint16_t port) {
    SocketAddress address;
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof in;
    return address;
}

SocketAddress name_of(FdRef socket) {
    SocketAddress address;
    address.length = sizeof address.storage;
    auto* generic = reinterpret_cast<sockaddr*>(&address.storage);
    EXPECT_EQ(::getsockname(socket.get(), generic, &address.length), 0);
    return address;
}

std::uint16_t port_of(const SocketAddress& address) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(address.storage).sin_port);
}

namespace {
Fd bound(int type) {
    Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const SocketAddress address = loopback();
    const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
    EXPECT_EQ(::bind(socket.get(), generic, address.length), 0);
    return socket;
}
} // namespace

Fd tcp_listener() {
    Fd listener = bound(SOCK_STREAM);
    EXPECT_EQ(::listen(listener.get(), 16), 0);
    return listener;
}

Fd udp_socket() { return bound(SOCK_DGRAM); }

Pair tcp_pair() {
    const Fd listener = tcp_listener();
    const SocketAddress address = name_of(listener);
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
    EXPECT_EQ(::connect(client.get(), generic, address.length), 0);
    Fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int on = 1;
    EXPECT_EQ(::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    return {.a = std::move(server), .b = std::move(client)};
}

Pair unix_pair() { return socket_pair(); }

Task<Result<void>> until_released(Io io, const std::shared_ptr<BufferPool>& pool) {
    while (pool.use_count() > 1) {
        ZCO_CHECK(co_await io.yield());
    }
    co_return {};
}

void put(FdRef to, std::string_view text) {
    EXPECT_EQ(::write(to.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

Bytes filled(std::size_t size) {
    Bytes bytes(size);
    std::memset(bytes.data(), 'f', size);
    return bytes;
}

std::string take(FdRef from) {
    std::string all;
    std::array<char, 4096> some{};
    pollfd one{.fd = from.get(), .events = POLLIN, .revents = 0};
    while (::poll(&one, 1, 0) > 0 && (one.revents & POLLIN) != 0) {
        const ssize_t count = ::read(from.get(), some.data(), some.size());
        if (count <= 0) {
            break;
        }
        all.append(some.data(), static_cast<std::size_t>(count));
    }
    return all;
}

std::size_t open_descriptors() {
    const std::unique_ptr<DIR, decltype([](DIR* dir) { (void)::closedir(dir); })> dir(
        ::opendir("/proc/self/fd")
    );
    std::size_t count = 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): a directory stream of this call's own
    while (dir != nullptr && ::readdir(dir.get()) != nullptr) {
        ++count;
    }
    return count;
}

Folder::Folder() : path_(testing::TempDir() + "zsync-conformance-XXXXXX") {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
}

Folder::~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Fd file_with(const Folder& folder, std::string_view name, std::string_view text) {
    Fd file(::open(folder.path(name).c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    EXPECT_EQ(::pwrite(file.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    return file;
}

std::string content_of(const std::string& path) {
    const std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

} // namespace zsync::conformance
