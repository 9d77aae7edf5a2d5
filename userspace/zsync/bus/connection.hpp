// Connection: sd-bus driven by the ring.
#pragma once

#include <zsync/bus/callers.hpp>
#include <zsync/bus/codec.hpp>
#include <zsync/bus/errors.hpp>
#include <zsync/bus/interface.hpp>
#include <zsync/bus/limits.hpp>
#include <zsync/bus/message.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/core/scope.hpp>

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace zsync::bus {

/// Whom a call of ours goes to, and how.
struct Target {
    std::string destination;
    std::string path;
    std::string interface;
    Duration timeout = limits::call_timeout;
    bool interactive = false; ///< the other side may ask the person in front of the screen
};

/// A value in a variant, for calls that are known to return one.
template <class T> struct VariantOf {
    T value;
};
template <class T> struct Codec<VariantOf<T>> {
    static constexpr FixedString signature{"v"};
    static int read(Reader& reader, VariantOf<T>& variant) {
        int result = sd_bus_message_enter_container(reader.message, 'v', signature_of<T>.c_str());
        result = result < 0 ? result : Codec<T>::read(reader, variant.value);
        return result < 0 ? result : sd_bus_message_exit_container(reader.message);
    }
};

class Subscription;

/// One connection to a bus: objects of ours, calls to others, signals both ways. Nothing here
/// blocks the worker; sd-bus gets its turn when the ring says that its socket is ready.
///
///     Scope scope(io, "service");
///     bus::Connection connection(io, scope, {.address = ""});
///     ZCO_CHECK(connection.add_object_manager("/org/example"));
///     ZCO_CHECK(connection.add("/org/example/lamp", std::make_shared<Lamp>()));
///     ZCO_CHECK(co_await connection.open());
///     ZCO_CHECK(co_await connection.own_name("org.example"));
///     ...
///     scope.cancel();
///     co_return co_await scope.join();
///
/// When the bus goes away, handlers are cancelled, waiting calls fail with `connection_lost` and
/// `lost()` returns; `open()` then connects again, with all objects and names as they were.
/// Destroyed only after `scope` is joined.
class Connection {
public:
    struct Settings {
        std::string address; ///< as in D-Bus's specification; empty for the system bus
    };

    Connection(Io io, Scope& scope, Settings settings);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    /// Connects and starts serving in the scope. `unreachable` says why not.
    Task<Outcome<void>> open();
    /// Waits until the connection has gone, with the reason; `canceled` if the wait was cancelled.
    Task<Result<void>> lost();
    [[nodiscard]] bool is_open() const noexcept { return bus_ != nullptr && !closing_; }
    /// Our own name, like `:1.42`.
    [[nodiscard]] std::string unique_name() const;
    /// Owns a well-known name, again after each `open()`. `name_taken` names the owner.
    Task<Outcome<void>> own_name(std::string name);

    /// \name Objects
    /// \{
    /// Objects below `path` are listed and announced by ObjectManager there.
    Outcome<void> add_object_manager(std::string path);
    /// Registers an object under the interface that `T::bus_interface()` describes and announces
    /// it. It is kept until `remove`, and by each handler that runs on it.
    template <class T> Outcome<void> add(std::string path, std::shared_ptr<T> object) {
        return add_exported(std::move(path), T::bus_interface(), std::move(object));
    }
    /// Takes an object away with all its interfaces and announces it. Calls that run on it go on.
    void remove(const std::string& path);
    /// Sends the new values of properties: before the reply of any call that is running, and once
    /// for several changes in a row.
    void properties_changed(
        const std::string& path,
        const Interface& interface,
        std::initializer_list<const char*> properties
    );
    template <class... Args>
    void emit(
        const std::string& path,
        const Interface& interface,
        const Signal<Args...>& signal,
        const std::type_identity_t<Args>&... arguments
    ) {
        Message message = new_signal(path, interface, signal.name);
        if (message && SequenceCodec<Args...>::append(message.get(), arguments...) >= 0) {
            send(std::move(message));
        }
    }
    /// \}

    /// \name Calls to others
    /// \{
    /// Calls a method and decodes its results: `call<std::uint32_t>(target, "Dim", 7U)`. Cancelling
    /// gives the reply up; the other side is not told.
    template <class R, class... Args>
    Task<CallResult<R>> call(Target target, std::string member, Args... arguments) {
        Message request = new_call(target, member.c_str());
        if (!request || SequenceCodec<Args...>::append(request.get(), arguments...) < 0) {
            co_return std::unexpected(CallError(CoreError::invalid_argument));
        }
        ZCO_TRY(Message reply, co_await transact(std::move(request), target.timeout));
        if constexpr (std::is_void_v<R>) {
            co_return {};
        } else {
            typename ResultCodec<R>::Value value{};
            Reader reader{.message = reply.get(), .bytes_left = limits::reply_bytes_max};
            if (!has_signature(reply.get(), ResultCodec<R>::signature.c_str()) ||
                ResultCodec<R>::read(reader, value) < 0) {
                co_return std::unexpected(CallError(BusError::bad_reply));
            }
            co_return value;
        }
    }
    /// Calls without waiting for, or asking for, a reply.
    template <class... Args>
    void call_without_reply(const Target& target, const char* member, const Args&... arguments) {
        Message request = new_call(target, member);
        if (request && SequenceCodec<Args...>::append(request.get(), arguments...) >= 0) {
            (void)sd_bus_message_set_expect_reply(request.get(), 0);
            send(std::move(request));
        }
    }
    /// Reads a property of another's object.
    template <class T> Task<CallResult<T>> property(Target target, std::string name) {
        std::string interface = std::exchange(target.interface, "org.freedesktop.DBus.Properties");
        ZCO_TRY(
            VariantOf<T> variant,
            co_await call<VariantOf<T>>(
                std::move(target), "Get", std::move(interface), std::move(name)
            )
        );
        co_return std::move(variant.value);
    }
    /// Receives the signals that a match rule of D-Bus's specification selects.
    Task<CallResult<std::unique_ptr<Subscription>>> subscribe(std::string match_rule);
    /// \}

    [[nodiscard]] Io io() const noexcept { return io_; }

    /// \name For the other files of this folder
    /// \{
    [[nodiscard]] sd_bus* raw() const noexcept { return bus_.get(); }
    [[nodiscard]] Callers& callers() noexcept { return callers_; }
    TaskRef start_handler(const std::string& name, Task<void> handler);
    /// Sends what has changed, then the message.
    void send(Message message);
    /// To be called after sd-bus was given something to send.
    void sent();
    Task<CallResult<Message>> transact(Message request, Duration timeout);
    /// The user of a client, asked once as long as it is remembered.
    Task<CallResult<std::uint32_t>> user_of(std::string sender);
    /// \}

private:
    friend class Subscription;

    struct PendingCall {
        Message reply;
        Slot slot;
        Notify done;
    };
    struct ChangedProperties {
        std::string path;
        const Interface* interface = nullptr;
        std::set<std::string> names;
    };

    Outcome<void>
    add_exported(std::string path, const Interface& interface, std::shared_ptr<void> object);
    Outcome<void> register_on_bus(Exported& exported);
    Outcome<void> register_all();
    Message new_signal(const std::string& path, const Interface& interface, const char* name);
    Message new_call(const Target& target, const char* member);
    static bool has_signature(sd_bus_message* message, const char* signature);
    static int call_answered(sd_bus_message* message, void* userdata, sd_bus_error* error);

    Outcome<void> start_connecting();
    Task<Outcome<void>> finish_connecting();
    Task<Outcome<void>> request_name(std::string name);
    Task<void> serve();
    Task<Result<void>> read_messages();
    Task<void> write_queued();
    Task<void> announce_changes();
    Task<void> drain();
    void disconnect();
    void flush_changes();
    [[nodiscard]] std::uint64_t queued_messages() const noexcept;

    struct CloseBus {
        void operator()(sd_bus* bus) const noexcept { sd_bus_close_unref(bus); }
    };

    Io io_;
    Scope& scope_;
    Settings settings_;
    std::unique_ptr<sd_bus, CloseBus> bus_;
    Callers callers_;
    Scope* handlers_ = nullptr;
    TaskRef server_;
    bool closing_ = false;
    bool handler_started_ = false;

    std::list<Exported> exported_;
    std::map<std::string, Slot> object_managers_;
    std::set<std::string> names_;
    std::vector<ChangedProperties> changed_;
    Notify changed_notify_;

    std::set<PendingCall*> pending_calls_;
    std::set<Subscription*> subscriptions_;
    std::map<std::string, std::uint32_t> known_users_;
    std::deque<std::string> known_users_order_;

    Notify write_wanted_;
    Notify written_;
    Notify lost_;
    Error lost_reason_ = BusError::connection_lost;
};

/// Signals of others, in order. The oldest is dropped when the receiver falls
/// `limits::subscription_signals_max` behind; `dropped()` counts them.
class Subscription {
public:
    explicit Subscription(Connection& connection);
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription();

    /// The next signal's arguments; `bad_reply` for other types than `Args`, `connection_lost` when
    /// no more will come.
    template <class... Args> Task<Outcome<std::tuple<Args...>>> next() {
        ZCO_TRY(Message message, co_await next_message());
        std::tuple<Args...> arguments;
        Reader reader{.message = message.get(), .bytes_left = limits::reply_bytes_max};
        if (!Connection::has_signature(message.get(), SequenceCodec<Args...>::signature.c_str()) ||
            ResultCodec<std::tuple<Args...>>::read(reader, arguments) < 0) {
            co_return fail(BusError::bad_reply, "a signal of other types than expected");
        }
        co_return arguments;
    }
    Task<Outcome<Message>> next_message();
    /// Signals that have arrived and were not taken.
    [[nodiscard]] std::size_t waiting() const noexcept { return messages_.size(); }
    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

private:
    friend class Connection;
    static int received(sd_bus_message* message, void* userdata, sd_bus_error* error);
    static int installed(sd_bus_message* message, void* userdata, sd_bus_error* error);

    Connection& connection_;
    Slot slot_;
    std::deque<Message> messages_;
    Notify arrived_;
    Notify answered_;
    std::optional<CallError> refused_;
    std::uint64_t dropped_ = 0;
    bool ended_ = false;
};

} // namespace zsync::bus
