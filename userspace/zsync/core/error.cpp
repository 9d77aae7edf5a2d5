#include <zsync/core/error.hpp>

#include <system_error>

#include <algorithm>
#include <array>

namespace zsync {
namespace {

constexpr std::array core_entries{
    ErrorEntry{
        .code = std::to_underlying(CoreError::os), .name = "Os", .text = "system call failed"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::canceled), .name = "Canceled", .text = "canceled"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::timed_out), .name = "TimedOut", .text = "timed out"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::closed),
        .name = "Closed",
        .text = "closed by the other side"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::limit_reached),
        .name = "LimitReached",
        .text = "a limit is reached"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::unsupported),
        .name = "Unsupported",
        .text = "not supported on this system"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::invalid_argument),
        .name = "InvalidArgument",
        .text = "invalid argument"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::concurrency_unavailable),
        .name = "ConcurrencyUnavailable",
        .text = "nothing here can run this beside its caller"
    },
    ErrorEntry{
        .code = std::to_underlying(CoreError::deadlock),
        .name = "Deadlock",
        .text = "nothing is left that could end this wait"
    },
};

const ErrorEntry& entry_of(const Error& error) {
    const auto entries = error.domain().entries;
    const auto found = std::ranges::find(entries, error.code(), &ErrorEntry::code);
    return found != entries.end() ? *found : core_entries.front();
}

} // namespace

constinit const ErrorDomain core_errors{.name = "core", .entries = core_entries};

std::string_view Error::name() const noexcept {
    return domain_->describe != nullptr ? domain_->name : entry_of(*this).name;
}

std::string Error::message() const {
    if (domain_->describe != nullptr) {
        return domain_->describe(*this);
    }
    const std::string_view text = entry_of(*this).text;
    if (os_error_ == 0) {
        return std::string(text);
    }
    std::string system_text = std::generic_category().message(os_error_);
    if (*this == Error(CoreError::os)) {
        return system_text;
    }
    return std::string(text) + ": " + system_text;
}

bool Error::is_canceled() const noexcept { return *this == Error(CoreError::canceled); }

std::string Fault::message() const { return detail.empty() ? error.message() : detail; }

} // namespace zsync
