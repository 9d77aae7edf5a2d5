#include <system_error>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <format>
#include <zsyncctl/daemon.hpp>

namespace zsyncctl {
namespace {

std::string system_text(int error) { return std::generic_category().message(error); }

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
    return std::ranges::contains(names, name);
}

std::string start_hint(std::string_view bus) {
    return bus == "the system bus"
               ? "start it with 'systemctl start zsyncd'"
               : "start it there with 'zsyncd --bus ADDRESS', or give another bus with --bus";
}

std::unexpected<Refusal> no_bus(int error, std::string_view bus) {
    return refuse(
        std::format(
            "cannot reach {}: {}; is dbus running there? --bus or ZSYNC_BUS_ADDRESS gives another "
            "address",
            bus,
            system_text(error)
        ),
        SD_BUS_ERROR_NO_SERVER
    );
}

} // namespace

std::string packet_object(std::string_view ifname) {
    char* path = nullptr;
    const std::string name(ifname);
    if (sd_bus_path_encode(names::packet_root, name.c_str(), &path) < 0) {
        return names::packet_root;
    }
    const std::unique_ptr<char, decltype(&std::free)> owner(path, &std::free);
    return path;
}

Refusal explain(const BusFailure& failure, const Method& method, std::string_view bus) {
    const std::string_view name = failure.name;
    const auto say = [&](std::string words) {
        return Refusal{.message = std::move(words), .bus_error = failure.name};
    };
    if (one_of(name, {SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER})) {
        return say(std::format("zsyncd is not running on {}; {}", bus, start_hint(bus)));
    }
    if (one_of(
            name,
            {SD_BUS_ERROR_ACCESS_DENIED,
             SD_BUS_ERROR_AUTH_FAILED,
             SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED}
        )) {
        return say(
            method.right != nullptr
                ? std::format(
                      "access denied: {} needs root or the polkit right {}",
                      method.name,
                      method.right
                  )
                : std::format("access denied by the policy of {}: {}", bus, failure.message)
        );
    }
    if (one_of(name, {SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT}) || failure.error == ETIMEDOUT) {
        return say(std::format(
            "zsyncd did not answer {} (busy, stuck or just ended); 'journalctl -u zsyncd' may "
            "say more",
            method.name
        ));
    }
    if (one_of(name, {SD_BUS_ERROR_UNKNOWN_METHOD, SD_BUS_ERROR_UNKNOWN_INTERFACE}) ||
        name == SD_BUS_ERROR_INVALID_ARGS) {
        return say(std::format(
            "zsyncd does not understand {}.{}: is it of another version than zsyncctl {}? ({})",
            method.interface,
            method.name,
            ZSYNC_VERSION,
            failure.message
        ));
    }
    if (name.empty() && (failure.error == ECONNRESET || failure.error == ENOTCONN)) {
        return Refusal{
            .message = std::format("{} closed the connection", bus),
            .bus_error = SD_BUS_ERROR_DISCONNECTED
        };
    }
    if (!failure.message.empty()) {
        return say(failure.message);
    }
    return say(std::format(
        "{} failed: {}", method.name, name.empty() ? system_text(failure.error) : failure.name
    ));
}

bool is_absence(const Refusal& refusal) {
    return one_of(
        refusal.bus_error,
        {SD_BUS_ERROR_SERVICE_UNKNOWN,
         SD_BUS_ERROR_NAME_HAS_NO_OWNER,
         SD_BUS_ERROR_NO_REPLY,
         SD_BUS_ERROR_TIMEOUT,
         "org.zsync1.Error.NotAttached"}
    );
}

Answer<Daemon> Daemon::connect(const std::optional<std::string>& address) {
    std::string name = "the system bus";
    sd_bus* raw = nullptr;
    int r = 0;
    if (address && !address->contains(':')) {
        return refuse(std::format(
            "'{}' is no bus address; one looks like unix:path=/run/dbus/system_bus_socket", *address
        ));
    }
    if (address) {
        name = std::format("the bus at {}", *address);
        r = sd_bus_new(&raw);
        r = r < 0 ? r : sd_bus_set_address(raw, address->c_str());
        r = r < 0 ? r : sd_bus_set_bus_client(raw, 1);
        r = r < 0 ? r : sd_bus_start(raw);
    } else {
        r = sd_bus_open_system(&raw);
    }
    std::unique_ptr<sd_bus, Close> bus(raw);
    // Asking for the own name waits until the bus has let us in.
    const char* unique_name = nullptr;
    r = r < 0 ? r : sd_bus_get_unique_name(bus.get(), &unique_name);
    if (r < 0) {
        return no_bus(-r, name);
    }
    return Daemon(std::move(bus), std::move(name));
}

Answer<Daemon::Message> Daemon::make_request(const Method& method) {
    sd_bus_message* raw = nullptr;
    int r = sd_bus_message_new_method_call(
        bus_.get(), &raw, names::bus_name, method.path.c_str(), method.interface, method.name
    );
    Message request(raw);
    const int changes = method.right != nullptr ? 1 : 0;
    r = r < 0 ? r : sd_bus_message_set_auto_start(raw, changes);
    r = r < 0 ? r : sd_bus_message_set_allow_interactive_authorization(raw, changes);
    if (r < 0) {
        return std::unexpected(explain({.error = -r, .name = {}, .message = {}}, method, bus_name_)
        );
    }
    return request;
}

Answer<Json> Daemon::send(const Method& method, sd_bus_message* request, zsync::Fd* file) {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message* raw = nullptr;
    const auto timeout = std::chrono::duration_cast<std::chrono::microseconds>(reply_timeout_);
    const int r =
        sd_bus_call(bus_.get(), request, static_cast<std::uint64_t>(timeout.count()), &error, &raw);
    const Message reply(raw);
    if (r < 0) {
        BusFailure failure{.error = -r, .name = {}, .message = {}};
        if (sd_bus_error_is_set(&error) != 0) {
            failure.name = error.name;
            failure.message = error.message != nullptr ? error.message : "";
        }
        sd_bus_error_free(&error);
        return std::unexpected(explain(failure, method, bus_name_));
    }
    if (sd_bus_message_has_signature(raw, method.reply_signature) <= 0) {
        return refuse(std::format(
            "zsyncd answered {} with '{}' where '{}' was expected: it is of another version",
            method.name,
            sd_bus_message_get_signature(raw, 1),
            method.reply_signature
        ));
    }
    if (file != nullptr) {
        *file = ZTRY(take_file(raw));
    }
    return decode_body(raw);
}

Answer<Json> Daemon::properties(const std::string& path, const char* interface) {
    Json answer = ZTRY(
        call({.path = path, .interface = "org.freedesktop.DBus.Properties", .name = "GetAll", .reply_signature = "a{sv}"}, "s", interface)
    );
    return answer.at(0);
}

Answer<Json> Daemon::managed_objects() {
    Json answer = ZTRY(call(
        {.path = names::root,
         .interface = "org.freedesktop.DBus.ObjectManager",
         .name = "GetManagedObjects",
         .reply_signature = "a{oa{sa{sv}}}"}
    ));
    return answer.at(0);
}

} // namespace zsyncctl
