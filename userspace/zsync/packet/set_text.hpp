// Elements of sets as text: lists in a rule file and whole set files. Private to the packet
// subsystem.
#pragma once

#include <zsync/packet/address_text.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace zsync::packet {

enum class ElementKind : std::uint8_t { address, port };

/// A set's elements as they came, then sorted and merged. One of the two lists is empty.
struct SetContents {
    AddressSet addresses;
    std::vector<PortRange> ports;

    [[nodiscard]] bool empty() const { return addresses.empty() && ports.empty(); }
};

[[nodiscard]] std::expected<PortRange, Complaint> parse_port_range(std::string_view text);

/// Sorts ranges and makes one of those that touch.
void merge_ranges(std::vector<PortRange>& ranges);

/// Takes elements of one kind. Memory stays within twice the limit however many duplicates come.
class SetBuilder {
public:
    /// `wanted`: what the place asks for; without it the first element decides.
    explicit SetBuilder(std::optional<ElementKind> wanted = std::nullopt)
        : wanted_(wanted), kind_(wanted) {}

    std::expected<void, Complaint> add(std::string_view element);

    /// The elements, sorted, without duplicates, port ranges that touch merged into one.
    std::expected<SetContents, Complaint> finish();

private:
    [[nodiscard]] Complaint mixed(std::string_view element) const;
    void compact();

    std::optional<ElementKind> wanted_;
    std::optional<ElementKind> kind_;
    SetContents contents_;
    bool over_limit_ = false;
};

/// Where a set file is wrong: line, column, what. False ends the reading.
using SetFileError = std::function<bool(std::uint32_t, std::uint32_t, const Complaint&)>;

/// One prefix a line, `#` comments. Complaints never quote what is no address: the file may be one
/// that the person who named it may not read.
void parse_set_file(std::string_view text, SetBuilder& builder, const SetFileError& error);

} // namespace zsync::packet
