// Owners of sd-bus objects.
#pragma once

#include <systemd/sd-bus.h>

#include <utility>

namespace zsync::bus {

/// Holds one reference of an sd-bus object.
template <class T, T* (*Ref)(T*), T* (*Unref)(T*)> class Handle {
public:
    Handle() noexcept = default;
    /// Takes over a reference.
    explicit Handle(T* object) noexcept : object_(object) {}
    static Handle share(T* object) noexcept { return Handle(Ref(object)); }
    Handle(Handle&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        Handle old(std::move(*this));
        object_ = std::exchange(other.object_, nullptr);
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { reset(); }

    [[nodiscard]] T* get() const noexcept { return object_; }
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }
    /// For calls that return a new reference through a pointer.
    [[nodiscard]] T** out() noexcept {
        reset();
        return &object_;
    }
    void reset() noexcept { Unref(std::exchange(object_, nullptr)); }

private:
    T* object_ = nullptr;
};

using Message = Handle<sd_bus_message, sd_bus_message_ref, sd_bus_message_unref>;
using Slot = Handle<sd_bus_slot, sd_bus_slot_ref, sd_bus_slot_unref>;

} // namespace zsync::bus
