// CaptureWriter: packets into a pcapng file.
#pragma once

#include <zsync/packet/analysis/capture_reader.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace zsync::packet::analysis {

/// What is known of a capture at its end.
struct CaptureEnd {
    std::uint64_t time_ns = 0;  ///< since 1970
    std::uint64_t received = 0; ///< packets that were to be captured
    std::uint64_t dropped = 0;  ///< of these, not in the file
};

/// What is known of a packet beside its bytes.
struct PacketNote {
    /// Whose verdict it is, by the codes of the format.
    enum class Judge : std::uint8_t { tc = 1, xdp = 2, none = 0xff };

    std::string_view comment; ///< for people; may be empty
    Judge judge = Judge::none;
    std::uint64_t verdict = 0; ///< `TC_ACT_...` or `XDP_...`
};

/// Makes the blocks of a pcapng section with one interface, in this machine's byte order: a section
/// header and an interface description with nanoseconds, an enhanced packet block a packet with its
/// length on the wire, and at the end interface statistics with what was dropped. Each call appends
/// whole blocks to a text, so what has been written at any time is a file that can be read.
/// Source: draft-ietf-opsawg-pcapng.
class CaptureWriter {
public:
    struct Description {
        LinkType link_type = LinkType::ethernet;
        std::uint32_t snapshot_bytes = 0; ///< no packet has more in the file; 0: no limit
        std::string_view interface_name;
        std::string_view filter;      ///< in the words of whoever asked; may be empty
        std::string_view application; ///< that writes it
    };

    static void begin(std::string& out, const Description& description);
    /// The frame's link type is the interface's.
    static void add(std::string& out, const Frame& frame, const PacketNote& note = {});
    static void end(std::string& out, const CaptureEnd& end);
};

} // namespace zsync::packet::analysis
