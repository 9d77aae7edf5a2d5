#include "tests/packet/xsk_threads.hpp"

#include "tests/packet/processor.hpp"

#include <zsync/core/worker.hpp>
#include <zsync/packet/xsk/redirect.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace zsync::packet::test {
namespace {

/// How often a thread looks whether it shall end.
constexpr std::chrono::milliseconds look_interval{5};
/// Sent frames come back at once, unless somebody holds them.
constexpr int settle_looks_max = 1000;

/// Runs a task on a worker of this thread; what it has to say ends the program, because whoever
/// waits for its traffic would wait for ever.
template <class Make> void run_task(Make make) {
    auto worker = Worker::create();
    const Outcome<void> done = !worker ? Outcome<void>(std::unexpected(worker.error()))
                                       : (*worker)->run("xsk", make((*worker)->io()));
    if (!done) {
        (void)std::fprintf(stderr, "%s\n", done.error().message().c_str());
        std::abort();
    }
}

void wait_for(const std::atomic<bool>& ready) {
    while (!ready) {
        std::this_thread::sleep_for(look_interval);
    }
}

} // namespace

ReceivingThread::ReceivingThread(
    std::string ifname, std::uint32_t receive_entries, std::optional<unsigned> cpu
) {
    thread_ = std::thread([this, ifname = std::move(ifname), receive_entries, cpu] {
        if (cpu) {
            stay_on(*cpu);
        }
        run_task([&](Io io) { return receive(io, ifname, receive_entries); });
    });
    wait_for(ready_);
}

ReceivingThread::~ReceivingThread() { (void)stop(); }

ReceiveReport ReceivingThread::stop() {
    stopping_ = true;
    if (thread_.joinable()) {
        thread_.join();
    }
    return report_;
}

Task<Outcome<void>>
ReceivingThread::receive(Io io, std::string ifname, std::uint32_t receive_entries) {
    ZCO_TRY(
        auto pool,
        xsk::Umem::create({.frames = receive_entries + 2 * xsk::limits::batch_frames_max})
    );
    {
        ZCO_TRY(auto redirect, xsk::Redirect::attach(ifname));
        ZCO_TRY(
            auto socket,
            co_await xsk::Socket::open(
                io, pool, {.ifname = ifname, .receive_entries = receive_entries}
            )
        );
        ZCO_CHECK(redirect.enter(*socket));
        ready_ = true;
        xsk::FrameBatch batch;
        while (!stopping_ || socket->has_received()) {
            // The usual wait of a program, with a look at the flag from time to time.
            (void)co_await socket->wait_readable(io.now() + look_interval);
            socket->fetch(batch);
            received_ = received_ + batch.size();
            batch.clear();
            ZCO_CHECK(co_await io.yield());
        }
        ZCO_TRY(report_.stats, socket->stats());
        report_.open = pool->balance();
    }
    report_.closed = pool->balance();
    co_return {};
}

ForwardingThread::ForwardingThread(
    const std::string& first, const std::string& second, std::optional<unsigned> cpu
) {
    thread_ = std::thread([this, first, second, cpu] {
        if (cpu) {
            stay_on(*cpu);
        }
        run_task([&](Io io) { return forward(io, first, second); });
    });
    wait_for(ready_);
}

ForwardingThread::~ForwardingThread() { (void)stop(); }

xsk::ForwardStatus ForwardingThread::stop() {
    stopping_ = true;
    if (thread_.joinable()) {
        thread_.join();
    }
    return status_;
}

Error ForwardingThread::ended() const {
    wait_for(has_ended_);
    return end_.value_or(os_error(0));
}

Task<Result<void>> ForwardingThread::run(xsk::Forwarder* forwarder) {
    Result<void> end = co_await forwarder->run();
    if (!end && !end.error().is_canceled()) {
        end_ = end.error();
        has_ended_ = true;
    }
    co_return end;
}

Task<Outcome<void>> ForwardingThread::forward(Io io, std::string first, std::string second) {
    ZCO_TRY(const auto from, xsk::Redirect::attach(first));
    ZCO_TRY(const auto to, xsk::Redirect::attach(second));
    ZCO_TRY(const auto forwarder, co_await xsk::Forwarder::open(io, {.ports = {first, second}}));
    ZCO_CHECK(from.enter(*forwarder->sockets(0).front()));
    ZCO_CHECK(to.enter(*forwarder->sockets(1).front()));
    auto running = io.async(&ForwardingThread::run, this, forwarder.get());
    ready_ = true;
    while (!stopping_) {
        ZCO_CHECK(co_await io.sleep_for(look_interval));
        forwarded_ = forwarder->status().ports[0].forwarded;
    }
    if (has_ended_) {
        (void)co_await running.await();
        status_ = forwarder->status();
        co_return {};
    }
    const auto on_its_way = [&] {
        return std::ranges::any_of(forwarder->sockets(0), [](const auto& socket) {
            return socket->has_received();
        });
    };
    for (int looks = 0; on_its_way() && looks < settle_looks_max; ++looks) {
        ZCO_CHECK(co_await io.sleep_for(look_interval));
    }
    (void)co_await running.cancel();
    for (const auto& socket : forwarder->sockets(1)) {
        ZCO_CHECK(co_await socket->flush());
    }
    status_ = forwarder->status();
    co_return {};
}

} // namespace zsync::packet::test
