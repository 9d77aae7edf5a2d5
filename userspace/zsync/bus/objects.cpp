// The part of Connection that has to do with our own objects, names and their announcements.
#include <zsync/bus/connection.hpp>
#include <zsync/core/log.hpp>

#include <algorithm>
#include <cerrno>
#include <format>

namespace zsync::bus {
namespace {

Target bus_itself() {
    return {
        .destination = "org.freedesktop.DBus",
        .path = "/org/freedesktop/DBus",
        .interface = "org.freedesktop.DBus",
    };
}

/// RequestName's flag and answers, as numbered by D-Bus's specification.
constexpr std::uint32_t do_not_queue = 4;
constexpr std::uint32_t is_primary_owner = 1;
constexpr std::uint32_t is_owner_already = 4;

} // namespace

Task<Outcome<void>> Connection::own_name(std::string name) {
    ZCO_CHECK(co_await request_name(name));
    names_.insert(std::move(name));
    co_return {};
}

Task<Outcome<void>> Connection::request_name(std::string name) {
    const auto answer =
        co_await call<std::uint32_t>(bus_itself(), "RequestName", name, do_not_queue);
    if (answer && (*answer == is_primary_owner || *answer == is_owner_already)) {
        co_return {};
    }
    if (answer) {
        const auto owner =
            co_await call<std::uint32_t>(bus_itself(), "GetConnectionUnixProcessID", name);
        co_return fail(
            BusError::name_taken,
            std::format(
                "{} is owned by another program{} on this bus: stop that one first",
                name,
                owner ? std::format(" (process {})", *owner) : std::string()
            )
        );
    }
    if (answer.error().error == Error(BusError::access_denied)) {
        co_return fail(
            BusError::name_refused,
            std::format(
                "the bus policy does not let this user own {}: {}", name, answer.error().text
            )
        );
    }
    co_return std::unexpected(answer.error());
}

Task<CallResult<std::uint32_t>> Connection::user_of(std::string sender) {
    if (const auto known = known_users_.find(sender); known != known_users_.end()) {
        co_return known->second;
    }
    ZCO_TRY(
        const std::uint32_t user,
        co_await call<std::uint32_t>(bus_itself(), "GetConnectionUnixUser", sender)
    );
    if (known_users_.try_emplace(sender, user).second) {
        known_users_order_.push_back(sender);
    }
    if (known_users_order_.size() > limits::known_senders_max) {
        known_users_.erase(known_users_order_.front());
        known_users_order_.pop_front();
    }
    co_return user;
}

Outcome<void> Connection::add_object_manager(std::string path) {
    Slot slot;
    if (bus_) {
        const int result = sd_bus_add_object_manager(bus_.get(), slot.out(), path.c_str());
        if (result < 0) {
            return fail(
                Error(BusError::invalid_object, -result),
                std::format("no ObjectManager can be at {}", path)
            );
        }
    }
    object_managers_.insert_or_assign(std::move(path), std::move(slot));
    return {};
}

Outcome<void> Connection::register_on_bus(Exported& exported) {
    const int result = sd_bus_add_object_vtable(
        bus_.get(),
        exported.slot.out(),
        exported.path.c_str(),
        exported.interface->name().c_str(),
        exported.interface->vtable(),
        &exported
    );
    if (result < 0) {
        return fail(
            Error(BusError::invalid_object, -result),
            std::format(
                "{} cannot be at {}: {}",
                exported.interface->name(),
                exported.path,
                os_error(-result).message()
            )
        );
    }
    return {};
}

Outcome<void> Connection::register_all() {
    for (auto& [path, slot] : object_managers_) {
        if (sd_bus_add_object_manager(bus_.get(), slot.out(), path.c_str()) < 0) {
            return fail(
                BusError::invalid_object, std::format("no ObjectManager can be at {}", path)
            );
        }
    }
    for (Exported& exported : exported_) {
        ZTRY(register_on_bus(exported));
    }
    return {};
}

Outcome<void> Connection::add_exported(
    std::string path, const Interface& interface, std::shared_ptr<void> object
) {
    exported_.push_back(
        {.connection = this,
         .path = std::move(path),
         .interface = &interface,
         .object = std::move(object),
         .slot = {}}
    );
    Exported& added = exported_.back();
    if (!is_open()) {
        return {};
    }
    if (Outcome<void> registered = register_on_bus(added); !registered) {
        exported_.pop_back();
        return registered;
    }
    const int result = sd_bus_emit_interfaces_added(
        bus_.get(), added.path.c_str(), interface.name().c_str(), nullptr
    );
    // -ESRCH: no ObjectManager above this path, so nobody expects to be told.
    if (result < 0 && result != -ESRCH) {
        log::warning(
            "an object could not be announced",
            {{.name = "OBJECT", .value = added.path},
             {.name = "ERROR", .value = os_error(-result).message()}}
        );
    }
    sent();
    return {};
}

void Connection::remove(const std::string& path) {
    flush_changes();
    if (is_open()) {
        for (const Exported& exported : exported_) {
            if (exported.path == path) {
                (void)sd_bus_emit_interfaces_removed(
                    bus_.get(), path.c_str(), exported.interface->name().c_str(), nullptr
                );
            }
        }
        sent();
    }
    exported_.remove_if([&](const Exported& exported) { return exported.path == path; });
}

void Connection::properties_changed(
    const std::string& path,
    const Interface& interface,
    std::initializer_list<const char*> properties
) {
    if (!is_open()) {
        return;
    }
    auto same = std::ranges::find_if(changed_, [&](const ChangedProperties& changed) {
        return changed.path == path && changed.interface == &interface;
    });
    if (same == changed_.end()) {
        changed_.push_back({.path = path, .interface = &interface, .names = {}});
        same = std::prev(changed_.end());
    }
    same->names.insert(properties.begin(), properties.end());
    changed_notify_.notify();
}

void Connection::flush_changes() {
    if (changed_.empty() || !bus_) {
        return;
    }
    for (const ChangedProperties& changed : std::exchange(changed_, {})) {
        std::vector<char*> names;
        names.reserve(changed.names.size() + 1);
        for (const std::string& name : changed.names) {
            names.push_back(const_cast<char*>(name.c_str())); // sd-bus only reads them
        }
        names.push_back(nullptr);
        const int result = sd_bus_emit_properties_changed_strv(
            bus_.get(), changed.path.c_str(), changed.interface->name().c_str(), names.data()
        );
        if (result < 0) {
            log::warning(
                "changed properties could not be announced",
                {{.name = "OBJECT", .value = changed.path},
                 {.name = "ERROR", .value = os_error(-result).message()}}
            );
        }
    }
    sent();
}

Message
Connection::new_signal(const std::string& path, const Interface& interface, const char* name) {
    Message message;
    if (is_open()) {
        (void)sd_bus_message_new_signal(
            bus_.get(), message.out(), path.c_str(), interface.name().c_str(), name
        );
    }
    return message;
}

} // namespace zsync::bus
