#include "lamp.hpp"

#include <zsync/bus/authorize.hpp>

#include <chrono>

namespace zsync::bus::test {

const Interface& Lamp::bus_interface() {
    static const Interface interface =
        InterfaceBuilder<Lamp>("org.example.Lamp")
            .property<&Lamp::brightness>("Brightness", Emits::change)
            .property<&Lamp::color>("Color", Emits::constant)
            .method<&Lamp::dim>("Dim", {"level", "options"}, {"previous"})
            .method<&Lamp::echo>("Echo", {"value"}, {"value"})
            .method<&Lamp::length>("Length", {"text"}, {"length"})
            .method<&Lamp::contents>("Contents", {"file"}, {"text"})
            .method<&Lamp::glow>("Glow", {}, {})
            .method<&Lamp::burn_out>("BurnOut", {"reason"}, {})
            .method<&Lamp::guarded>("Guarded", {}, {})
            .signal(burnt_out, {"reason"})
            .build();
    return interface;
}

Task<Outcome<std::uint32_t>> Lamp::dim(CallContext call, std::uint32_t level, Options options) {
    ZCO_TRY(const auto by_two, options.take<bool>("double"));
    ZCO_CHECK(options.refuse_rest());
    const std::uint32_t previous =
        std::exchange(brightness_, by_two.value_or(false) ? 2 * level : level);
    call.connection().properties_changed(call.path(), bus_interface(), {"Brightness"});
    co_return previous;
}

Task<Outcome<std::tuple<Everything>>> Lamp::echo(CallContext /*call*/, Everything value) {
    co_return std::tuple(std::move(value));
}

Task<Outcome<std::uint64_t>> Lamp::length(CallContext /*call*/, std::string text) {
    co_return text.size();
}

Task<Outcome<std::string>> Lamp::contents(CallContext call, Fd file) {
    auto [count, buffer] = co_await call.io().read(file, Bytes(64));
    ZCO_CHECK(count);
    co_return std::string(buffer.text(*count));
}

Task<Outcome<void>> Lamp::glow(CallContext call) {
    ++glowing;
    changed.notify();
    const auto slept = co_await call.io().sleep_for(std::chrono::hours(24));
    --glowing;
    ++cut_short;
    changed.notify();
    ZCO_CHECK(slept);
    co_return {};
}

Task<Outcome<void>> Lamp::burn_out(CallContext call, std::string reason) {
    call.connection().emit(call.path(), bus_interface(), burnt_out, reason);
    co_return fail(CoreError::closed, "the lamp is dark: " + reason);
}

Task<Outcome<void>> Lamp::guarded(CallContext call) {
    co_return co_await authorize(call, "org.example.guarded");
}

} // namespace zsync::bus::test
