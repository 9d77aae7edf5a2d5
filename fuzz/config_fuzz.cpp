// Any text is a configuration or a list of errors that is safe to print. Behind a NUL byte is a
// drop-in.
#include <zsync/core/assert.hpp>
#include <zsync/core/text.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <zsyncd/config.hpp>

using namespace zsync;
using namespace zsync::zsyncd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const std::size_t nul = input.rfind('\0');
    std::vector<ConfigText> texts{{.name = "main", .text = std::string(input.substr(0, nul))}};
    if (nul != std::string_view::npos) {
        texts.push_back({.name = "drop-in", .text = std::string(input.substr(nul + 1))});
    }
    const auto config = parse_config(texts);
    if (!config) {
        std::string message = config.error().message();
        ZASSERT(!message.empty(), "a failure has words");
        std::ranges::replace(message, '\n', ' ');
        ZASSERT(printable(message, message.size() + 1) == message, "messages are safe to print");
        return 0;
    }
    ZASSERT(
        config->interfaces.size() <= zsyncd::limits::configured_interfaces_max,
        "a configuration is within its limits"
    );
    return 0;
}
