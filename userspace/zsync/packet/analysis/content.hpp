// What flows carry, as far as their first bytes tell.
#pragma once

#include <zsync/packet/analysis/dhcp.hpp>
#include <zsync/packet/analysis/dns.hpp>
#include <zsync/packet/analysis/flow.hpp>
#include <zsync/packet/analysis/http_request.hpp>
#include <zsync/packet/analysis/quic_initial.hpp>
#include <zsync/packet/analysis/stream_head.hpp>
#include <zsync/packet/analysis/tls_hello.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace zsync::packet::analysis {

/// A client's TLS or QUIC hello, without what only the fingerprint needs.
struct TlsClient {
    std::string server_name;
    std::vector<std::string> alpn;
    std::string ja4;
};

/// Findings about one flow, and the bytes that are still being put together for them.
struct FlowContent {
    std::string_view application; ///< `tls`, `quic`, `http`, `dns`, `dhcp`, `mdns`, or empty
    std::optional<TlsClient> client;
    std::optional<HttpRequest> request;

    bool is_settled = false; ///< nothing more is looked for
    /// To the responder and to the initiator.
    std::array<std::unique_ptr<StreamHead>, 2> heads;
    std::array<std::size_t, 2> heads_read{}; ///< bytes of them that were understood
    std::unique_ptr<QuicInitialReader> quic;

    /// Gives back what is not shown.
    void settle() {
        is_settled = true;
        heads = {};
        quic.reset();
    }
};

/// Told of messages that are events of their own.
class ContentObserver {
public:
    virtual void dns_message(const Flow& flow, const Packet& packet, const DnsMessage& message) = 0;
    virtual void dhcp_message(const Packet& packet, const DhcpMessage& message) = 0;

protected:
    ~ContentObserver() = default;
};

/// Runs the parsers on the packets of flows.
///
/// TLS and HTTP are found on any TCP port by what the client says first, QUIC on any UDP port; DNS
/// on ports 53, 5353 (mDNS) and 5355 (LLMNR), DHCP on 67 and 68.
class ContentInspector {
public:
    explicit ContentInspector(ContentObserver& observer) noexcept : observer_(observer) {}

    void inspect(Flow& flow, const Packet& packet, bool to_responder);
    /// Must be told of each flow that ends.
    void flow_ended(Flow& flow) noexcept;
    /// Flows that were not looked into because too many were being looked into.
    [[nodiscard]] std::uint64_t passed_over() const noexcept { return passed_over_; }

private:
    FlowContent* content_of(Flow& flow);
    void inspect_tcp(Flow& flow, const Packet& packet, bool to_responder);
    void inspect_udp(Flow& flow, const Packet& packet, bool to_responder);
    void read_client(Flow& flow, FlowContent& content);
    void read_dns_stream(Flow& flow, FlowContent& content, const Packet& packet, std::size_t side);
    void
    inspect_dns(Flow& flow, const Packet& packet, std::string_view application, ByteView message);

    ContentObserver& observer_;
    std::size_t contents_ = 0;
    std::uint64_t passed_over_ = 0;
};

} // namespace zsync::packet::analysis
