#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/analysis/messages.hpp>

#include <utility>

namespace zsync::packet::analysis {

void write_dns_message(
    JsonWriter& json,
    std::uint64_t flow_id,
    const Flow& flow,
    const Packet& packet,
    const DnsMessage& message
) {
    json.begin_object();
    json.field("protocol", flow.content ? flow.content->application : "dns");
    json.field("kind", message.is_response ? "response" : "query");
    json.field("time_us", (packet.time_ns + packet.epoch_ns) / 1000);
    json.field("flow", flow_id);
    json.field("source", to_string(packet.tuple.source));
    json.field("destination", to_string(packet.tuple.destination));
    json.field("id", message.id);
    json.key("questions");
    json.begin_array();
    for (const DnsQuestion& question : message.questions) {
        json.begin_object();
        json.field("name", question.name);
        json.field("type", dns_type_name(question.type));
        json.end_object();
    }
    json.end_array();
    if (message.is_response) {
        json.field("rcode", dns_rcode_name(message.rcode));
        json.field("answer_count", message.answer_count);
        json.key("answers");
        json.begin_array();
        for (const DnsRecord& record : message.answers) {
            json.begin_object();
            json.field("name", record.name);
            json.field("type", dns_type_name(record.type));
            json.field("ttl_seconds", record.ttl_seconds);
            json.field("data_bytes", record.data_bytes);
            json.field("data", record.data);
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
}

void write_dhcp_message(JsonWriter& json, const Packet& packet, const DhcpMessage& message) {
    json.begin_object();
    json.field("protocol", "dhcp");
    json.field("kind", dhcp_type_name(message.type));
    json.field("time_us", (packet.time_ns + packet.epoch_ns) / 1000);
    json.field("source", to_string(packet.tuple.source));
    json.field("destination", to_string(packet.tuple.destination));
    json.field("id", message.transaction);
    json.field("client_mac", message.client_mac);
    json.field("client_address", to_string(message.client_address));
    json.field("requested", to_string(message.requested));
    json.field("server", to_string(message.server));
    json.field("lease_seconds", message.lease_seconds);
    json.field("host_name", message.host_name);
    json.field("vendor_class", message.vendor_class);
    json.end_object();
}

void RecentMessages::add(std::string message) {
    bytes_ += message.size();
    messages_.push_back(std::move(message));
    while (messages_.size() > limits::messages_kept_max || bytes_ > limits::messages_kept_bytes_max
    ) {
        bytes_ -= messages_.front().size();
        messages_.pop_front();
        ++left_out_;
    }
}

void RecentMessages::write(JsonWriter& json) const {
    json.new_line();
    json.key("messages");
    json.begin_object();
    json.field("left_out", left_out_);
    json.key("list");
    json.begin_array();
    for (const std::string& message : messages_) {
        json.new_line();
        json.raw(message);
    }
    json.end_array();
    json.end_object();
}

} // namespace zsync::packet::analysis
