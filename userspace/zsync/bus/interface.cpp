#include <zsync/bus/interface.hpp>

#include <cerrno>

namespace zsync::bus {
namespace {

sd_bus_vtable entry_of(std::uint8_t type, std::uint64_t flags) {
    sd_bus_vtable entry{};
    entry.type = type;
    entry.flags = flags & ((std::uint64_t{1} << 56) - 1);
    return entry;
}

std::uint64_t flags_of(Emits emits) {
    switch (emits) {
    case Emits::constant:
        return SD_BUS_VTABLE_PROPERTY_CONST;
    case Emits::change:
        return SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE;
    case Emits::nothing:
        break;
    }
    return 0;
}

} // namespace

Interface::Interface(std::string name) : name_(std::move(name)) {
    sd_bus_vtable start = entry_of(_SD_BUS_VTABLE_START, 0);
    start.x.start.element_size = sizeof(sd_bus_vtable);
    start.x.start.features = _SD_BUS_VTABLE_PARAM_NAMES;
    start.x.start.vtable_format_reference = &sd_bus_object_vtable_format;
    members_.push_back(start);
}

const char* Interface::keep_names(Names first, Names second) {
    std::string list;
    for (const Names names : {first, second}) {
        for (const std::string_view name : names) {
            list += name;
            list += '\0';
        }
    }
    return name_lists_.emplace_back(std::move(list)).c_str();
}

void Interface::add_method(
    const char* name,
    const char* arguments,
    const char* results,
    sd_bus_message_handler_t enter,
    Names argument_names,
    Names result_names
) {
    // Unprivileged: sd-bus would otherwise ask the bus for the sender's capabilities, blocking.
    // Who may call what is `authorize`'s question.
    sd_bus_vtable method = entry_of(_SD_BUS_VTABLE_METHOD, SD_BUS_VTABLE_UNPRIVILEGED);
    method.x.method.member = name;
    method.x.method.signature = arguments;
    method.x.method.result = results;
    method.x.method.handler = enter;
    method.x.method.names = keep_names(argument_names, result_names);
    members_.push_back(method);
}

void Interface::add_property(
    const char* name, const char* type, sd_bus_property_get_t read, Emits emits
) {
    sd_bus_vtable property = entry_of(_SD_BUS_VTABLE_PROPERTY, flags_of(emits));
    property.x.property.member = name;
    property.x.property.signature = type;
    property.x.property.get = read;
    members_.push_back(property);
}

void Interface::add_signal(const char* name, const char* arguments, Names argument_names) {
    sd_bus_vtable signal = entry_of(_SD_BUS_VTABLE_SIGNAL, 0);
    signal.x.signal.member = name;
    signal.x.signal.signature = arguments;
    signal.x.signal.names = keep_names(argument_names, {});
    members_.push_back(signal);
}

void Interface::end() { members_.push_back(entry_of(_SD_BUS_VTABLE_END, 0)); }

} // namespace zsync::bus
