#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/shape_table.hpp>

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <format>
extern "C" {
#include <bpf/shape.h>
}

namespace zsync::packet {
namespace {

static_assert(sizeof(zsync_shape_clock) == 64 && sizeof(zsync_shape_flow_line) == 64);
static_assert(limits::shape_slots == ZSYNC_SHAPE_SLOTS);

Result<zsync_shape_clock> read_clock(const Fd& clocks, std::uint32_t slot) {
    zsync_shape_clock clock{};
    if (bpf_map_lookup_elem(clocks.get(), &slot, &clock) < 0) {
        return fail(os_error(errno));
    }
    return clock;
}

/// As bpf_ktime_get_ns() has it.
std::uint64_t now_ticks() {
    return epoch_time<std::chrono::nanoseconds, std::chrono::steady_clock>()
           << ZSYNC_TICKS_PER_NS_LOG2;
}

/// When the next packet would leave.
std::uint64_t next_departure(
    const ShapeClass& one, const zsync_shape_clock& own, const zsync_shape_clock& whole
) {
    const std::uint64_t start =
        one.guarantee == 0 ? whole.most : std::min<std::uint64_t>(own.guaranteed, whole.most);
    return std::max<std::uint64_t>(start, own.most);
}

} // namespace

Outcome<Fd> create_shape_clocks() {
    Fd map(bpf_map_create(
        BPF_MAP_TYPE_ARRAY,
        "zsync_shape",
        sizeof(std::uint32_t),
        sizeof(zsync_shape_clock),
        ZSYNC_SHAPE_SLOTS + ZSYNC_SHAPE_FLOW_LINES,
        nullptr
    ));
    if (!map) {
        const int error = errno;
        return fail(
            error == EPERM ? Error(PacketError::not_permitted, error) : os_error(error),
            std::format("cannot make the clocks of a shape: {}", os_error(error).message())
        );
    }
    return map;
}

std::vector<std::uint32_t>
assign_classes(const Shape& shape, const std::optional<LiveShape>& live) {
    std::vector<std::uint32_t> slots(shape.classes.size(), ZSYNC_SHAPE_WHOLE);
    std::vector<bool> taken(limits::shape_slots, false);
    taken[ZSYNC_SHAPE_WHOLE] = true;
    if (live) {
        for (std::size_t i = 0; i < live->slots.size(); ++i) {
            taken[live->slots[i]] = true;
            const auto same =
                std::ranges::find(shape.classes, live->shape.classes[i].name, &ShapeClass::name);
            if (same != shape.classes.end()) {
                slots[static_cast<std::size_t>(same - shape.classes.begin())] = live->slots[i];
            }
        }
    }
    for (std::uint32_t& slot : slots) {
        if (slot == ZSYNC_SHAPE_WHOLE) {
            const auto free = std::ranges::find(taken, false);
            slot = static_cast<std::uint32_t>(free - taken.begin());
            *free = true;
        }
    }
    return slots;
}

Result<void> forget_classes(
    const Fd& clocks, std::span<const std::uint32_t> slots, const std::optional<LiveShape>& live
) {
    const zsync_shape_clock fresh{};
    for (const std::uint32_t slot : slots) {
        if (live && std::ranges::contains(live->slots, slot)) {
            continue;
        }
        if (bpf_map_update_elem(clocks.get(), &slot, &fresh, BPF_ANY) < 0) {
            return fail(os_error(errno));
        }
    }
    return {};
}

std::uint64_t byte_cost(std::uint64_t bits_a_second) {
    if (bits_a_second == 0) {
        return 0;
    }
    constexpr auto second = static_cast<unsigned __int128>(1'000'000'000)
                            << (ZSYNC_TICKS_PER_NS_LOG2 + ZSYNC_BYTE_COST_LOG2);
    return static_cast<std::uint64_t>((second * 8 + bits_a_second / 2) / bits_a_second);
}

zsync_shape_class compile_class(const ShapeClass& one, std::uint32_t slot) {
    return {
        .guaranteed_cost = byte_cost(one.guarantee),
        .most_cost = byte_cost(one.max),
        .slot = slot,
        .reserved = 0,
    };
}

Result<ShapeReading> read_shape(const Fd& clocks, const LiveShape& live) {
    ShapeReading reading{
        .rate = live.shape.rate, .horizon_ms = live.shape.horizon_ms, .classes = {}
    };
    const zsync_shape_clock whole = ZTRY(read_clock(clocks, ZSYNC_SHAPE_WHOLE));
    for (std::size_t i = 0; i < live.shape.classes.size(); ++i) {
        const ShapeClass& one = live.shape.classes[i];
        const zsync_shape_clock own = ZTRY(read_clock(clocks, live.slots[i]));
        const std::uint64_t now = now_ticks();
        const std::uint64_t due = std::max(next_departure(one, own, whole), now);
        reading.classes.push_back(
            {.name = one.name,
             .guarantee = one.guarantee,
             .max = one.max,
             .packets = own.packets,
             .bytes = own.bytes,
             .borrowed = own.borrowed,
             .dropped = own.dropped,
             .backlog = std::chrono::nanoseconds((due - now) >> ZSYNC_TICKS_PER_NS_LOG2)}
        );
    }
    return reading;
}

} // namespace zsync::packet
