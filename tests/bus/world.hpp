// World: a service with a lamp and a client on a private bus, and one task that plays with them.
#pragma once

#include "lamp.hpp"
#include "private_bus.hpp"

#include <memory>
#include <string>

namespace zsync::bus::test {

struct World {
    World(Io io_, Scope& scope_, PrivateBus& bus_)
        : io(io_), scope(scope_), bus(bus_), service(io_, scope_, {.address = bus_.address()}),
          client(io_, scope_, {.address = bus_.address()}) {}

    Io io;
    Scope& scope;
    PrivateBus& bus;
    Connection service;
    Connection client;
    std::shared_ptr<Lamp> lamp = std::make_shared<Lamp>();

    Task<Outcome<void>> open();
    /// Waits until so many handlers of `Glow` run; `timed_out` after ten seconds.
    Task<Outcome<void>> until_glowing(std::uint32_t count);
};

using Body = Task<Outcome<void>> (*)(World*);

/// Runs `body` in a new world and expects it to succeed.
void in_world(Body body);

} // namespace zsync::bus::test
