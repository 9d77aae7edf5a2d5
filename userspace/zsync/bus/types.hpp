// The D-Bus types that C++ has no type for.
#pragma once

#include <zsync/core/result.hpp>

#include <compare>
#include <cstdint>
#include <format>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace zsync::bus {

/// An object's path ('o'). Empty or malformed ones are refused when they are sent.
struct ObjectPath {
    std::string value;
    friend auto operator<=>(const ObjectPath&, const ObjectPath&) = default;
};

/// `prefix` and one more label, which may be any text: bytes that a path cannot hold are escaped as
/// sd_bus_path_encode(3) does. `object_path("/org/zsync1/packet", "eth0.7")`.
[[nodiscard]] std::string object_path(const std::string& prefix, const std::string& label);

/// A value whose type travels with it ('v').
struct Variant {
    /// A value of a type that is not read, only named.
    struct Other {
        std::string signature;
        friend bool operator==(const Other&, const Other&) = default;
    };
    using Value = std::variant<
        bool,
        std::uint8_t,
        std::int16_t,
        std::uint16_t,
        std::int32_t,
        std::uint32_t,
        std::int64_t,
        std::uint64_t,
        double,
        std::string,
        ObjectPath,
        std::vector<std::string>,
        Other>;
    Value value;
    friend bool operator==(const Variant&, const Variant&) = default;
};

/// The trailing `a{sv}` of every call that changes something. Take what the call knows, then refuse
/// the rest:
///
///     ZCO_TRY(auto force, options.take<bool>("force"));
///     ZCO_CHECK(options.refuse_rest());
class Options {
public:
    std::map<std::string, Variant> values;

    /// Removes and returns an option; nothing if it was not given, `invalid_argument` if it has
    /// another type.
    template <class T> Outcome<std::optional<T>> take(const std::string& key) {
        auto node = values.extract(key);
        if (node.empty()) {
            return std::optional<T>();
        }
        if (T* value = std::get_if<T>(&node.mapped().value)) {
            return std::optional<T>(std::move(*value));
        }
        return fail(
            CoreError::invalid_argument, std::format("option '{}' has a value of another type", key)
        );
    }

    /// `invalid_argument`, naming them, if options are left.
    [[nodiscard]] Outcome<void> refuse_rest() const;
};

} // namespace zsync::bus
