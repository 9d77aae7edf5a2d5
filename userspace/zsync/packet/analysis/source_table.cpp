#include <zsync/packet/analysis/source_table.hpp>

#include <algorithm>

namespace zsync::packet::analysis {

void SourceTable::flow_began(
    const Address& source,
    const Address& destination,
    std::uint8_t protocol,
    std::uint16_t destination_port
) {
    Source& row = sources_[source];
    ++row.flows;
    row.destinations.add(AddressHash{seed_}(destination));
    Hasher port(seed_);
    port.add(static_cast<std::uint64_t>(protocol) << 16U | destination_port);
    row.ports.add(port.value());
}

std::vector<SourceTable::Row> SourceTable::widest(std::size_t count) const {
    std::vector<Row> rows;
    rows.reserve(sources_.entries().size());
    for (const auto& [address, source] : sources_.entries()) {
        rows.push_back({address, source.flows, source.destinations.count(), source.ports.count()});
    }
    std::ranges::sort(rows, [](const Row& a, const Row& b) {
        const std::uint64_t width_a = a.destinations + a.ports;
        const std::uint64_t width_b = b.destinations + b.ports;
        return width_a != width_b ? width_a > width_b : a.address < b.address;
    });
    rows.resize(std::min(rows.size(), count));
    return rows;
}

} // namespace zsync::packet::analysis
