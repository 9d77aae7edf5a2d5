#include <system_error>
#include <systemd/sd-bus.h>

#include <cerrno>
#include <fcntl.h>
#include <format>
#include <zsyncctl/wire.hpp>

namespace zsyncctl {
namespace {

std::unexpected<Refusal> unreadable(int error) {
    return refuse(
        std::format("cannot read zsyncd's answer: {}", std::generic_category().message(-error))
    );
}

template <class T> Answer<Json> read_basic(sd_bus_message* message, char type) {
    T value{};
    const int r = sd_bus_message_read_basic(message, type, static_cast<void*>(&value));
    if (r < 0) {
        return unreadable(r);
    }
    return Json(value);
}

Answer<Json> read_bool(sd_bus_message* message) {
    int value = 0;
    const int r = sd_bus_message_read_basic(message, SD_BUS_TYPE_BOOLEAN, &value);
    if (r < 0) {
        return unreadable(r);
    }
    return Json(value != 0);
}

Answer<Json> read_value(sd_bus_message* message);

/// Everything up to the end of the container that was entered, or of the message.
Answer<Json> read_list(sd_bus_message* message) {
    Json list = Json::array();
    while (true) {
        const int at_end = sd_bus_message_at_end(message, 0);
        if (at_end < 0) {
            return unreadable(at_end);
        }
        if (at_end > 0) {
            return list;
        }
        list.push_back(ZTRY(read_value(message)));
    }
}

Answer<Json> read_container(sd_bus_message* message, char type, const char* contents) {
    int r = sd_bus_message_enter_container(message, type, contents);
    if (r < 0) {
        return unreadable(r);
    }
    Json list = ZTRY(read_list(message));
    r = sd_bus_message_exit_container(message);
    if (r < 0) {
        return unreadable(r);
    }
    if (type == SD_BUS_TYPE_VARIANT) {
        return list.at(0);
    }
    if (type != SD_BUS_TYPE_ARRAY || contents[0] != SD_BUS_TYPE_DICT_ENTRY_BEGIN) {
        return list;
    }
    Json object = Json::object();
    for (Json& entry : list) {
        const Json& key = entry.at(0);
        object[key.is_string() ? key.get<std::string>() : key.dump()] = std::move(entry.at(1));
    }
    return object;
}

Answer<Json> read_value(sd_bus_message* message) {
    char type = 0;
    const char* contents = nullptr;
    const int r = sd_bus_message_peek_type(message, &type, &contents);
    if (r < 0) {
        return unreadable(r);
    }
    switch (type) {
    case SD_BUS_TYPE_BYTE:
        return read_basic<std::uint8_t>(message, type);
    case SD_BUS_TYPE_BOOLEAN:
        return read_bool(message);
    case SD_BUS_TYPE_INT16:
        return read_basic<std::int16_t>(message, type);
    case SD_BUS_TYPE_UINT16:
        return read_basic<std::uint16_t>(message, type);
    case SD_BUS_TYPE_INT32:
        return read_basic<std::int32_t>(message, type);
    case SD_BUS_TYPE_UINT32:
        return read_basic<std::uint32_t>(message, type);
    case SD_BUS_TYPE_INT64:
        return read_basic<std::int64_t>(message, type);
    case SD_BUS_TYPE_UINT64:
        return read_basic<std::uint64_t>(message, type);
    case SD_BUS_TYPE_DOUBLE:
        return read_basic<double>(message, type);
    case SD_BUS_TYPE_STRING:
    case SD_BUS_TYPE_OBJECT_PATH:
    case SD_BUS_TYPE_SIGNATURE:
        return read_basic<const char*>(message, type);
    case SD_BUS_TYPE_UNIX_FD: {
        ZTRY(read_basic<int>(message, type));
        return Json(nullptr);
    }
    case SD_BUS_TYPE_ARRAY:
    case SD_BUS_TYPE_VARIANT:
    case SD_BUS_TYPE_STRUCT:
    case SD_BUS_TYPE_DICT_ENTRY:
        return read_container(message, type, contents);
    default:
        return refuse(std::format("zsyncd answered with a value of the unknown type '{}'", type));
    }
}

} // namespace

Answer<Json> decode_body(sd_bus_message* message) { return read_list(message); }

Answer<zsync::Fd> take_file(sd_bus_message* message) {
    int borrowed = -1;
    int r = sd_bus_message_read_basic(message, SD_BUS_TYPE_UNIX_FD, &borrowed);
    if (r <= 0) {
        return unreadable(r < 0 ? r : -EBADMSG);
    }
    zsync::Fd file(fcntl(borrowed, F_DUPFD_CLOEXEC, 0));
    if (!file) {
        return unreadable(-errno);
    }
    r = sd_bus_message_rewind(message, 1);
    if (r < 0) {
        return unreadable(r);
    }
    return file;
}

std::string text_field(const Json& object, std::string_view key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_field(const Json& object, std::string_view key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

bool flag_field(const Json& object, std::string_view key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_boolean() && found->get<bool>();
}

std::string text_at(const Json& array, std::size_t index) {
    const bool there = array.is_array() && index < array.size() && array[index].is_string();
    return there ? array[index].get<std::string>() : std::string();
}

std::uint64_t number_at(const Json& array, std::size_t index) {
    const bool there =
        array.is_array() && index < array.size() && array[index].is_number_unsigned();
    return there ? array[index].get<std::uint64_t>() : 0;
}

} // namespace zsyncctl
