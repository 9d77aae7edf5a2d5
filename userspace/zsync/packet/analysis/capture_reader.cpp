#include <zsync/packet/analysis/capture_reader.hpp>
#include <zsync/packet/analysis/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>
#include <unistd.h>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint32_t magic_us = 0xa1b2c3d4;
constexpr std::uint32_t magic_ns = 0xa1b23c4d;
constexpr std::uint32_t magic_modified = 0xa1b2cd34; // Kuznetzov's patch: longer packet headers
constexpr std::size_t pcap_header_bytes = 24;
constexpr std::size_t pcap_record_bytes = 16;

constexpr std::uint32_t section_block = 0x0a0d0d0a;
constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::uint32_t interface_block = 1;
constexpr std::uint32_t obsolete_packet_block = 2;
constexpr std::uint32_t simple_packet_block = 3;
constexpr std::uint32_t enhanced_packet_block = 6;
constexpr std::size_t block_frame_bytes = 12; // type and length before, length behind
constexpr std::size_t section_bytes_min = 28;

constexpr std::size_t read_bytes = std::size_t{256} << 10;

std::uint32_t number(ByteView bytes, std::size_t at, std::size_t count, bool big_endian) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
        value = value << 8U | bytes[at + (big_endian ? i : count - 1 - i)];
    }
    return value;
}

std::uint32_t padded(std::uint32_t bytes) { return (bytes + 3) & ~3U; }

/// Ticks of a clock as nanoseconds, without overflow on the way.
std::uint64_t nanoseconds(std::uint64_t ticks, std::uint64_t units_per_second) {
    constexpr std::uint64_t ns_per_second = 1'000'000'000;
    const auto wide = static_cast<unsigned __int128>(ticks % units_per_second) * ns_per_second;
    return ticks / units_per_second * ns_per_second +
           static_cast<std::uint64_t>(wide / units_per_second);
}

} // namespace

bool is_known(LinkType type) noexcept {
    switch (type) {
    case LinkType::null:
    case LinkType::ethernet:
    case LinkType::raw_bsd:
    case LinkType::raw_openbsd:
    case LinkType::raw:
    case LinkType::loop:
    case LinkType::linux_sll:
    case LinkType::ipv4:
    case LinkType::ipv6:
    case LinkType::linux_sll2:
        return true;
    }
    return false;
}

std::unexpected<Fault> CaptureReader::wrong(std::uint64_t offset, std::string_view words) {
    return fail(AnalysisError::invalid_capture, std::format("offset {}: {}", offset, words));
}

std::unexpected<Fault>
CaptureReader::cut_short(std::string_view what, std::uint64_t wanted, std::uint64_t there) const {
    return fail(
        AnalysisError::capture_cut_short,
        std::format(
            "offset {}: the file ends inside {} (packet {}): {} bytes should follow, {} do",
            offset_,
            what,
            packets_ + 1,
            wanted,
            there
        )
    );
}

std::uint16_t CaptureReader::u16(ByteView bytes, std::size_t at) const noexcept {
    return static_cast<std::uint16_t>(number(bytes, at, 2, big_endian_));
}

std::uint32_t CaptureReader::u32(ByteView bytes, std::size_t at) const noexcept {
    return number(bytes, at, 4, big_endian_);
}

Outcome<ByteView> CaptureReader::peek(std::size_t count) {
    if (end_ - begin_ < count && begin_ > 0) {
        std::copy(
            buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
            buffer_.begin() + static_cast<std::ptrdiff_t>(end_),
            buffer_.begin()
        );
        end_ -= begin_;
        begin_ = 0;
    }
    while (!at_end_ && end_ - begin_ < count) {
        if (buffer_.size() < end_ + read_bytes) {
            buffer_.resize(end_ + read_bytes);
        }
        const ssize_t got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            const Error error = os_error(errno);
            return fail(error, std::format("offset {}: cannot read: {}", offset_, error.message()));
        }
        at_end_ = got == 0;
        end_ += static_cast<std::size_t>(got);
    }
    return ByteView(buffer_).subspan(begin_, std::min(count, end_ - begin_));
}

