#include <zsync/bus/types.hpp>
#include <zsync/core/assert.hpp>

#include <systemd/sd-bus.h>

#include <cstdlib>
#include <memory>

namespace zsync::bus {

std::string object_path(const std::string& prefix, const std::string& label) {
    char* encoded = nullptr;
    // Fails only for a prefix that is no path, which is this program's own text, or without memory.
    const int result = sd_bus_path_encode(prefix.c_str(), label.c_str(), &encoded);
    ZASSERT(result >= 0, "the prefix is an object path");
    const std::unique_ptr<char, decltype(&std::free)> owner(encoded, &std::free);
    return encoded;
}

Outcome<void> Options::refuse_rest() const {
    if (values.empty()) {
        return {};
    }
    std::string names;
    for (const auto& [key, value] : values) {
        names += names.empty() ? "" : ", ";
        names += key;
    }
    return fail(CoreError::invalid_argument, std::format("unknown option: {}", names));
}

} // namespace zsync::bus
