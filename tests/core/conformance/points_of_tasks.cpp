// Suspension points of tasks that wait for tasks.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/event.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/select.hpp>

#include <optional>
#include <vector>

namespace zsync::conformance {
namespace {

Task<Result<void>> see(Event& event) { co_return co_await event.wait(); }
/// A task that no cancel ends.
Task<void> see_in_the_end(Event& event) {
    const CancelProtection protection;
    (void)co_await event.wait();
}
Result<void> flat(const Result<Result<void>>& result) {
    return result ? *result : Result<void>(fail(result.error()));
}

struct FutureAwait final : Point {
    Task<Result<void>> wait(Io io) override {
        auto inner = io.async(see, std::ref(event_));
        co_return co_await inner;
    }
    void complete() override { event_.set(); }
    void account(bool /*got*/) override {}

private:
    Event event_;
};

struct FutureAwaitAndDrop final : Point {
    Task<Result<void>> wait(Io io) override { co_return co_await io.async(see, std::ref(event_)); }
    void complete() override { event_.set(); }
    void account(bool /*got*/) override {}

private:
    Event event_;
};

struct FutureCancel final : Point {
    Task<Result<void>> wait(Io io) override {
        auto inner = io.async(see_in_the_end, std::ref(event_));
        co_await inner.cancel();
        co_return {};
    }
    void complete() override { event_.set(); }
    void account(bool got) override { EXPECT_TRUE(got); }

private:
    Event event_;
};

template <class ScopeKind> struct Join final : Point {
    Task<Result<void>> wait(Io io) override {
        ScopeKind scope(io, "scope");
        scope.spawn("child", see, std::ref(event_));
        scope.spawn("child", see, std::ref(event_));
        const Result<void> joined = co_await scope.join();
        EXPECT_EQ(scope.size(), 0U);
        co_return joined;
    }
    void complete() override { event_.set(); }
    void account(bool /*got*/) override {}

private:
    Event event_;
};

/// A set with one task in it, which is the root's and outlives the wait.
class OnJoinSet : public Point {
public:
    explicit OnJoinSet(Io io) : set_(io) { set_.spawn(see, std::ref(event_)); }
    void complete() override { event_.set(); }
    Task<Result<void>> settle(Io /*io*/) override {
        event_.set();
        while (auto left = co_await set_.next()) {
            ++left_;
        }
        settled_ = true;
        co_return {};
    }
    void account(bool /*got*/) override {
        if (settled_) {
            EXPECT_EQ(taken_ + left_, 1) << "a result was lost or doubled";
        }
    }

protected:
    Event event_;
    JoinSet<Result<void>> set_;
    int taken_ = 0;
    int left_ = 0;
    bool settled_ = false;
};

struct JoinSetNext final : OnJoinSet {
    using OnJoinSet::OnJoinSet;
    Task<Result<void>> wait(Io /*io*/) override {
        const auto next = co_await set_.next();
        taken_ += next ? 1 : 0;
        co_return flat(next);
    }
};

struct JoinSetCancel final : Point {
    explicit JoinSetCancel(Io io) : set_(io) { set_.spawn(see_in_the_end, std::ref(event_)); }
    Task<Result<void>> wait(Io /*io*/) override {
        while (co_await set_.cancel()) {
            ++taken_;
        }
        co_return {};
    }
    void complete() override { event_.set(); }
    void account(bool got) override {
        EXPECT_TRUE(got);
        EXPECT_EQ(taken_, 1);
    }

private:
    Event event_;
    JoinSet<void> set_;
    int taken_ = 0;
};

/// A select with one task in it.
class OnSelect : public Point {
public:
    explicit OnSelect(Io io) : all_(io) { all_.async<0>(see, std::ref(event_)); }
    void complete() override { event_.set(); }
    Task<Result<void>> settle(Io /*io*/) override {
        event_.set();
        while (auto left = co_await all_.await()) {
            ++left_;
        }
        settled_ = true;
        co_return {};
    }
    void account(bool /*got*/) override {
        if (settled_) {
            EXPECT_EQ(taken_ + left_, 1) << "a result was lost or doubled";
        }
    }

protected:
    Event event_;
    Select<Result<void>> all_;
    int taken_ = 0;
    int left_ = 0;
    bool settled_ = false;
};

struct SelectAwait final : OnSelect {
    using OnSelect::OnSelect;
    Task<Result<void>> wait(Io /*io*/) override {
        const auto next = co_await all_.await();
        if (!next) {
            co_return fail(next.error());
        }
        ++taken_;
        co_return std::get<0>(*next);
    }
};

struct SelectAwaitMany final : OnSelect {
    using OnSelect::OnSelect;
    Task<Result<void>> wait(Io /*io*/) override {
        std::vector<Select<Result<void>>::Value> some;
        const auto count = co_await all_.await_many(some, 1);
        taken_ += static_cast<int>(some.size());
        if (!count) {
            co_return fail(count.error());
        }
        co_return std::get<0>(some.at(0));
    }
};

struct SelectCancel final : Point {
    explicit SelectCancel(Io io) : all_(io) { all_.async<0>(see_in_the_end, std::ref(event_)); }
    Task<Result<void>> wait(Io /*io*/) override {
        while (co_await all_.cancel()) {
            ++taken_;
        }
        co_return {};
    }
    void complete() override { event_.set(); }
    void account(bool got) override {
        EXPECT_TRUE(got);
        EXPECT_EQ(taken_, 1);
    }

private:
    Event event_;
    Select<void> all_;
    int taken_ = 0;
};

struct SelectCancelDiscard final : Point {
    explicit SelectCancelDiscard(Io io) : all_(io) {
        all_.async<0>(see_in_the_end, std::ref(event_));
    }
    Task<Result<void>> wait(Io /*io*/) override {
        co_await all_.cancel_discard();
        co_return {};
    }
    void complete() override { event_.set(); }
    void account(bool got) override {
        EXPECT_TRUE(got);
        EXPECT_EQ(all_.size(), 0U);
    }

private:
    Event event_;
    Select<void> all_;
};

} // namespace

std::vector<PointRow> task_points() {
    using enum Ending;
    return {
        {"future.await", "Future::Await", beside, passes_on, &make_point<FutureAwait>},
        {"future.await of one that is dropped",
         "Future::Await",
         beside,
         passes_on,
         &make_point<FutureAwaitAndDrop>},
        {"future.cancel", "Future::Await", beside, stays, &make_point<FutureCancel>},
        {"scope.join", "Scope::Join", beside, waits, &make_point<Join<Scope>>},
        {"group.join", "Scope::Join", beside, waits, &make_point<Join<Group>>},
        {"join_set.next", "JoinSet::Next", beside, waits, &make_point<JoinSetNext>},
        {"join_set.cancel", "JoinSet::Cancel", beside, stays, &make_point<JoinSetCancel>},
        {"select.await", "JoinSet::Next", beside, waits, &make_point<SelectAwait>},
        {"select.await_many", "Select::await_many", beside, waits, &make_point<SelectAwaitMany>},
        {"select.cancel", "JoinSet::Cancel", beside, stays, &make_point<SelectCancel>},
        {"select.cancel_discard",
         "Select::cancel_discard",
         beside,
         stays,
         &make_point<SelectCancelDiscard>},
    };
}

} // namespace zsync::conformance
