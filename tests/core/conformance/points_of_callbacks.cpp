// Suspension points of libraries in C that call back.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/c/callback.hpp>

namespace zsync::conformance {
namespace {

/// Waits for the call of a library, which a cancel may end early.
template <bool can_stop> struct Called final : Point {
    Task<Result<void>> wait(Io /*io*/) override {
        using Answer = c::Callback<int>;
        Answer answered = can_stop ? Answer(&stop, this) : Answer();
        function_ = answered.function();
        user_ = answered.user();
        if (completed) {
            call(0);
        }
        const int status = co_await answered;
        ++waits_;
        if (status != 0) {
            co_return fail(CoreError::canceled);
        }
        co_return {};
    }
    void complete() override { call(0); }
    void account(bool /*got*/) override { EXPECT_EQ(calls_, waits_) << "a call was lost"; }

private:
    static void stop(void* self) { static_cast<Called*>(self)->call(1); }
    /// Once, and not before the library has been asked.
    void call(int status) {
        if (const auto function = std::exchange(function_, nullptr)) {
            ++calls_;
            function(user_, status);
        }
    }

    void (*function_)(void*, int) = nullptr;
    void* user_ = nullptr;
    int calls_ = 0;
    int waits_ = 0;
};

} // namespace

std::vector<PointRow> callback_points() {
    using enum Ending;
    return {
        {"c callback", "Callback", on_worker, passes_on, &make_point<Called<true>>},
        {"c callback of a library that knows no end",
         "Callback",
         on_worker,
         stays,
         &make_point<Called<false>>},
    };
}

} // namespace zsync::conformance
