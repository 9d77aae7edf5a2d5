// A document decodes only if it is what encoding its content gives.
#include <zsync/core/assert.hpp>
#include <zsync/store/document.hpp>

#include <cstddef>
#include <cstdint>

using namespace zsync::store;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto content = decode_document(bytes);
    ZASSERT(!content || encode_document(*content) == bytes, "there is one way to write a document");
    ZASSERT(decode_document(encode_document(bytes)) == bytes, "any content comes back");
    return 0;
}