void CaptureReader::consume(std::size_t count) noexcept {
    begin_ += count;
    offset_ += count;
}

Outcome<ByteView> CaptureReader::take(std::size_t count, std::string_view what) {
    const ByteView bytes = ZTRY(peek(count));
    if (bytes.size() < count) {
        return cut_short(what, count, bytes.size());
    }
    consume(count);
    return bytes;
}

Outcome<void> CaptureReader::skip(std::uint64_t count, std::string_view what) {
    while (count > 0) {
        const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(count, read_bytes));
        ZTRY(take(piece, what));
        count -= piece;
    }
    return {};
}

Outcome<CaptureReader> CaptureReader::open(int fd) {
    CaptureReader reader(fd);
    ZTRY(reader.read_header());
    return reader;
}

Outcome<void> CaptureReader::read_header() {
    const ByteView start = ZTRY(peek(4));
    if (start.empty()) {
        return wrong(0, "the file is empty");
    }
    if (start.size() < 4) {
        return wrong(0, std::format("{} bytes are no capture", start.size()));
    }
    const std::uint32_t magic = number(start, 0, 4, true);
    if (magic == section_block) { // reads the same in both byte orders
        is_pcapng_ = true;
        return {};
    }
    return read_pcap_header(magic);
}

Outcome<void> CaptureReader::read_pcap_header(std::uint32_t magic) {
    const std::uint32_t swapped = __builtin_bswap32(magic);
    const auto is_either = [&](std::uint32_t wanted) {
        return magic == wanted || swapped == wanted;
    };
    if (is_either(magic_modified)) {
        return wrong(0, "pcap with Kuznetzov's longer packet headers; convert it with editcap");
    }
    if (!is_either(magic_us) && !is_either(magic_ns)) {
        return wrong(0, std::format("0x{:08x} begins neither pcap nor pcapng", magic));
    }
    nanoseconds_ = is_either(magic_ns);
    big_endian_ = magic == magic_us || magic == magic_ns;
    const ByteView header = ZTRY(take(pcap_header_bytes, "the file header"));
    const std::uint16_t major = u16(header, 4);
    const std::uint16_t minor = u16(header, 6);
    if (major != 2 || minor < 3) { // 2.3 and 2.4 differ in a field's name; older ones swap lengths
        return wrong(4, std::format("pcap version {}.{}, only 2.3 and 2.4 are read", major, minor));
    }
    link_type_ = static_cast<LinkType>(u32(header, 20) & 0xffffU); // the FCS length is above
    if (!is_known(link_type_)) {
        return wrong(
            20,
            std::format(
                "link type {} is not read; Ethernet, raw IP, BSD loopback and Linux cooked are",
                std::to_underlying(link_type_)
            )
        );
    }
    return {};
}

Outcome<std::optional<Frame>> CaptureReader::next() {
    return is_pcapng_ ? next_pcapng() : next_pcap();
}

