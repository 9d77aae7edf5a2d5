// Interface: what an object offers on the bus, described once for its class.
//
//     class Lamp {
//     public:
//         static constexpr bus::Signal<std::string> burnt_out{"BurntOut"};
//
//         static const bus::Interface& bus_interface() {
//             static const auto interface =
//                 bus::InterfaceBuilder<Lamp>("org.example.Lamp")
//                     .property<&Lamp::brightness>("Brightness", bus::Emits::change)
//                     .method<&Lamp::dim>("Dim", {"level", "options"}, {"previous"})
//                     .signal(burnt_out, {"reason"})
//                     .build();
//             return interface;
//         }
//
//         std::uint32_t brightness() const { return brightness_; }
//
//         Task<Outcome<std::uint32_t>>
//         dim(bus::CallContext call, std::uint32_t level, bus::Options options) {
//             ZCO_CHECK(co_await bus::authorize(call, "org.example.dim"));
//             ZCO_CHECK(options.refuse_rest());
//             const auto previous = std::exchange(brightness_, level);
//             call.connection().properties_changed(call.path(), bus_interface(), {"Brightness"});
//             co_return previous;
//         }
//     ...
//     connection.add("/org/example/lamp", std::make_shared<Lamp>());
//
// The signatures come from the C++ types; sd-bus checks arguments against them, and answers
// introspection, Properties and ObjectManager itself.
#pragma once

#include <zsync/bus/call.hpp>
#include <zsync/bus/codec.hpp>
#include <zsync/core/task.hpp>

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace zsync::bus {

/// How others learn that a property has another value.
enum class Emits : std::uint8_t {
    constant, ///< it never changes
    change,   ///< `Connection::properties_changed` sends the new value
    nothing,  ///< they must ask again
};

/// A signal and the types of its arguments.
template <class... Args> struct Signal {
    const char* name;
};

/// The members of one interface, as sd-bus takes them. Made by `InterfaceBuilder`, lives as long as
/// the program.
class Interface {
public:
    explicit Interface(std::string name);
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const sd_bus_vtable* vtable() const noexcept { return members_.data(); }

private:
    template <class T> friend class InterfaceBuilder;

    using Names = std::initializer_list<std::string_view>;
    void add_method(
        const char* name,
        const char* arguments,
        const char* results,
        sd_bus_message_handler_t enter,
        Names argument_names,
        Names result_names
    );
    void add_property(const char* name, const char* type, sd_bus_property_get_t read, Emits emits);
    void add_signal(const char* name, const char* arguments, Names argument_names);
    void end();
    const char* keep_names(Names first, Names second);

    std::string name_;
    std::vector<sd_bus_vtable> members_;
    std::deque<std::string> name_lists_; ///< stable addresses: sd-bus points into them
};

/// Decodes a call, starts its handler as a task, and sends what it returns.
template <auto Method> struct MethodEntry;

template <class T, class R, class... Args, Task<Outcome<R>> (T::*Method)(CallContext, Args...)>
struct MethodEntry<Method> {
    using Object = T;
    using Arguments = SequenceCodec<Args...>;
    using Results = ResultCodec<R>;
    static constexpr std::size_t argument_count = sizeof...(Args);

    static int enter(sd_bus_message* message, void* userdata, sd_bus_error* error) {
        auto& exported = *static_cast<Exported*>(userdata);
        std::tuple<Args...> arguments;
        Reader reader{.message = message};
        const int read = std::apply(
            [&](Args&... values) { return Arguments::read(reader, values...); }, arguments
        );
        if (read < 0) {
            return refuse_arguments(read, error);
        }
        std::unique_ptr<Call> call = Call::admit(exported, message, error);
        if (!call) {
            return -sd_bus_error_get_errno(error);
        }
        Call& started = *call;
        auto object = std::static_pointer_cast<T>(exported.object);
        started.start(serve(std::move(call), std::move(object), std::move(arguments)));
        return 1;
    }

    static Task<void>
    serve(std::unique_ptr<Call> call, std::shared_ptr<T> object, std::tuple<Args...> arguments) {
        Outcome<R> outcome = co_await std::apply(
            [&](Args&... values) {
                return ((*object).*Method)(CallContext(*call), std::move(values)...);
            },
            arguments
        );
        if (!outcome) {
            call->reply_error(outcome.error());
        } else if (Message reply = call->new_reply()) {
            int result = 0;
            if constexpr (!std::is_void_v<R>) {
                result = Results::append(reply.get(), *outcome);
            }
            call->reply(std::move(reply), result);
        }
    }
};

/// Reads a property for sd-bus.
template <auto Getter> struct PropertyEntry;

template <class T, class R, R (T::*Getter)() const> struct PropertyEntry<Getter> {
    using Object = T;
    using Value = std::remove_cvref_t<R>;

    static int read(
        sd_bus* /*bus*/,
        const char* /*path*/,
        const char* /*interface*/,
        const char* /*property*/,
        sd_bus_message* reply,
        void* userdata,
        sd_bus_error* /*error*/
    ) {
        const auto& exported = *static_cast<Exported*>(userdata);
        return Codec<Value>::append(
            reply, (static_cast<const T*>(exported.object.get())->*Getter)()
        );
    }
};

template <class T, class R, R (T::*Getter)() const noexcept>
struct PropertyEntry<Getter> : PropertyEntry<static_cast<R (T::*)() const>(Getter)> {};

/// Lists the members of `T`'s interface. Names of arguments and results are for introspection;
/// `Connection::add` fails if their number differs from that of the types.
template <class T> class InterfaceBuilder {
public:
    using Names = std::initializer_list<std::string_view>;

    explicit InterfaceBuilder(std::string name) : interface_(std::move(name)) {}

    /// `Task<Outcome<R>> Method(CallContext, Args...)`.
    template <auto Method>
    InterfaceBuilder& method(const char* name, Names argument_names, Names result_names) {
        using Entry = MethodEntry<Method>;
        static_assert(std::is_base_of_v<typename Entry::Object, T>);
        interface_.add_method(
            name,
            Entry::Arguments::signature.c_str(),
            Entry::Results::signature.c_str(),
            &Entry::enter,
            argument_names,
            result_names
        );
        return *this;
    }

    /// `R Getter() const`.
    template <auto Getter> InterfaceBuilder& property(const char* name, Emits emits) {
        using Entry = PropertyEntry<Getter>;
        static_assert(std::is_base_of_v<typename Entry::Object, T>);
        interface_.add_property(
            name, signature_of<typename Entry::Value>.c_str(), &Entry::read, emits
        );
        return *this;
    }

    template <class... Args>
    InterfaceBuilder& signal(const Signal<Args...>& signal, Names argument_names) {
        interface_.add_signal(
            signal.name, SequenceCodec<Args...>::signature.c_str(), argument_names
        );
        return *this;
    }

    Interface build() {
        interface_.end();
        return std::move(interface_);
    }

private:
    Interface interface_;
};

} // namespace zsync::bus
