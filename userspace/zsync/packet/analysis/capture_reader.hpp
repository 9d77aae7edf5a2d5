// CaptureReader: packets out of pcap and pcapng files.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/cursor.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet::analysis {

/// What a frame starts with, as LINKTYPE_ values number it (draft-ietf-opsawg-pcaplinktype).
enum class LinkType : std::uint16_t {
    null = 0, ///< BSD loopback, family in the writer's byte order
    ethernet = 1,
    raw_bsd = 12, ///< raw IP, as some BSDs number it
    raw_openbsd = 14,
    raw = 101,  ///< raw IP, version by the first nibble
    loop = 108, ///< OpenBSD loopback, family in network byte order
    linux_sll = 113,
    ipv4 = 228,
    ipv6 = 229,
    linux_sll2 = 276,
};

/// True for the link types that frames are read of.
[[nodiscard]] bool is_known(LinkType type) noexcept;

/// One captured frame. The bytes are the reader's and last until its next call.
struct Frame {
    std::uint64_t time_ns = 0; ///< since 1970
    LinkType link_type = LinkType::ethernet;
    std::uint32_t wire_bytes = 0; ///< as long as it was, of which `bytes` may be the start
    ByteView bytes{};
    /// What was added to the time of a clock that nobody sets; 0 where `time_ns` is all there is.
    std::uint64_t epoch_ns = 0;
};

/// Reads a capture from its current offset to its end, a packet at a time, from a file or a pipe.
/// Memory is one block, whatever the file says its lengths are.
///
/// pcap of both byte orders, with stamps in micro- or nanoseconds; pcapng of both byte orders with
/// any sections, interfaces and resolutions, packets as enhanced, simple or (obsolete) packet
/// blocks. Faults name the offset in the file.
/// Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
class CaptureReader {
public:
    /// Reads the file's header. The descriptor is borrowed and must be in blocking mode.
    static Outcome<CaptureReader> open(int fd);

    /// The next packet; nothing at the end of the file. Blocks where the file does.
    Outcome<std::optional<Frame>> next();

    /// `pcap` or `pcapng`.
    [[nodiscard]] std::string_view format() const noexcept {
        return is_pcapng_ ? "pcapng" : "pcap";
    }
    /// Bytes read so far, for progress.
    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
    [[nodiscard]] std::uint64_t packets() const noexcept { return packets_; }

private:
    struct Interface {
        LinkType link_type = LinkType::ethernet;
        std::uint32_t snapshot_bytes = 0; ///< 0: no limit
        std::uint64_t units_per_second = 1'000'000;
        std::int64_t offset_seconds = 0;
    };
    struct Block {
        std::uint32_t type = 0;
        std::uint64_t offset = 0;
        ByteView body{};
    };

    explicit CaptureReader(int fd) : fd_(fd) {}

    Outcome<void> read_header();
    Outcome<void> read_pcap_header(std::uint32_t magic);
    Outcome<std::optional<Frame>> next_pcap();
    Outcome<std::optional<Frame>> next_pcapng();
    Outcome<std::optional<Block>> next_block();
    Outcome<void> read_section(std::uint64_t offset);
    Outcome<void> read_interface(const Block& block);
    Outcome<void> read_interface_options(ByteView options, Interface& interface, std::uint64_t at);
    Outcome<std::optional<Frame>> read_packet_block(const Block& block);
    Outcome<std::optional<Frame>> read_simple_packet(const Block& block);
    Outcome<Frame> packet_of(
        const Block& block,
        std::size_t interface,
        std::uint64_t ticks,
        std::uint64_t captured,
        std::uint32_t wire_bytes,
        ByteView data
    );

    /// The next `count` bytes, or fewer at the end of the file. They last until the next call.
    Outcome<ByteView> peek(std::size_t count);
    Outcome<ByteView> take(std::size_t count, std::string_view what);
    Outcome<void> skip(std::uint64_t count, std::string_view what);
    void consume(std::size_t count) noexcept;

    [[nodiscard]] std::uint16_t u16(ByteView bytes, std::size_t at) const noexcept;
    [[nodiscard]] std::uint32_t u32(ByteView bytes, std::size_t at) const noexcept;
    [[nodiscard]] static std::unexpected<Fault> wrong(std::uint64_t offset, std::string_view words);
    [[nodiscard]] std::unexpected<Fault>
    cut_short(std::string_view what, std::uint64_t wanted, std::uint64_t there) const;

    int fd_;
    std::vector<std::uint8_t> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool at_end_ = false;
    std::uint64_t offset_ = 0; ///< in the file, of what comes next
    std::uint64_t packets_ = 0;
    bool is_pcapng_ = false;
    bool big_endian_ = false;
    bool nanoseconds_ = false;
    LinkType link_type_ = LinkType::ethernet;
    std::vector<Interface> interfaces_;
};

} // namespace zsync::packet::analysis
