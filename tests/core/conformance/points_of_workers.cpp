// Suspension points of batches, of ports, of real-time tasks, and of calls on other workers.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/batch.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/port.hpp>
#include <zsync/core/real_time_task.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_address.hpp>

#include <array>
#include <optional>
#include <string>

namespace zsync::conformance {
namespace {

/// A batch with one receive in it.
class OnBatch : public Point {
public:
    void complete() override { put(pair_.b, "bytes"); }
    void account(bool /*got*/) override {
        EXPECT_EQ(got_ + take(pair_.a).size(), completed ? 5U : 0U) << "a byte was lost or doubled";
        EXPECT_EQ(completions_, 1) << "one completion an operation";
    }

protected:
    Result<void> begin(Batch& batch) {
        return batch.add(
            7, BatchOperation::recv(FdRef(pair_.a), std::as_writable_bytes(std::span(bytes_)))
        );
    }
    /// Stops what is left, and takes everything.
    Task<void> finish(Batch& batch) {
        co_await batch.cancel();
        while (const auto done = batch.next()) {
            ++completions_;
            EXPECT_EQ(done->tag, 7U);
            got_ += done->value.value_or(0);
        }
    }
    Pair pair_ = socket_pair();
    std::array<char, 16> bytes_{};
    std::array<BatchSlot, 2> storage_;
    std::size_t got_ = 0;
    int completions_ = 0;
};

struct BatchAll final : OnBatch {
    Task<Result<void>> wait(Io io) override {
        Batch batch(io, storage_);
        ZCO_CHECK(begin(batch));
        const Result<void> all = co_await batch.all();
        EXPECT_EQ(batch.in_flight(), 0U);
        co_await finish(batch);
        co_return all;
    }
};

struct BatchAtLeast final : OnBatch {
    Task<Result<void>> wait(Io io) override {
        Batch batch(io, storage_);
        ZCO_CHECK(begin(batch));
        const Result<void> one = co_await batch.at_least(1);
        co_await finish(batch);
        co_return one;
    }
};

struct BatchCanceled final : OnBatch {
    Task<Result<void>> wait(Io io) override {
        Batch batch(io, storage_);
        ZCO_CHECK(begin(batch));
        co_await finish(batch);
        co_return {};
    }
};

struct Compute final : Point {
    Task<Result<void>> wait(Io io) override {
        co_return co_await io.compute([this] { ran_ = true; });
    }
    void account(bool got) override { EXPECT_EQ(ran_, got); }

private:
    bool ran_ = false;
};

struct PortReceive final : Point {
    explicit PortReceive(Io io) : port_(*Port<int>::create(io, 4)), sender_(port_->sender()) {}
    Task<Result<void>> wait(Io /*io*/) override {
        ZCO_TRY(const int value, co_await port_->receive());
        EXPECT_EQ(value, 1);
        ++got_;
        co_return {};
    }
    void complete() override {
        int value = 1;
        EXPECT_TRUE(sender_->try_send(value));
    }
    void account(bool /*got*/) override {
        EXPECT_EQ(got_ + port_->size(), completed ? 1U : 0U) << "a value was lost or doubled";
        sender_.reset();
        port_.reset();
    }

private:
    std::optional<Port<int>> port_;
    std::optional<PortSender<int>> sender_;
    std::size_t got_ = 0;
};

/// A port that is full.
struct PortSend final : Point {
    explicit PortSend(Io io) : port_(*Port<int>::create(io, 1)), sender_(port_->sender()) {
        int first = 1;
        EXPECT_TRUE(sender_->try_send(first));
    }
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await sender_->send(2); }
    void complete() override {
        auto receiving = port_->receive();
        EXPECT_TRUE(receiving.await_ready());
        const Result<int> value = receiving.await_resume();
        twos_ += value && *value == 2 ? 1 : 0;
    }
    Task<Result<void>> settle(Io /*io*/) override {
        sender_.reset(); // the last one: the port drains
        while (const auto value = co_await port_->receive()) {
            twos_ += *value == 2 ? 1 : 0;
        }
        settled_ = true;
        co_return {};
    }
    void account(bool got) override {
        EXPECT_TRUE(!settled_ || twos_ == (got ? 1 : 0)) << "a value was lost or doubled";
        sender_.reset();
        port_.reset();
    }

private:
    std::optional<Port<int>> port_;
    std::optional<PortSender<int>> sender_;
    int twos_ = 0;
    bool settled_ = false;
};

enum class Way : std::uint8_t { call, task, async };

/// A call by the way that leads to other workers, and back.
template <Way way> struct RemoteCallOf final : Point {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(const WorkerAddress there, static_cast<Worker&>(io.executor()).address());
        const Result<void> called = co_await go_there(io, there);
        if (what(called) == "Closed") { // a worker that ends takes no calls any more
            co_return io.check_cancel();
        }
        co_return called;
    }
    void complete() override { go_.set(); }
    void account(bool /*got*/) override { EXPECT_EQ(began_, ended_) << "a task is left"; }

private:
    Task<Result<void>> go_there(Io io, WorkerAddress there) {
        if constexpr (way == Way::call) {
            co_return co_await there.call("guest", &RemoteCallOf::guest, this);
        } else if constexpr (way == Way::task) {
            co_return co_await there.task("guest", &RemoteCallOf::guest, this);
        } else {
            auto called = there.async(io, "guest", &RemoteCallOf::guest, this);
            co_return co_await called;
        }
    }
    static Task<Result<void>> guest(Io /*io*/, RemoteCallOf* self) {
        ++self->began_;
        const Result<void> waited = co_await self->go_.wait();
        ++self->ended_;
        co_return waited;
    }
    Event go_;
    int began_ = 0;
    int ended_ = 0;
};

/// The release of a job that is a day away.
struct NextPeriod final : Point {
    Task<Result<void>> wait(Io io) override {
        auto job = RealTimeTask::enter(io, {.period = 24h, .budget = 1ms});
        if (!job) {
            co_return fail(job.error().error);
        }
        const Result<void> released = co_await job->next_period();
        EXPECT_EQ(job->stats().jobs, 1U);
        co_return released;
    }
    void account(bool got) override { EXPECT_FALSE(got); }
};

} // namespace

std::vector<PointRow> worker_points() {
    using enum Ending;
    return {
        {"batch.all", "BatchWait", network, waits, &make_point<BatchAll>},
        {"batch.at_least", "BatchWait", network, waits, &make_point<BatchAtLeast>},
        {"batch.cancel", "BatchCancel", network, ends, &make_point<BatchCanceled>},
        {"io.compute", "OffloadWait", nothing, ends, &make_point<Compute>},
        {"port.receive",
         "PortState::Receive",
         on_worker | outside,
         waits,
         &make_point<PortReceive>},
        {"port.send", "PortState::Send", on_worker | outside, waits, &make_point<PortSend>},
        {"worker_address.call",
         "RemoteCall",
         on_worker | outside,
         waits,
         &make_point<RemoteCallOf<Way::call>>},
        {"worker_address.task",
         "RemoteCall",
         on_worker | outside,
         waits,
         &make_point<RemoteCallOf<Way::task>>},
        {"worker_address.async",
         "Future::Await",
         on_worker | outside,
         passes_on,
         &make_point<RemoteCallOf<Way::async>>},
        {"real_time_task.next_period",
         "SleepWait",
         timer | on_worker | urgency,
         never,
         &make_point<NextPeriod>},
    };
}

} // namespace zsync::conformance
