#include <zsync/packet/analysis/address.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace zsync::packet::analysis {

std::string to_string(const Address& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(address.is_v6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
    return text.data();
}

} // namespace zsync::packet::analysis
