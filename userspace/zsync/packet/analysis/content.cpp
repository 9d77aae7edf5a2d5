#include <zsync/packet/analysis/content.hpp>
#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/analysis/sketch.hpp>

#include <algorithm>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint16_t dns_port = 53;
constexpr std::uint16_t mdns_port = 5353;
constexpr std::uint16_t llmnr_port = 5355;
constexpr std::uint16_t dhcp_server_port = 67;
constexpr std::uint16_t dhcp_client_port = 68;

bool uses_port(const Tuple& tuple, std::uint16_t port) {
    return tuple.source_port == port || tuple.destination_port == port;
}

TlsClient client_of(ClientHello& hello, Ja4Transport transport) {
    TlsClient client{.server_name = {}, .alpn = {}, .ja4 = ja4(hello, transport)};
    client.server_name = std::move(hello.server_name);
    client.alpn = std::move(hello.alpn);
    return client;
}

std::string_view dns_application(const Tuple& tuple) {
    if (uses_port(tuple, dns_port)) {
        return "dns";
    }
    if (uses_port(tuple, mdns_port)) {
        return "mdns";
    }
    return uses_port(tuple, llmnr_port) ? "llmnr" : "";
}

} // namespace

FlowContent* ContentInspector::content_of(Flow& flow) {
    if (flow.content) {
        return flow.content.get();
    }
    if (contents_ == limits::flow_contents_max) {
        passed_over_ += flow.is_inspected ? 0 : 1;
        flow.is_inspected = true;
        return nullptr;
    }
    ++contents_;
    flow.content = std::make_unique<FlowContent>();
    return flow.content.get();
}

void ContentInspector::flow_ended(Flow& flow) noexcept {
    contents_ -= flow.content ? 1 : 0;
    flow.content.reset();
}

void ContentInspector::inspect(Flow& flow, const Packet& packet, bool to_responder) {
    if (packet.is_fragment || packet.tuple.protocol != flow.tuple.protocol) {
        return; // a piece of a message, or an ICMP error about the flow
    }
    FlowDirection& direction = to_responder ? flow.to_responder : flow.to_initiator;
    constexpr std::size_t entropy_bytes_min = 64;
    if (direction.payload_entropy < 0 && packet.payload.size() >= entropy_bytes_min) {
        direction.payload_entropy = entropy_of(packet.payload);
    }
    if (flow.is_tcp()) {
        inspect_tcp(flow, packet, to_responder);
    } else if (flow.tuple.protocol == ip_protocol::udp && !packet.payload.empty()) {
        inspect_udp(flow, packet, to_responder);
    }
}

void ContentInspector::inspect_tcp(Flow& flow, const Packet& packet, bool to_responder) {
    FlowDirection& direction = to_responder ? flow.to_responder : flow.to_initiator;
    const bool is_syn = (packet.tcp_flags & tcp_flag::syn) != 0;
    if (!direction.stream_begun) {
        direction.stream_begun = true;
        direction.stream_begin = packet.tcp_sequence + (is_syn ? 1 : 0);
    }
    const bool is_dns = uses_port(flow.tuple, dns_port);
    if (packet.payload.empty() || flow.is_inspected || (!to_responder && !is_dns)) {
        return;
    }
    FlowContent* content = content_of(flow);
    if (content == nullptr || content->is_settled) {
        return;
    }
    const std::size_t side = to_responder ? 0 : 1;
    if (!content->heads[side]) {
        content->heads[side] = std::make_unique<StreamHead>(direction.stream_begin);
    }
    if (!content->heads[side]->add(packet.tcp_sequence + (is_syn ? 1 : 0), packet.payload)) {
        return;
    }
    if (is_dns) {
        read_dns_stream(flow, *content, packet, side);
    } else {
        read_client(flow, *content);
    }
}

void ContentInspector::read_client(Flow& flow, FlowContent& content) {
    const StreamHead& head = *content.heads[0];
    TlsHead tls = read_tls_head(head.bytes());
    if (tls.verdict == HeadVerdict::yes) {
        content.application = "tls";
        content.client = client_of(tls.hello, Ja4Transport::tcp);
        return content.settle();
    }
    HttpHead http = read_http_head(head.bytes(), head.is_full());
    if (http.verdict == HeadVerdict::yes) {
        content.application = "http";
        content.request = std::move(http.request);
        return content.settle();
    }
    const bool may_come = tls.verdict == HeadVerdict::more || http.verdict == HeadVerdict::more;
    if (!may_come || head.is_full()) {
        flow_ended(flow); // nothing to remember of it
        flow.is_inspected = true;
    }
}

void ContentInspector::read_dns_stream(
    Flow& flow, FlowContent& content, const Packet& packet, std::size_t side
) {
    const StreamHead& head = *content.heads[side];
    std::size_t& read = content.heads_read[side];
    for (;;) {
        Cursor in(head.bytes().subspan(read));
        const std::uint16_t length = in.u16();
        const ByteView message = in.take(length);
        if (!in.ok()) {
            break;
        }
        read += length + std::size_t{2};
        inspect_dns(flow, packet, "dns", message);
    }
    if (head.is_full()) {
        content.settle();
    }
}

void ContentInspector::inspect_dns(
    Flow& flow, const Packet& packet, std::string_view application, ByteView message
) {
    const auto dns = parse_dns(message);
    if (!dns) {
        return;
    }
    if (FlowContent* content = content_of(flow)) {
        content->application = application;
    }
    observer_.dns_message(flow, packet, *dns);
}

void ContentInspector::inspect_udp(Flow& flow, const Packet& packet, bool to_responder) {
    if (const std::string_view application = dns_application(flow.tuple); !application.empty()) {
        return inspect_dns(flow, packet, application, packet.payload);
    }
    if (uses_port(flow.tuple, dhcp_server_port) && uses_port(flow.tuple, dhcp_client_port)) {
        if (const auto dhcp = parse_dhcp(packet.payload)) {
            if (FlowContent* content = content_of(flow)) {
                content->application = "dhcp";
            }
            observer_.dhcp_message(packet, *dhcp);
        }
        return;
    }
    if (!to_responder || flow.is_inspected) {
        return;
    }
    if (!flow.content && !QuicInitialReader::looks_like_initial(packet.payload)) {
        flow.is_inspected = true;
        return;
    }
    FlowContent* content = content_of(flow);
    if (content == nullptr || content->is_settled) {
        return;
    }
    if (!content->quic) {
        content->quic = std::make_unique<QuicInitialReader>();
    }
    TlsHead head = content->quic->add(packet.payload);
    if (head.verdict == HeadVerdict::no) {
        flow_ended(flow);
        flow.is_inspected = true;
        return;
    }
    content->application = "quic";
    if (head.verdict == HeadVerdict::yes) {
        content->client = client_of(head.hello, Ja4Transport::quic);
        content->settle();
    }
}

} // namespace zsync::packet::analysis
