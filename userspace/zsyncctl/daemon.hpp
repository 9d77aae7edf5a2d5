// The connection to zsyncd: calls that either answer or say in words why not.
#pragma once

#include <zsync/core/fd.hpp>

#include <systemd/sd-bus.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <zsyncctl/limits.hpp>
#include <zsyncctl/refusal.hpp>
#include <zsyncctl/wire.hpp>

namespace zsyncctl {

namespace names {
inline constexpr const char* bus_name = "org.zsync1";
inline constexpr const char* root = "/org/zsync1";
inline constexpr const char* packet_root = "/org/zsync1/packet";
inline constexpr const char* manager = "org.zsync1.Manager";
inline constexpr const char* packet = "org.zsync1.Packet";
inline constexpr const char* packet_interface = "org.zsync1.PacketInterface";
inline constexpr const char* job = "org.zsync1.Job";
} // namespace names

/// The object of a filtered network interface.
std::string packet_object(std::string_view ifname);

/// A method, and what a person must be told when it is refused.
struct Method {
    std::string path;
    const char* interface;
    const char* name;
    const char* reply_signature;
    /// The polkit right that it asks for; null for reading, which is open to everybody.
    const char* right = nullptr;
};

/// A failed call as the bus reports it.
struct BusFailure {
    int error = 0; ///< errno value
    std::string name;
    std::string message;
};

/// The words for a failed call.
Refusal explain(const BusFailure& failure, const Method& method, std::string_view bus);

/// What a method answers that returns an open file.
struct FileAnswer {
    zsync::Fd file;
    Json values; ///< all of them; null for the file
};

class Daemon {
public:
    /// Connects to the bus at `address`, or to the system bus.
    static Answer<Daemon> connect(const std::optional<std::string>& address);

    void reply_timeout(std::chrono::seconds timeout) { reply_timeout_ = timeout; }

    /// Calls a method with arguments as sd_bus_message_append(3) takes them. The answer is the
    /// array of what the method returns. Only a call that changes something starts a daemon that is
    /// not running, and only it may make polkit ask for a password.
    template <class... Args>
    Answer<Json> call(const Method& method, const char* types = "", Args... args) {
        Message request = ZTRY(make_request(method));
        if (const int r = sd_bus_message_append(request.get(), types, args...); r < 0) {
            return std::unexpected(
                explain({.error = -r, .name = {}, .message = {}}, method, bus_name_)
            );
        }
        return send(method, request.get());
    }

    /// The same for arguments that a list of types cannot name: `append` gives them to the message
    /// and returns what sd-bus returned.
    template <class Append> Answer<Json> call_with(const Method& method, Append append) {
        Message request = ZTRY(make_request(method));
        if (const int r = append(request.get()); r < 0) {
            return std::unexpected(
                explain({.error = -r, .name = {}, .message = {}}, method, bus_name_)
            );
        }
        return send(method, request.get());
    }

    /// The same for a method that returns an open file first.
    template <class... Args>
    Answer<FileAnswer> call_for_file(const Method& method, const char* types = "", Args... args) {
        Message request = ZTRY(make_request(method));
        if (const int r = sd_bus_message_append(request.get(), types, args...); r < 0) {
            return std::unexpected(
                explain({.error = -r, .name = {}, .message = {}}, method, bus_name_)
            );
        }
        zsync::Fd file;
        Json values = ZTRY(send(method, request.get(), &file));
        return FileAnswer{.file = std::move(file), .values = std::move(values)};
    }

    /// All properties of one interface of an object.
    Answer<Json> properties(const std::string& path, const char* interface);

    /// The objects below /org/zsync1, by path: interfaces by name, with their properties.
    Answer<Json> managed_objects();

private:
    struct Close {
        void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
        void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
    };
    using Message = std::unique_ptr<sd_bus_message, Close>;

    Daemon(std::unique_ptr<sd_bus, Close> bus, std::string name)
        : bus_(std::move(bus)), bus_name_(std::move(name)) {}

    Answer<Message> make_request(const Method& method);
    /// With `file`, takes the descriptor that comes first; it is null in the answer.
    Answer<Json> send(const Method& method, sd_bus_message* request, zsync::Fd* file = nullptr);

    std::unique_ptr<sd_bus, Close> bus_;
    std::string bus_name_; ///< as shown to a person
    std::chrono::seconds reply_timeout_ = limits::reply_timeout;
};

/// True for the errors of a daemon or an interface that is going or coming: a live view waits.
bool is_absence(const Refusal& refusal);

} // namespace zsyncctl
