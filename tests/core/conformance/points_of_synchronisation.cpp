// Suspension points of locks, signals and channels.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/barrier.hpp>
#include <zsync/core/broadcast.hpp>
#include <zsync/core/cancel_token.hpp>
#include <zsync/core/channel.hpp>
#include <zsync/core/condition.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/future.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/core/once.hpp>
#include <zsync/core/oneshot.hpp>
#include <zsync/core/rw_lock.hpp>
#include <zsync/core/semaphore.hpp>
#include <zsync/core/wait_group.hpp>
#include <zsync/core/watch.hpp>

#include <optional>

namespace zsync::conformance {
namespace {

template <class T> Result<void> nothing_of(const Result<T>& result) {
    return result ? Result<void>() : Result<void>(fail(result.error()));
}
/// Whether what was given is with the waiter or still to be had, and not both.
void expect_one(bool got, bool left, bool given) {
    EXPECT_EQ(static_cast<int>(got) + static_cast<int>(left), static_cast<int>(given));
}

struct MutexLock final : Point {
    Task<Result<void>> wait(Io /*io*/) override { co_return nothing_of(co_await mutex_.lock()); }
    void complete() override { held_.unlock(); }
    void account(bool /*got*/) override {
        held_.unlock();
        EXPECT_TRUE(mutex_.try_lock().owns_lock());
    }

private:
    Mutex mutex_;
    Mutex::Lock held_ = mutex_.try_lock();
};

struct ReadLock final : Point {
    Task<Result<void>> wait(Io /*io*/) override { co_return nothing_of(co_await lock_.read()); }
    void complete() override { held_.unlock(); }
    void account(bool /*got*/) override {
        held_.unlock();
        EXPECT_TRUE(lock_.try_write().owns_lock());
    }

private:
    RwLock lock_;
    RwLock::WriteLock held_ = lock_.try_write();
};

struct WriteLock final : Point {
    Task<Result<void>> wait(Io /*io*/) override { co_return nothing_of(co_await lock_.write()); }
    void complete() override { held_.unlock(); }
    void account(bool /*got*/) override {
        held_.unlock();
        EXPECT_TRUE(lock_.try_write().owns_lock());
    }

private:
    RwLock lock_;
    RwLock::ReadLock held_ = lock_.try_read();
};

struct Acquire final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        ZCO_TRY(auto permits, co_await permits_.acquire(2));
        EXPECT_EQ(permits.count(), 2U);
        co_return {};
    }
    void complete() override { permits_.release(); }
    void account(bool /*got*/) override {
        EXPECT_EQ(permits_.available(), completed ? 2U : 1U) << "a permit was lost or made";
    }

private:
    Semaphore permits_{1};
};

struct ConditionWait final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        ZCO_TRY(Mutex::Lock lock, co_await mutex_.lock());
        const Result<void> waited = co_await changed_.wait(lock);
        EXPECT_TRUE(lock.owns_lock());
        EXPECT_FALSE(mutex_.try_lock().owns_lock());
        co_return waited;
    }
    void complete() override { changed_.signal(); }
    void account(bool /*got*/) override { EXPECT_TRUE(mutex_.try_lock().owns_lock()); }

private:
    Mutex mutex_;
    Condition changed_;
};

struct EventWait final : Point {
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await event_.wait(); }
    void complete() override { event_.set(); }
    void account(bool got) override { EXPECT_TRUE(!got || event_.is_set()); }

private:
    Event event_;
};

struct NotifyWait final : Point {
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await notify_.wait(); }
    void complete() override { notify_.notify(); }
    void account(bool got) override { expect_one(got, notify_.wait().await_ready(), completed); }

private:
    Notify notify_;
};

struct BarrierArrive final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        co_return nothing_of(co_await barrier_.arrive());
    }
    void complete() override { passed_ = barrier_.arrive().await_ready(); }
    void account(bool got) override {
        EXPECT_EQ(got, passed_) << "a round is complete for both or for none";
        EXPECT_EQ(barrier_.arrived(), 0U);
    }

private:
    Barrier barrier_{2};
    bool passed_ = false;
};

struct WaitGroupWait final : Point {
    WaitGroupWait() { group_.add(); }
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await group_.wait(); }
    void complete() override { group_.done(); }
    void account(bool /*got*/) override { EXPECT_EQ(group_.count(), completed ? 0U : 1U); }

private:
    WaitGroup group_;
};

struct GetOrMake final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        co_return nothing_of(co_await cell_.get_or_make(&GetOrMake::make, this));
    }
    void complete() override { go_.set(); }
    void account(bool got) override { EXPECT_EQ(cell_.get() != nullptr, got); }

private:
    Task<Result<int>> make() {
        ZCO_CHECK(co_await go_.wait());
        co_return 1;
    }
    OnceCell<int> cell_;
    Event go_;
};

