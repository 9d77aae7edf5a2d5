// Result: the return type of everything that can fail.
#pragma once

#include <zsync/core/error.hpp>

#include <expected>

namespace zsync {

template <class T> using Result = std::expected<T, Error>;

/// For calls whose failure is read by a person.
template <class T> using Outcome = std::expected<T, Fault>;

inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(error); }
inline std::unexpected<Fault> fail(Error error, std::string detail) {
    return std::unexpected<Fault>(std::in_place, error, std::move(detail));
}

} // namespace zsync

/// The value of a `Result` or `Outcome`, or leave the function with its error.
///
///     Result<Config> load(Path path) {
///         Bytes text = ZTRY(read_file(path));
///         return parse(text);
///     }
#define ZTRY(...) ZSYNC_TRY(ZSYNC_JOIN(ztry_result_, __COUNTER__), __VA_ARGS__)

/// `ZTRY` for coroutines. It is a statement that declares its variable, because g++ 14 cannot
/// compile a `co_await` inside a statement expression (internal compiler error in
/// gimplify_var_or_parm_decl).
///
///     ZCO_TRY(auto line, co_await reader.line());
///     ZCO_CHECK(co_await writer.flush());
#define ZCO_TRY(declaration, ...)                                                                  \
    ZSYNC_CO_TRY(ZSYNC_JOIN(zco_result_, __COUNTER__), declaration, __VA_ARGS__)
#define ZCO_CHECK(...)                                                                             \
    if (auto zco_result = (__VA_ARGS__); !zco_result) [[unlikely]]                                 \
    co_return std::unexpected(std::move(zco_result).error())

#define ZSYNC_JOIN_(a, b) a##b
#define ZSYNC_JOIN(a, b) ZSYNC_JOIN_(a, b)
#define ZSYNC_TRY(result, ...)                                                                     \
    ({                                                                                             \
        auto&& result = (__VA_ARGS__);                                                             \
        if (!result) [[unlikely]] {                                                                \
            return std::unexpected(std::move(result).error());                                     \
        }                                                                                          \
        *std::move(result);                                                                        \
    })
#define ZSYNC_CO_TRY(result, declaration, ...)                                                     \
    auto result = (__VA_ARGS__);                                                                   \
    if (!result) [[unlikely]] {                                                                    \
        co_return std::unexpected(std::move(result).error());                                      \
    }                                                                                              \
    declaration = *std::move(result)
