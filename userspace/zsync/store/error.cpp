#include <zsync/store/error.hpp>

#include <array>

namespace zsync::store {
namespace {

using std::to_underlying;

constexpr std::array entries{
    ErrorEntry{
        .code = to_underlying(StoreError::invalid_name),
        .name = "InvalidName",
        .text = "no name of a document"
    },
    ErrorEntry{
        .code = to_underlying(StoreError::no_such_document),
        .name = "NoSuchDocument",
        .text = "no such document"
    },
    ErrorEntry{
        .code = to_underlying(StoreError::damaged),
        .name = "Damaged",
        .text = "the saved state is damaged"
    },
    ErrorEntry{
        .code = to_underlying(StoreError::too_big),
        .name = "TooBig",
        .text = "too much state to save"
    },
    ErrorEntry{
        .code = to_underlying(StoreError::in_use),
        .name = "InUse",
        .text = "the state directory is in use"
    },
};

} // namespace

constinit const ErrorDomain store_errors{.name = "store", .entries = entries};

} // namespace zsync::store
