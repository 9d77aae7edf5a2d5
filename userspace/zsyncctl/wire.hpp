// D-Bus values as JSON values, so that everything behind the bus connection is plain data.
#pragma once

#include <zsync/core/fd.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <zsyncctl/refusal.hpp>

struct sd_bus_message;

namespace zsyncctl {

/// Keeps the order in which fields were put in: it is the order in which they are printed.
using Json = nlohmann::ordered_json;

/// All arguments of a message, as an array. Structs are arrays, dictionaries objects (keys of other
/// types than string as their decimal text), variants what they contain, descriptors null.
Answer<Json> decode_body(sd_bus_message* message);

/// A duplicate of the descriptor that a message begins with. The message is as if unread then.
Answer<zsync::Fd> take_file(sd_bus_message* message);

/// A field of an object, or a zero value where it is missing or of another type: what a daemon of
/// another version does not say is shown as empty.
std::string text_field(const Json& object, std::string_view key);
std::uint64_t number_field(const Json& object, std::string_view key);
bool flag_field(const Json& object, std::string_view key);

/// The same for an element of an array.
std::string text_at(const Json& array, std::size_t index);
std::uint64_t number_at(const Json& array, std::size_t index);

} // namespace zsyncctl
