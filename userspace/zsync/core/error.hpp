// What failed, as a value of three words. Text is made where it is logged or sent, never where it
// happens.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace zsync {

/// One row of a domain's table: the code, the name a program sees (`NoSuchInterface`) and the words
/// a person reads.
struct ErrorEntry {
    std::uint16_t code;
    std::string_view name;
    std::string_view text;
};

class Error;

/// A subsystem's errors. Each subsystem has one constant of this type; `Error` points at it, so
/// `core` knows no other subsystem's codes and every code has a name and a text by construction.
struct ErrorDomain {
    std::string_view name;
    std::span<const ErrorEntry> entries;
    /// Words for an error of a foreign library's domain, whose numbers stand in no table of ours.
    std::string (*describe)(const Error&) = nullptr;
};

/// A failure: 16 bytes, trivially copyable, comparable. `os_error` is the errno behind it, or 0; in
/// a foreign domain it is that library's own number.
class [[nodiscard]] Error {
public:
    /// An error of a foreign domain, which has `describe`.
    constexpr Error(const ErrorDomain& domain, int number)
        : domain_(&domain), code_(static_cast<std::uint16_t>(number)), os_error_(number) {}
    template <class Code>
        requires std::is_enum_v<Code>
    // NOLINTNEXTLINE(google-explicit-constructor): codes are errors
    constexpr Error(Code code, int os_error = 0)
        : domain_(&error_domain(code)), code_(static_cast<std::uint16_t>(code)),
          os_error_(os_error) {}

    [[nodiscard]] constexpr const ErrorDomain& domain() const noexcept { return *domain_; }
    [[nodiscard]] constexpr std::uint16_t code() const noexcept { return code_; }
    [[nodiscard]] constexpr int os_error() const noexcept { return os_error_; }

    /// The program-visible name, unique within its domain; of a foreign one the domain's.
    [[nodiscard]] std::string_view name() const noexcept;
    /// Words for a person, with the system's own text where an errno is behind it.
    [[nodiscard]] std::string message() const;
    /// True for the third outcome: neither success nor failure, made only by the runtime.
    [[nodiscard]] bool is_canceled() const noexcept;

    friend constexpr bool operator==(const Error& a, const Error& b) noexcept {
        return a.domain_ == b.domain_ && a.code_ == b.code_ &&
               (a.domain_->describe == nullptr || a.os_error_ == b.os_error_);
    }

private:
    const ErrorDomain* domain_;
    std::uint16_t code_;
    int os_error_;
};

/// Errors of the runtime and of system calls. A failing system call is `CoreError::os` with its
/// errno unless the runtime gives it a meaning of its own (`canceled`, `timed_out`).
enum class CoreError : std::uint16_t {
    os,
    canceled,
    timed_out,
    closed,
    limit_reached,
    unsupported,
    invalid_argument,
    concurrency_unavailable,
    deadlock,
};

extern const ErrorDomain core_errors;
constexpr const ErrorDomain& error_domain(CoreError) noexcept { return core_errors; }

/// The error of a failed system call.
[[nodiscard]] constexpr Error os_error(int errno_value) noexcept {
    return {CoreError::os, errno_value};
}

/// An error with the words a person needs: what was refused, where, and what to do. Control-plane
/// calls, whose callers are people, return `Outcome`; data-plane calls return `Result`.
struct [[nodiscard]] Fault {
    Error error;
    std::string detail;

    // NOLINTNEXTLINE(google-explicit-constructor): an error is a fault without words
    Fault(Error e) : error(e) {}
    Fault(Error e, std::string words) : error(e), detail(std::move(words)) {}

    /// The detail if there is one, else the error's own text.
    [[nodiscard]] std::string message() const;
};

} // namespace zsync
