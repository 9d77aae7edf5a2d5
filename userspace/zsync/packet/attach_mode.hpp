// How a filter is attached, and what an interface may be called: what commands, configuration and
// saved state have in common.
#pragma once

#include <zsync/core/result.hpp>

#include <cstdint>
#include <string_view>

namespace zsync::packet {

/// How to attach: `automatic` is native where the driver can, else generic.
enum class AttachMode : std::uint8_t { automatic, native, generic };

/// `auto`, `native` or `generic`.
[[nodiscard]] std::string_view name_of(AttachMode mode) noexcept;

/// The mode of that name; the fault says which names there are.
[[nodiscard]] Outcome<AttachMode> attach_mode_from(std::string_view name);

/// What the kernel takes as a name (dev_valid_name in net/core/dev.c): 1 to 15 bytes, no white
/// space, `/` or `:`, and neither `.` nor `..`.
[[nodiscard]] bool is_interface_name(std::string_view name) noexcept;

} // namespace zsync::packet
