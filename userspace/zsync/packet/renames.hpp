// Interfaces whose devices are called otherwise by now. Private to the packet subsystem.
#pragma once

#include <zsync/packet/managed_interface.hpp>

#include <span>
#include <string>
#include <vector>

namespace zsync::packet {

struct RenamedInterface {
    ManagedInterface* interface;
    std::string old_name;
};

/// Has interfaces go by the names that their devices have, on disk and in the kernel, and returns
/// those that changed. A device is known by its filter, so names that were exchanged are told from
/// devices that were. One without a filter that has such a name waited for a device that is
/// filtered by now: it is left nothing, and the caller forgets it. Calls block.
std::vector<RenamedInterface> follow_renames(std::span<ManagedInterface* const> interfaces);

} // namespace zsync::packet