Outcome<std::optional<Frame>> CaptureReader::next_pcap() {
    if (ZTRY(peek(1)).empty()) {
        return std::nullopt;
    }
    const std::uint64_t at = offset_;
    const ByteView header = ZTRY(take(pcap_record_bytes, "a packet header"));
    const std::uint64_t fraction = u32(header, 4);
    const std::uint32_t captured = u32(header, 8);
    Frame frame{
        .time_ns =
            u32(header, 0) * std::uint64_t{1'000'000'000} + fraction * (nanoseconds_ ? 1 : 1000),
        .link_type = link_type_,
        .wire_bytes = u32(header, 12),
    };
    if (captured > limits::captured_packet_bytes_max) {
        return wrong(
            at + 8,
            std::format(
                "packet {} has {} captured bytes, more than {}: the file is damaged",
                packets_ + 1,
                captured,
                limits::captured_packet_bytes_max
            )
        );
    }
    frame.wire_bytes = std::max(frame.wire_bytes, captured);
    frame.bytes = ZTRY(take(captured, "a packet"));
    ++packets_;
    return frame;
}

Outcome<std::optional<Frame>> CaptureReader::next_pcapng() {
    for (;;) {
        const auto block = ZTRY(next_block());
        if (!block) {
            return std::nullopt;
        }
        std::optional<Frame> frame;
        switch (block->type) {
        case interface_block:
            ZTRY(read_interface(*block));
            break;
        case enhanced_packet_block:
        case obsolete_packet_block:
            frame = ZTRY(read_packet_block(*block));
            break;
        case simple_packet_block:
            frame = ZTRY(read_simple_packet(*block));
            break;
        default:
            break;
        }
        if (frame) {
            return frame;
        }
    }
}

Outcome<void> CaptureReader::read_section(std::uint64_t offset) {
    const ByteView start = ZTRY(peek(section_bytes_min));
    if (start.size() < section_bytes_min) {
        return cut_short("a section header", section_bytes_min, start.size());
    }
    const std::uint32_t order = number(start, 8, 4, true);
    if (order != byte_order_magic && __builtin_bswap32(order) != byte_order_magic) {
        return wrong(offset + 8, std::format("0x{:08x} is no byte-order magic", order));
    }
    big_endian_ = order == byte_order_magic;
    const std::uint16_t major = u16(start, 12);
    if (major != 1) {
        return wrong(offset + 12, std::format("pcapng version {}, only 1 is read", major));
    }
    interfaces_.clear();
    return {};
}

Outcome<std::optional<CaptureReader::Block>> CaptureReader::next_block() {
    for (;;) {
        const std::uint64_t at = offset_;
        const ByteView start = ZTRY(peek(8));
        if (start.empty()) {
            return std::nullopt;
        }
        if (start.size() < 8) {
            return cut_short("a block header", 8, start.size());
        }
        if (number(start, 0, 4, true) == section_block) {
            ZTRY(read_section(at));
        }
        const ByteView header = ZTRY(peek(8));
        const std::uint32_t type = u32(header, 0);
        const std::uint32_t length = u32(header, 4);
        if (length < block_frame_bytes || length % 4 != 0) {
            return wrong(
                at + 4, std::format("block length {} is no multiple of 4 from 12", length)
            );
        }
        const bool matters = type == section_block || type == interface_block ||
                             type == enhanced_packet_block || type == simple_packet_block ||
                             type == obsolete_packet_block;
        if (!matters) {
            ZTRY(skip(length, "a block"));
            continue;
        }
        if (length > limits::capture_block_bytes_max) {
            return wrong(
                at + 4,
                std::format(
                    "block of {} bytes, more than {}", length, limits::capture_block_bytes_max
                )
            );
        }
        const ByteView whole = ZTRY(take(length, "a block"));
        if (const std::uint32_t behind = u32(whole, length - 4); behind != length) {
            return wrong(
                at + length - 4,
                std::format(
                    "block length {} is repeated as {}: the file is damaged", length, behind
                )
            );
        }
        return Block{
            .type = type, .offset = at, .body = whole.subspan(8, length - block_frame_bytes)
        };
    }
}

Outcome<void> CaptureReader::read_interface(const Block& block) {
    if (block.body.size() < 8) {
        return wrong(block.offset, "interface description shorter than 20 bytes");
    }
    if (interfaces_.size() == limits::capture_interfaces_max) {
        return wrong(
            block.offset, std::format("more than {} interfaces", limits::capture_interfaces_max)
        );
    }
    Interface interface{
        .link_type = static_cast<LinkType>(u16(block.body, 0)),
        .snapshot_bytes = u32(block.body, 4),
    };
    ZTRY(read_interface_options(block.body.subspan(8), interface, block.offset));
    interfaces_.push_back(interface);
    return {};
}

Outcome<void>
CaptureReader::read_interface_options(ByteView options, Interface& interface, std::uint64_t at) {
    constexpr std::uint16_t end_of_options = 0;
    constexpr std::uint16_t time_resolution = 9;
    constexpr std::uint16_t time_offset = 14;
    while (options.size() >= 4) {
        const std::uint16_t code = u16(options, 0);
        const std::uint16_t length = u16(options, 2);
        if (code == end_of_options) {
            return {};
        }
        if (padded(length) > options.size() - 4) {
            return wrong(at, std::format("interface option {} is longer than its block", code));
        }
        const ByteView value = options.subspan(4, length);
        if (code == time_resolution && length == 1) {
            const unsigned exponent = value[0] & 0x7fU;
            const bool binary = (value[0] & 0x80U) != 0;
            if (exponent > (binary ? 63 : 19)) {
                return wrong(at, std::format("interface time resolution 0x{:02x}", value[0]));
            }
            interface.units_per_second = 1;
            for (unsigned i = 0; i < exponent; ++i) {
                interface.units_per_second *= binary ? 2 : 10;
            }
        } else if (code == time_offset && length == 8) {
            const std::uint64_t first = u32(value, 0);
            const std::uint64_t second = u32(value, 4);
            interface.offset_seconds = static_cast<std::int64_t>(
                big_endian_ ? first << 32U | second : second << 32U | first
            );
        }
        options = options.subspan(4 + padded(length));
    }
    return {};
}

Outcome<std::optional<Frame>> CaptureReader::read_packet_block(const Block& block) {
    constexpr std::size_t header_bytes = 20;
    if (block.body.size() < header_bytes) {
        return wrong(block.offset, "packet block shorter than 32 bytes");
    }
    const bool obsolete = block.type == obsolete_packet_block;
    const std::size_t interface = obsolete ? u16(block.body, 0) : u32(block.body, 0);
    const std::uint64_t ticks =
        static_cast<std::uint64_t>(u32(block.body, 4)) << 32U | u32(block.body, 8);
    return packet_of(
        block,
        interface,
        ticks,
        u32(block.body, 12),
        u32(block.body, 16),
        block.body.subspan(header_bytes)
    );
}

Outcome<std::optional<Frame>> CaptureReader::read_simple_packet(const Block& block) {
    if (block.body.size() < 4) {
        return wrong(block.offset, "simple packet block shorter than 16 bytes");
    }
    const std::uint32_t wire_bytes = u32(block.body, 0);
    std::uint32_t captured = wire_bytes;
    if (!interfaces_.empty() && interfaces_[0].snapshot_bytes != 0) {
        captured = std::min(captured, interfaces_[0].snapshot_bytes);
    }
    // A simple packet has no time: it gets the epoch, which the report shows as such.
    return packet_of(block, 0, 0, captured, wire_bytes, block.body.subspan(4));
}

Outcome<Frame> CaptureReader::packet_of(
    const Block& block,
    std::size_t interface,
    std::uint64_t ticks,
    std::uint64_t captured,
    std::uint32_t wire_bytes,
    ByteView data
) {
    if (interface >= interfaces_.size()) {
        return wrong(
            block.offset,
            std::
                format("packet {} of interface {}, which is not described", packets_ + 1, interface)
        );
    }
    if (captured > data.size() || captured > limits::captured_packet_bytes_max) {
        return wrong(
            block.offset,
            std::format(
                "packet {} has {} captured bytes, its block {}", packets_ + 1, captured, data.size()
            )
        );
    }
    const Interface& from = interfaces_[interface];
    if (!is_known(from.link_type)) {
        return wrong(
            block.offset,
            std::format(
                "packet {} has link type {}, which is not read",
                packets_ + 1,
                std::to_underlying(from.link_type)
            )
        );
    }
    ++packets_;
    const auto size = static_cast<std::uint32_t>(captured);
    return Frame{
        .time_ns = nanoseconds(ticks, from.units_per_second) +
                   static_cast<std::uint64_t>(from.offset_seconds) * 1'000'000'000U,
        .link_type = from.link_type,
        .wire_bytes = std::max(wire_bytes, size),
        .bytes = data.first(size),
    };
}

} // namespace zsync::packet::analysis
