// Sends of 64 KiB on zsync: `send_zsync zc|copy tcp|udp ADDRESS PORT COUNT`, as its peer.
#include "bench/runtime/peers/listen.h"

#include <zsync/core/io.hpp>
#include <zsync/core/pinned_memory.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

using namespace zsync;

namespace {

constexpr std::size_t slot_bytes = 64 * 1024;
constexpr std::size_t datagram_bytes = 65000;
constexpr unsigned depth = 16;

struct Job {
    Fd socket;
    std::size_t message_bytes = slot_bytes;
    bool zero_copy = false;
    long left = 0;
    long copied = 0;
    double cpu_ns = 0;
};

double cpu_ns() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return 1e9 * static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e3 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/// One buffer, written anew and sent, again and again.
Task<Result<void>> send_often(Io io, Job& job, PinnedSpan message) {
    while (job.left > 0) {
        std::memset(message.data(), static_cast<int>(job.left--), 64);
        if (job.zero_copy) {
            const auto sent = co_await io.send_zero_copy(job.socket, message, MSG_WAITALL);
            ZCO_CHECK(sent.count);
            die_if(*sent.count != message.size(), "send");
            job.copied += sent.copied ? 1 : 0;
        } else {
            const auto sent = co_await io.send(job.socket, message, MSG_WAITALL);
            ZCO_CHECK(sent.count);
            die_if(*sent.count != message.size(), "send");
        }
    }
    co_return {};
}

Task<Result<void>> send_all(Io io, Job& job) {
    ZCO_TRY(const auto memory, PinnedMemory::create(io, depth * slot_bytes));
    std::memset(memory->bytes().data(), 1, memory->bytes().size());
    const double start = cpu_ns();
    Scope senders(io, "senders");
    for (unsigned slot = 0; slot < depth; ++slot) {
        senders.spawn(
            "sender", send_often(io, job, memory->part(slot * slot_bytes, job.message_bytes))
        );
    }
    const Result<void> sent = co_await senders.join();
    job.cpu_ns = cpu_ns() - start;
    co_return sent;
}

Fd connect_to(int type, const char* address, const char* port) {
    Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
    die_if(::inet_pton(AF_INET, address, &where.sin_addr) != 1, "address");
    die_if(
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0, "connect"
    );
    return fd;
}

} // namespace

int main(int count, char** words) {
    die_if(count != 6, "usage: send_zsync zc|copy tcp|udp ADDRESS PORT COUNT");
    auto worker = Worker::create();
    die_if(!worker, "worker");
    const bool udp = std::string_view(words[2]) == "udp";
    const long sends = std::atol(words[5]);
    Job job{
        .socket = connect_to(udp ? SOCK_DGRAM : SOCK_STREAM, words[3], words[4]),
        .message_bytes = udp ? datagram_bytes : slot_bytes,
        .zero_copy = std::string_view(words[1]) == "zc",
        .left = sends,
    };
    const Io io = (*worker)->io();
    die_if(!io.run("send", send_all(io, job)), "send");
    std::printf("%.1f %ld\n", job.cpu_ns / static_cast<double>(sends), job.copied);
    return 0;
}
