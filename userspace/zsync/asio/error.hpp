// Boost's error codes as errors of ours, and back.
#pragma once

#include <zsync/asio/limits.hpp>
#include <zsync/core/error.hpp>
#include <zsync/core/result.hpp>

#include <array>
#include <atomic>
#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace zsync::asio {

namespace detail {

/// The errors of one library: a Boost category as a domain of ours.
struct CategoryDomain : ErrorDomain {
    const boost::system::error_category* category = nullptr;
};

inline std::string describe(const Error& error) {
    const auto& domain = static_cast<const CategoryDomain&>(error.domain());
    if (domain.category == nullptr) {
        return "error " + std::to_string(error.os_error()) + " of a library without words here";
    }
    return domain.category->message(error.os_error());
}

/// Every category that an error came from so far. Domains are only added, and stay.
class Categories {
public:
    static const CategoryDomain& domain_of(const boost::system::error_category& category) {
        static Categories categories;
        return categories.find_or_add(category);
    }

private:
    const CategoryDomain& find_or_add(const boost::system::error_category& category) {
        if (const CategoryDomain* found = find(category)) {
            return *found;
        }
        const std::scoped_lock lock(adding_);
        if (const CategoryDomain* found = find(category)) {
            return *found;
        }
        const std::size_t index = count_.load(std::memory_order_relaxed);
        if (index == domains_.size()) {
            static const CategoryDomain nameless{
                {.name = "unknown", .entries = {}, .describe = &describe}, nullptr
            };
            return nameless;
        }
        domains_[index] = {
            {.name = category.name(), .entries = {}, .describe = &describe}, &category
        };
        count_.store(index + 1, std::memory_order_release);
        return domains_[index];
    }
    const CategoryDomain* find(const boost::system::error_category& category) const noexcept {
        const std::size_t count = count_.load(std::memory_order_acquire);
        for (std::size_t index = 0; index < count; ++index) {
            if (*domains_[index].category == category) {
                return &domains_[index];
            }
        }
        return nullptr;
    }

    std::array<CategoryDomain, limits::error_categories_max> domains_;
    std::atomic<std::size_t> count_{0};
    std::mutex adding_;
};

} // namespace detail

/// A failure of Asio, or of a library on it, as an `Error`: of the system as `CoreError::os` with
/// its errno, of any other library in a domain that has the category's name and words. Nothing is
/// lost: `code_of` gives the code again.
inline Error to_error(const boost::system::error_code& code) {
    const boost::system::error_category& category = code.category();
    if (category == boost::system::system_category() ||
        category == boost::system::generic_category()) {
        return os_error(code.value());
    }
    return {detail::Categories::domain_of(category), code.value()};
}

/// The Boost code of an error: the one it was made of, or what stands for an error of the runtime
/// (`canceled` is `operation_aborted`). Nothing for errors that Boost has no code for.
inline std::optional<boost::system::error_code> code_of(const Error& error) {
    if (&error.domain() == &core_errors) {
        switch (static_cast<CoreError>(error.code())) {
        case CoreError::os:
            return boost::system::error_code(error.os_error(), boost::system::system_category());
        case CoreError::canceled:
            return boost::asio::error::make_error_code(boost::asio::error::operation_aborted);
        case CoreError::timed_out:
            return boost::asio::error::make_error_code(boost::asio::error::timed_out);
        default:
            return std::nullopt;
        }
    }
    if (error.domain().describe == &detail::describe) {
        const auto& domain = static_cast<const detail::CategoryDomain&>(error.domain());
        if (domain.category != nullptr) {
            return boost::system::error_code(error.os_error(), *domain.category);
        }
    }
    return std::nullopt;
}

/// Whether an error is this code, or meets this condition, of Boost's.
///
///     if (is(count.error(), boost::asio::error::eof)) { ... }
template <class Code> bool is(const Error& error, const Code& code) {
    const std::optional<boost::system::error_code> own = code_of(error);
    return own && *own == code;
}

} // namespace zsync::asio
