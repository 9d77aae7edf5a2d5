// SourceTable: how many hosts and ports each source has spoken to.
#pragma once

#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/analysis/recent_table.hpp>
#include <zsync/packet/analysis/sketch.hpp>

#include <cstdint>
#include <vector>

namespace zsync::packet::analysis {

struct Source {
    std::uint64_t flows = 0;
    DistinctCounter destinations;
    DistinctCounter ports; ///< with their protocol
};

/// The sources that have begun flows lately; the one that has not for longest makes room.
class SourceTable {
public:
    explicit SourceTable(std::uint64_t seed, std::size_t sources_max = limits::sources_max)
        : seed_(seed), sources_(sources_max, AddressHash{seed}) {}

    void flow_began(
        const Address& source,
        const Address& destination,
        std::uint8_t protocol,
        std::uint16_t destination_port
    );

    struct Row {
        Address address{};
        std::uint64_t flows = 0;
        std::uint64_t destinations = 0;
        std::uint64_t ports = 0;
    };
    /// At most `count`, those with the most destinations and ports first.
    [[nodiscard]] std::vector<Row> widest(std::size_t count) const;
    [[nodiscard]] std::uint64_t forgotten() const noexcept { return sources_.forgotten(); }

private:
    std::uint64_t seed_;
    RecentTable<Address, Source, AddressHash> sources_;
};

} // namespace zsync::packet::analysis
