// Suspension points of what ends all that was begun in it: the helpers, and in fibers and threads
// the ends of lives.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/batch.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/select.hpp>
#include <zsync/core/within.hpp>

#include <array>
#include <atomic>
#include <span>
#include <string>

namespace zsync::conformance {
namespace {

/// Counts the calls that wait for its event. None may go on behind the wait.
class OnCalls : public Point {
public:
    void complete() override { event_.set(); }
    void account(bool /*got*/) override { EXPECT_EQ(running_, 0) << "a task is left"; }

protected:
    Task<Result<void>> see() {
        ++running_;
        const Result<void> seen = co_await event_.wait();
        --running_;
        co_return seen;
    }
    /// A task that no cancel ends.
    Task<Result<void>> see_in_the_end() {
        ++running_;
        const CancelProtection protection;
        const Result<void> seen = co_await event_.wait();
        --running_;
        co_return seen;
    }
    /// What a helper gave: nothing that it began is there any more.
    [[nodiscard]] Result<void> left_with(Result<void> given) const {
        EXPECT_EQ(running_, 0) << "a task is left";
        return given;
    }

    Event event_;
    std::atomic<int> running_ = 0;
};

struct InScope final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        co_return left_with(co_await in_scope(io, "scope", &InScope::body, this));
    }

private:
    static Task<Result<void>> body(Scope& scope, InScope* self) {
        scope.spawn("child", &InScope::see, self);
        scope.spawn("child", &InScope::see, self);
        co_return {};
    }
};

struct InFuture final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        co_return left_with(co_await in_future(io.async(&InFuture::see, this), &InFuture::body, io)
        );
    }

private:
    static Task<Result<void>> body(Future<Result<void>>& future, Io /*io*/) {
        co_return co_await future;
    }
};

/// The body leaves a task that takes its time.
struct InFutureToTheEnd final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        co_return left_with(co_await in_future(
            io.async(&InFutureToTheEnd::see_in_the_end, this), &InFutureToTheEnd::body, this
        ));
    }
    void account(bool got) override {
        EXPECT_TRUE(got);
        OnCalls::account(got);
    }

private:
    static Task<Result<void>> body(Future<Result<void>>& /*future*/, InFutureToTheEnd* /*self*/) {
        co_return {};
    }
};

struct InJoinSet final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        co_return left_with(co_await in_join_set<Result<void>>(io, &InJoinSet::body, this));
    }
    void account(bool got) override {
        EXPECT_TRUE(got);
        OnCalls::account(got);
    }

private:
    static Task<Result<void>> body(JoinSet<Result<void>>& set, InJoinSet* self) {
        set.spawn(&InJoinSet::see_in_the_end, self);
        set.spawn(&InJoinSet::see, self);
        co_return {};
    }
};

struct InSelect final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        co_return left_with(co_await in_select<Result<void>>(io, &InSelect::body, this));
    }
    void account(bool got) override {
        EXPECT_TRUE(got);
        OnCalls::account(got);
    }

private:
    static Task<Result<void>> body(Select<Result<void>>& select, InSelect* self) {
        select.async<0>(&InSelect::see_in_the_end, self);
        select.async<0>(&InSelect::see, self);
        co_return {};
    }
};

struct Within final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        co_return left_with(co_await within(io, io.now() + 24h, &Within::see, this));
    }
};

/// A batch with one receive in it, which takes what there is or nothing.
class OnReceive : public Point {
public:
    void complete() override { put(pair_.b, "bytes"); }
    void account(bool /*got*/) override {
        const std::string rest = take(pair_.a);
        EXPECT_EQ(std::string(bytes_.data()) + rest, completed ? "bytes" : "")
            << "a byte was lost or doubled";
    }

protected:
    Result<void> begin(Batch& batch) {
        return batch.add(
            1, BatchOperation::recv(FdRef(pair_.a), std::as_writable_bytes(std::span(bytes_)))
        );
    }
    Pair pair_ = socket_pair();
    std::array<char, 16> bytes_{};
    std::array<BatchSlot, 2> storage_;
};

struct InBatch final : OnReceive {
    Task<Result<void>> wait(Io io) override {
        co_return co_await in_batch(io, storage_, &InBatch::body, this);
    }

private:
    static Task<Result<void>> body(Batch& batch, InBatch* self) {
        ZCO_CHECK(self->begin(batch));
        co_return co_await batch.at_least(1);
    }
};

struct BatchEnds final : OnReceive {
    Task<Result<void>> wait(Io io) override {
        Batch batch(io, storage_);
        co_return begin(batch);
    }
};

struct FutureEnds final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        {
            const auto left = io.async(&FutureEnds::see, this);
        }
        co_return left_with({});
    }
};

struct JoinSetEnds final : OnCalls {
    Task<Result<void>> wait(Io io) override {
        {
            JoinSet<Result<void>> left(io);
            left.spawn(&JoinSetEnds::see, this);
            left.spawn(&JoinSetEnds::see, this);
        }
        co_return left_with({});
    }
};

} // namespace

std::vector<PointRow> helper_points() {
    using enum Ending;
    return {
        {"in_scope", "in_scope", beside, waits, &make_point<InScope>},
        {"in_future", "in_future", beside, passes_on, &make_point<InFuture>},
        {"in_future of a task that cleans up",
         "in_future",
         beside,
         stays,
         &make_point<InFutureToTheEnd>},
        {"in_join_set", "in_join_set", beside, stays, &make_point<InJoinSet>},
        {"in_select", "in_select", beside, stays, &make_point<InSelect>},
        {"in_batch", "in_batch", network, waits, &make_point<InBatch>},
        {"within", "within", beside | timer, passes_on, &make_point<Within>},
        {"a batch's end", "BatchCancel", network | stack, ends, &make_point<BatchEnds>},
        {"a future's end", "Future::Await", beside | stack, ends, &make_point<FutureEnds>},
        {"a join set's end", "JoinSet::Cancel", beside | stack, ends, &make_point<JoinSetEnds>},
    };
}

} // namespace zsync::conformance
