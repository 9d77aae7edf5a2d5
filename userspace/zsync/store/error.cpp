#include <zsync/store/error.hpp>

#include <array>

namespace zsync::store {
namespace {

using std::to_underlying;

constexpr std::array entries{
    ErrorEntry{to_underlying(StoreError::invalid_name), "InvalidName", "no name of a document"},
    ErrorEntry{to_underlying(StoreError::no_such_document), "NoSuchDocument", "no such document"},
    ErrorEntry{to_underlying(StoreError::damaged), "Damaged", "the saved state is damaged"},
    ErrorEntry{to_underlying(StoreError::too_big), "TooBig", "too much state to save"},
    ErrorEntry{to_underlying(StoreError::in_use), "InUse", "the state directory is in use"},
};

} // namespace

constinit const ErrorDomain store_errors{"store", entries};

} // namespace zsync::store
