// Named limits of the store.
#pragma once

#include <cstddef>

namespace zsync::store::limits {

/// Bytes of a document's content.
constexpr std::size_t document_bytes_max = std::size_t{80} << 20;
/// Bytes of a document's name.
constexpr std::size_t name_bytes_max = 128;
/// Documents in one store.
constexpr std::size_t documents_max = 4096;
/// Damaged documents of one name that are kept aside; the oldest gives way to the next.
constexpr std::size_t kept_aside_max = 8;

} // namespace zsync::store::limits
