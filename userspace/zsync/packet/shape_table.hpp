// What the classes of a shape keep in the kernel: their clocks, and what they sent.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/meta.hpp>
#include <zsync/packet/rule_set.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

struct zsync_shape_class;

namespace zsync::packet {

/// The map of clocks, which goes on over loads and restarts.
Outcome<Fd> create_shape_clocks();

/// Where the clocks of each class of `shape` are: those of `live` where they have the same name.
[[nodiscard]] std::vector<std::uint32_t>
assign_classes(const Shape& shape, const std::optional<LiveShape>& live);
/// The clocks of slots that `live` has not begin anew. No program uses these yet.
Result<void> forget_classes(
    const Fd& clocks, std::span<const std::uint32_t> slots, const std::optional<LiveShape>& live
);

/// How the packet program sees a rate: ticks of a byte. 0 of none.
std::uint64_t byte_cost(std::uint64_t bits_a_second);
zsync_shape_class compile_class(const ShapeClass& one, std::uint32_t slot);

/// What a class has sent since it is there, and how long its next packet would wait.
struct ClassReading {
    std::string name;
    std::uint64_t guarantee = 0; ///< bits a second
    std::uint64_t max = 0;
    std::uint64_t packets = 0;  ///< that got a time to leave at
    std::uint64_t bytes = 0;    ///< of these, on the wire
    std::uint64_t borrowed = 0; ///< bytes of these beyond the guarantee
    std::uint64_t dropped = 0;  ///< packets that would have waited longer than the horizon
    std::chrono::nanoseconds backlog{};
};
struct ShapeReading {
    std::uint64_t rate = 0;
    std::uint32_t horizon_ms = 0;
    std::vector<ClassReading> classes;
};
Result<ShapeReading> read_shape(const Fd& clocks, const LiveShape& live);

} // namespace zsync::packet
