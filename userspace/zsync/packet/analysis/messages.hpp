// Messages of DNS and DHCP as reports have them, and those that an interface has seen last.
#pragma once

#include <zsync/packet/analysis/content.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace zsync::packet::analysis {

class JsonWriter;

/// A message as a JSON object; the fields are those of zsyncctl(1). `flow_id` is the id that the
/// report has for the flow.
void write_dns_message(
    JsonWriter& json,
    std::uint64_t flow_id,
    const Flow& flow,
    const Packet& packet,
    const DnsMessage& message
);
void write_dhcp_message(JsonWriter& json, const Packet& packet, const DhcpMessage& message);

/// The last messages of an interface, as JSON: `limits::messages_kept_max` of them at most, in
/// `limits::messages_kept_bytes_max` bytes. Older ones make room and are counted.
class RecentMessages {
public:
    void add(std::string message);
    /// Writes them, the oldest first, as the field `messages` of the object that `json` is in.
    void write(JsonWriter& json) const;

    [[nodiscard]] std::size_t size() const noexcept { return messages_.size(); }
    [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }

private:
    std::deque<std::string> messages_;
    std::size_t bytes_ = 0;
    std::uint64_t left_out_ = 0;
};

} // namespace zsync::packet::analysis
