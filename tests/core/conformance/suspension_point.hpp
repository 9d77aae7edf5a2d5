// Every public suspension point, and what must not get lost when it is cancelled.
#pragma once

#include "tests/core/conformance/conformance.hpp"

#include <memory>
#include <string_view>
#include <vector>

namespace zsync::conformance {

/// One scene around a suspension point: a task waits at it, something lets the wait end, somebody
/// cancels. Made and ended outside of the waiting task.
class Point {
public:
    Point() = default;
    Point(const Point&) = delete;
    Point& operator=(const Point&) = delete;
    virtual ~Point() = default;

    /// Brings the scene about, where the constructor cannot because it takes a wait.
    virtual Task<Result<void>> prepare(Io /*io*/) { co_return {}; }
    /// Waits at the point, once. What it gets is kept for `account`.
    virtual Task<Result<void>> wait(Io io) = 0;
    /// Lets the wait end with success. From any task or none, at any time, once.
    virtual void complete() {}
    /// Takes what is still to be had, where that takes a wait.
    virtual Task<Result<void>> settle(Io /*io*/) { co_return {}; }
    /// Ends what it holds of its executor's. True when that has to run once more for it.
    virtual bool release() { return false; }
    /// What was given is with the waiter, if it `got` it, or where it can be had. After the run.
    virtual void account(bool got) = 0;
    bool completed = false; ///< `complete` has been called
};

/// How a wait ends when nobody lets it end.
enum class Ending : std::uint8_t {
    waits,     ///< when it is let, or by a cancel
    never,     ///< by a cancel alone
    ends,      ///< soon, by itself: a cancel may come too late
    passes_on, ///< by a cancel that is passed on to what it waits for, and stays pending
    stays,     ///< when it is let: no cancel cuts it short
};

struct PointRow {
    std::string_view name;   ///< as a user writes it
    std::string_view awaits; ///< the awaitable's class, or the coroutine's name
    Needs needs;
    Ending ending;
    std::unique_ptr<Point> (*make)(Io io);
};

/// All of them. `tests/arch/test_suspension_points.py` compares it with the headers.
std::vector<PointRow> suspension_points();

// The parts of the list.
std::vector<PointRow> operation_points();
std::vector<PointRow> socket_points();
std::vector<PointRow> synchronisation_points();
std::vector<PointRow> task_points();
std::vector<PointRow> stream_points();
std::vector<PointRow> worker_points();
std::vector<PointRow> limiter_points();
std::vector<PointRow> asio_points();
std::vector<PointRow> callback_points();
std::vector<PointRow> helper_points();
std::vector<PointRow> deadline_points();

template <class P> std::unique_ptr<Point> make_point(Io io) {
    if constexpr (std::constructible_from<P, Io>) {
        return std::make_unique<P>(io);
    } else {
        return std::make_unique<P>();
    }
}

} // namespace zsync::conformance