/// Waits for its turn, while another task makes the value.
struct GetOrMakeInTurn final : Point {
    Task<Result<void>> prepare(Io io) override {
        ZCO_TRY(maker_, io.concurrent(&GetOrMakeInTurn::make_first, this));
        co_return {};
    }
    Task<Result<void>> wait(Io io) override {
        co_return nothing_of(
            co_await cell_.get_or_make_until(io.now() + 24h, &GetOrMakeInTurn::make, this)
        );
    }
    void complete() override { go_.set(); }
    Task<Result<void>> settle(Io /*io*/) override {
        go_.set();
        ZCO_CHECK(co_await *maker_);
        EXPECT_EQ(made_, 1) << "made twice, or never";
        co_return {};
    }
    void account(bool got) override { EXPECT_TRUE(!got || cell_.get() != nullptr); }

private:
    Task<Result<int>> make() {
        ZCO_CHECK(co_await go_.wait());
        co_return ++made_;
    }
    Task<Result<void>> make_first() {
        co_return nothing_of(co_await cell_.get_or_make(&GetOrMakeInTurn::make, this));
    }
    OnceCell<int> cell_;
    Event go_;
    std::optional<Future<Result<void>>> maker_;
    int made_ = 0;
};

struct TokenWait final : Point {
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await token_.canceled(); }
    void complete() override { token_.cancel(); }
    void account(bool /*got*/) override { EXPECT_EQ(token_.is_canceled(), completed); }

private:
    CancelToken token_;
};

struct ChannelSend final : Point {
    ChannelSend() {
        int first = 1;
        EXPECT_TRUE(channel_.try_send(first));
    }
    Task<Result<void>> wait(Io /*io*/) override {
        auto sending = channel_.send(2);
        const Result<void> sent = co_await sending;
        EXPECT_TRUE(sent || sending.take_back() == 2);
        co_return sent;
    }
    void complete() override { EXPECT_EQ(channel_.try_receive(), 1); }
    void account(bool got) override {
        std::size_t twos = 0;
        while (const auto left = channel_.try_receive()) {
            twos += *left == 2 ? 1 : 0;
        }
        EXPECT_EQ(twos, got ? 1U : 0U) << "a value was lost or doubled";
    }

private:
    Channel<int> channel_{1};
};

struct ChannelReceive final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        co_return nothing_of(co_await channel_.receive());
    }
    void complete() override {
        int value = 1;
        EXPECT_TRUE(channel_.try_send(value));
    }
    void account(bool got) override { expect_one(got, channel_.size() != 0, completed); }

private:
    Channel<int> channel_{1};
};

struct OneshotReceive final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        co_return nothing_of(co_await answer_.receive());
    }
    void complete() override { EXPECT_TRUE(sender_.send(1)); }
    void account(bool got) override {
        expect_one(got, answer_.try_receive().has_value(), completed);
    }

private:
    Oneshot<int> answer_;
    Oneshot<int>::Sender sender_ = answer_.sender();
};

struct BroadcastReceive final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        co_return nothing_of(co_await receiver_.receive());
    }
    void complete() override { EXPECT_EQ(news_.send(1), 1U); }
    void account(bool got) override {
        expect_one(got, receiver_.receive().await_ready(), completed);
    }

private:
    Broadcast<int> news_{2};
    Broadcast<int>::Receiver receiver_ = news_.subscribe();
};

struct WatchChanged final : Point {
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await receiver_.changed(); }
    void complete() override { level_.set(2); }
    void account(bool /*got*/) override { EXPECT_EQ(receiver_.has_changed(), completed); }

private:
    Watch<int> level_{1};
    Watch<int>::Receiver receiver_ = level_.subscribe();
};

} // namespace

std::vector<PointRow> synchronisation_points() {
    using enum Ending;
    return {
        {"mutex.lock", "Mutex::Acquire", nothing, waits, &make_point<MutexLock>},
        {"rw_lock.read", "RwLock::Acquire", nothing, waits, &make_point<ReadLock>},
        {"rw_lock.write", "RwLock::Acquire", nothing, waits, &make_point<WriteLock>},
        {"semaphore.acquire", "Semaphore::Acquire", nothing, waits, &make_point<Acquire>},
        {"condition.wait", "Condition::Wait", nothing, waits, &make_point<ConditionWait>},
        {"event.wait", "Event::Wait", nothing, waits, &make_point<EventWait>},
        {"notify.wait", "Notify::Wait", nothing, waits, &make_point<NotifyWait>},
        {"barrier.arrive", "Barrier::Arrive", nothing, waits, &make_point<BarrierArrive>},
        {"wait_group.wait", "WaitGroup::Wait", nothing, waits, &make_point<WaitGroupWait>},
        {"once.get_or_make", "OnceCell::get_or_make", nothing, waits, &make_point<GetOrMake>},
        {"once.get_or_make_until",
         "OnceCell::get_or_make_until",
         beside | timer,
         waits,
         &make_point<GetOrMakeInTurn>},
        {"cancel_token.canceled", "CancelToken::Wait", nothing, waits, &make_point<TokenWait>},
        {"channel.send", "Channel::Send", nothing, waits, &make_point<ChannelSend>},
        {"channel.receive", "Channel::Receive", nothing, waits, &make_point<ChannelReceive>},
        {"oneshot.receive", "Oneshot::Receive", nothing, waits, &make_point<OneshotReceive>},
        {"broadcast.receive", "Broadcast::Receive", nothing, waits, &make_point<BroadcastReceive>},
        {"watch.changed", "Watch::Changed", nothing, waits, &make_point<WatchChanged>},
    };
}

} // namespace zsync::conformance
