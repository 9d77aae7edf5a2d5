#include <zsync/packet/endpoint_table.hpp>
#include <zsync/packet/limits.hpp>

#include <bpf/zsync_xdp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>
extern "C" {
#include <bpf/endpoint.h>
}

namespace zsync::packet {
namespace {

/// Entries that a table has room for at least, for each that it holds.
constexpr std::size_t room = 2;
constexpr std::size_t entries_min = 8;

auto order(const zsync_address& address) { return std::tuple(address.high, address.low); }

zsync_address first_bits(const zsync_address& address, unsigned count) {
    const auto mask = [](unsigned bits) {
        return bits == 0 ? std::uint64_t{0} : ~std::uint64_t{0} << (64 - std::min(bits, 64U));
    };
    return {
        .high = address.high & mask(count), .low = address.low & mask(count > 64 ? count - 64 : 0)
    };
}

/// Prefixes by what they cover: sorted, with the lengths that there are.
class Covers {
public:
    explicit Covers(std::span<TriePrefix> prefixes) : prefixes_(prefixes) {
        sort_prefixes(prefixes);
        for (const TriePrefix& prefix : prefixes) {
            has_length_.at(prefix.length) = true;
        }
    }

    /// The class of an address by the prefixes alone.
    [[nodiscard]] std::uint32_t
    class_of(const zsync_address& address, std::uint32_t outside, const JoinClass& join) const {
        std::uint32_t class_id = outside;
        for (unsigned length = 0; length < has_length_.size(); ++length) {
            if (!has_length_[length]) {
                continue;
            }
            const zsync_address bits = first_bits(address, length);
            const auto wanted = std::tuple(bits.high, bits.low, length);
            const auto key = [](const TriePrefix& prefix) {
                return std::tuple(prefix.address.high, prefix.address.low, unsigned{prefix.length});
            };
            for (const TriePrefix& prefix : std::ranges::equal_range(prefixes_, wanted, {}, key)) {
                class_id = join(class_id, prefix.set);
            }
        }
        return class_id;
    }

private:
    std::span<TriePrefix> prefixes_;
    std::array<bool, 129> has_length_{};
};

struct Entry {
    zsync_address address;
    std::uint64_t port_and_color;
    std::uint32_t hash;
};

/// Puts entries where the program looks for them; false when one would be too far from its hash.
/// `value_of(entry, number)` is what stands there, never 0.
template <class Value, class ValueOf>
bool place(std::span<const Entry> entries, std::span<Value> table, ValueOf value_of) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
        Value* at = nullptr;
        for (std::uint32_t step = 0; step < ZSYNC_ENDPOINT_STEPS_MAX && at == nullptr; ++step) {
            Value& found = table[(entries[i].hash + step) & (table.size() - 1)];
            at = found == 0 ? &found : nullptr;
        }
        if (at == nullptr) {
            return false;
        }
        *at = value_of(entries[i], i);
    }
    return true;
}

/// Appends a table that is twice as large until all have a place; nothing where the largest is too
/// small.
template <class Value, class ValueOf>
std::optional<EndpointTable>
append_table(std::span<const Entry> entries, std::vector<Value>& values, ValueOf value_of) {
    const std::size_t start = values.size();
    for (std::size_t size = std::bit_ceil(std::max(room * entries.size(), entries_min));
         size <= std::size_t{1} << ZSYNC_ENDPOINT_BITS;
         size *= 2) {
        values.resize(start);
        values.resize(start + size);
        if (place(entries, std::span(values).subspan(start), value_of)) {
            return EndpointTable{
                .root = static_cast<std::uint32_t>(start),
                .mask = static_cast<std::uint32_t>(size - 1),
            };
        }
    }
    return std::nullopt;
}

std::optional<EndpointTable>
append_table_ipv4(std::span<const Entry> entries, std::vector<std::uint64_t>& buckets) {
    return append_table(entries, buckets, [](const Entry& entry, std::size_t /*number*/) {
        return entry.address.high | entry.port_and_color;
    });
}

std::optional<EndpointTable> append_table_ipv6(
    std::span<const Entry> entries,
    std::vector<std::uint32_t>& cells,
    std::vector<std::uint64_t>& buckets
) {
    static_assert(limits::prefixes_max <= ZSYNC_ENDPOINT_NUMBER_MASK);
    auto table = append_table(entries, cells, [](const Entry& entry, std::size_t number) {
        return (entry.hash & ~ZSYNC_ENDPOINT_NUMBER_MASK) | static_cast<std::uint32_t>(number + 1);
    });
    if (table) {
        table->words = static_cast<std::uint32_t>(buckets.size());
        for (const Entry& entry : entries) {
            buckets.insert(
                buckets.end(), {entry.address.high, entry.address.low, entry.port_and_color}
            );
        }
    }
    return table;
}

} // namespace

std::optional<EndpointTable> build_endpoint_table(
    std::span<Endpoint> endpoints,
    std::span<TriePrefix> prefixes,
    bool is_ipv6,
    std::uint32_t outside,
    const JoinClass& join,
    Palette& palette,
    std::vector<std::uint32_t>& cells,
    std::vector<std::uint64_t>& buckets
) {
    static_assert(limits::endpoint_classes_max <= ZSYNC_ENDPOINT_COLOR_MASK);
    const Covers covers(prefixes);
    std::ranges::sort(endpoints, {}, [](const Endpoint& endpoint) {
        return std::tuple(order(endpoint.address), endpoint.port, endpoint.set);
    });
    std::vector<Entry> entries;
    for (auto at = endpoints.begin(); at != endpoints.end();) {
        const Endpoint& first = *at;
        std::uint32_t class_id = covers.class_of(first.address, outside, join);
        for (; at != endpoints.end() && at->port == first.port &&
               order(at->address) == order(first.address);
             ++at) {
            class_id = join(class_id, at->set);
        }
        const std::uint64_t color = palette.color_of(class_id);
        if (color > limits::endpoint_classes_max) {
            return std::nullopt;
        }
        entries.push_back(
            {.address = first.address,
             .port_and_color = std::uint64_t{first.port} << ZSYNC_ENDPOINT_COLOR_BITS | color,
             .hash = zsync_endpoint_hash(first.address.high, first.address.low, first.port)}
        );
    }
    return is_ipv6 ? append_table_ipv6(entries, cells, buckets)
                   : append_table_ipv4(entries, buckets);
}

} // namespace zsync::packet
