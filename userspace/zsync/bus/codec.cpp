#include <zsync/bus/codec.hpp>

#include <array>
#include <cstring>
#include <fcntl.h>

namespace zsync::bus {
namespace {

/// Length of the UTF-8 sequence at the front of `text`, by RFC 3629; 0 if there is none.
std::size_t sequence_length(std::string_view text) noexcept {
    struct Lead {
        std::uint8_t mask;
        std::uint8_t bits;
        std::size_t length;
        std::uint32_t smallest;
    };
    static constexpr std::array leads{
        Lead{.mask = 0x80, .bits = 0x00, .length = 1, .smallest = 0x00},
        Lead{.mask = 0xe0, .bits = 0xc0, .length = 2, .smallest = 0x80},
        Lead{.mask = 0xf0, .bits = 0xe0, .length = 3, .smallest = 0x800},
        Lead{.mask = 0xf8, .bits = 0xf0, .length = 4, .smallest = 0x10000},
    };
    const auto first = static_cast<std::uint8_t>(text.front());
    for (const Lead& lead : leads) {
        if ((first & lead.mask) != lead.bits) {
            continue;
        }
        if (text.size() < lead.length) {
            return 0;
        }
        std::uint32_t code = first & static_cast<std::uint8_t>(~lead.mask);
        for (std::size_t i = 1; i < lead.length; ++i) {
            const auto next = static_cast<std::uint8_t>(text[i]);
            if ((next & 0xc0) != 0x80) {
                return 0;
            }
            code = code << 6 | (next & 0x3f);
        }
        const bool surrogate = code >= 0xd800 && code <= 0xdfff;
        return code < lead.smallest || code > 0x10ffff || surrogate || code == 0 ? 0 : lead.length;
    }
    return 0;
}

} // namespace

std::string utf8_text(std::string_view text, std::size_t bytes_max) {
    std::string valid;
    valid.reserve(std::min(text.size(), bytes_max));
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        if (valid.size() + std::max<std::size_t>(length, 1) > bytes_max) {
            break;
        }
        if (length == 0) {
            valid += '?';
            text.remove_prefix(1);
        } else {
            valid += text.substr(0, length);
            text.remove_prefix(length);
        }
    }
    return valid;
}

int Codec<bool>::append(sd_bus_message* message, bool value) {
    const int wide = value ? 1 : 0;
    return sd_bus_message_append_basic(message, 'b', &wide);
}

int Codec<bool>::read(Reader& reader, bool& value) {
    int wide = 0;
    int result = reader.spend(sizeof wide);
    result = result < 0 ? result : sd_bus_message_read_basic(reader.message, 'b', &wide);
    value = wide != 0;
    return result;
}

int Codec<std::string>::append(sd_bus_message* message, const std::string& value) {
    const bool has_nul = value.find('\0') != std::string::npos;
    const int result = has_nul ? -EINVAL : sd_bus_message_append_basic(message, 's', value.c_str());
    if (result != -EINVAL) {
        return result;
    }
    const std::string valid = utf8_text(value, value.size());
    return sd_bus_message_append_basic(message, 's', valid.c_str());
}

int Codec<std::string>::read(Reader& reader, std::string& value) {
    const char* text = nullptr;
    int result = sd_bus_message_read_basic(reader.message, 's', static_cast<void*>(&text));
    if (result > 0) {
        const std::size_t length = std::strlen(text);
        result = reader.spend(length + 1);
        if (result > 0) {
            value.assign(text, length);
        }
    }
    return result;
}

int Codec<ObjectPath>::append(sd_bus_message* message, const ObjectPath& value) {
    return sd_bus_message_append_basic(message, 'o', value.value.c_str());
}

int Codec<ObjectPath>::read(Reader& reader, ObjectPath& value) {
    const char* text = nullptr;
    int result = sd_bus_message_read_basic(reader.message, 'o', static_cast<void*>(&text));
    if (result > 0) {
        const std::size_t length = std::strlen(text);
        result = reader.spend(length + 1);
        if (result > 0) {
            value.value.assign(text, length);
        }
    }
    return result;
}

int Codec<Fd>::append(sd_bus_message* message, const Fd& value) {
    const int fd = value.get();
    return sd_bus_message_append_basic(message, 'h', &fd);
}

int Codec<Fd>::read(Reader& reader, Fd& value) {
    int borrowed = -1;
    const int result = sd_bus_message_read_basic(reader.message, 'h', &borrowed);
    if (result <= 0) {
        return result;
    }
    // The message owns its descriptor and may go before the call ends.
    value = Fd(::fcntl(borrowed, F_DUPFD_CLOEXEC, 3));
    return value ? result : -errno;
}

namespace {

template <class T> int append_variant(sd_bus_message* message, const T& value) {
    int result = sd_bus_message_open_container(message, 'v', signature_of<T>.c_str());
    result = result < 0 ? result : Codec<T>::append(message, value);
    return result < 0 ? result : sd_bus_message_close_container(message);
}

template <class T>
bool read_variant(Reader& reader, const char* contents, Variant& value, int& result) {
    if (std::strcmp(contents, signature_of<T>.c_str()) != 0) {
        return false;
    }
    T inner{};
    result = Codec<T>::read(reader, inner);
    value.value = std::move(inner);
    return true;
}

template <class... T>
int read_any(Reader& reader, const char* contents, Variant& value, std::variant<T...>*) {
    int result = 0;
    const auto read_if = [&]<class U>() {
        if constexpr (std::is_same_v<U, Variant::Other>) {
            value.value = Variant::Other{contents};
            result = sd_bus_message_skip(reader.message, contents);
            return true;
        } else {
            return read_variant<U>(reader, contents, value, result);
        }
    };
    (void)(read_if.template operator()<T>() || ...);
    return result;
}

} // namespace

int Codec<Variant>::append(sd_bus_message* message, const Variant& value) {
    return std::visit(
        [&]<class T>(const T& inner) {
            if constexpr (std::is_same_v<T, Variant::Other>) {
                return -EINVAL;
            } else {
                return append_variant(message, inner);
            }
        },
        value.value
    );
}

int Codec<Variant>::read(Reader& reader, Variant& value) {
    char type = 0;
    const char* contents = nullptr;
    int result = sd_bus_message_peek_type(reader.message, &type, &contents);
    if (result <= 0) {
        return result;
    }
    if (type != 'v') {
        return -ENXIO;
    }
    const std::string held = contents;
    result = sd_bus_message_enter_container(reader.message, 'v', held.c_str());
    if (result >= 0) {
        result = read_any(reader, held.c_str(), value, static_cast<Variant::Value*>(nullptr));
    }
    return result < 0 ? result : sd_bus_message_exit_container(reader.message);
}

} // namespace zsync::bus
