// Errors of the store.
#pragma once

#include <zsync/core/error.hpp>

#include <cstdint>

namespace zsync::store {

enum class StoreError : std::uint16_t {
    /// A name that is no document's.
    invalid_name,
    no_such_document,
    /// What is on disk is not what was written; it has been set aside.
    damaged,
    /// Content over `document_bytes_max`, or a document over `documents_max`.
    too_big,
    /// Another process has the store.
    in_use,
};

extern const ErrorDomain store_errors;
constexpr const ErrorDomain& error_domain(StoreError) noexcept { return store_errors; }

} // namespace zsync::store
