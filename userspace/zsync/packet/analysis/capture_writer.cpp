#include <zsync/packet/analysis/capture_writer.hpp>

#include <algorithm>
#include <cstring>

namespace zsync::packet::analysis {
namespace {

enum Block : std::uint32_t {
    section_header = 0x0a0d0d0a,
    interface_description = 1,
    interface_statistics = 5,
    enhanced_packet = 6,
};

enum Option : std::uint16_t {
    end_of_options = 0,
    isb_endtime = 3,
    isb_ifrecv = 4,
    isb_ifdrop = 5,
    shb_userappl = 4,
    if_name = 2,
    if_tsresol = 9,
    if_filter = 11,
    opt_comment = 1,
    epb_verdict = 7,
};

constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::uint16_t version_major = 1;
constexpr std::uint8_t nanoseconds = 9; // 10^-9
constexpr std::size_t option_bytes_max = 65'532;
/// if_filter begins with a code; 0 is a string of any tool.
constexpr char filter_is_text = 0;

template <class T> void put(std::string& out, T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
}

void pad(std::string& out, std::size_t length) { out.append((4 - length % 4) % 4, '\0'); }

void put_option(std::string& out, Option option, std::string_view value) {
    value = value.substr(0, option_bytes_max);
    put<std::uint16_t>(out, option);
    put(out, static_cast<std::uint16_t>(value.size()));
    out += value;
    pad(out, value.size());
}

template <class T> void put_number(std::string& out, Option option, T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    put_option(out, option, {bytes, sizeof value});
}

void put_time(std::string& out, std::uint64_t time_ns) {
    put(out, static_cast<std::uint32_t>(time_ns >> 32));
    put(out, static_cast<std::uint32_t>(time_ns));
}

/// A block whose length stands at both of its ends.
class OpenBlock {
public:
    OpenBlock(std::string& out, Block type) : out_(out), start_(out.size()) {
        put<std::uint32_t>(out, type);
        put<std::uint32_t>(out, 0);
    }
    OpenBlock(const OpenBlock&) = delete;
    OpenBlock& operator=(const OpenBlock&) = delete;
    ~OpenBlock() {
        const auto length =
            static_cast<std::uint32_t>(out_.size() - start_ + sizeof(std::uint32_t));
        put(out_, length);
        std::memcpy(out_.data() + start_ + sizeof(std::uint32_t), &length, sizeof length);
    }

private:
    std::string& out_;
    std::size_t start_;
};

} // namespace

void CaptureWriter::begin(std::string& out, const Description& description) {
    {
        const OpenBlock block(out, section_header);
        put(out, byte_order_magic);
        put(out, version_major);
        put<std::uint16_t>(out, 0);     // minor
        put<std::uint64_t>(out, ~0ULL); // a section of unknown length
        put_option(out, shb_userappl, description.application);
        put_option(out, end_of_options, {});
    }
    const OpenBlock block(out, interface_description);
    put(out, static_cast<std::uint16_t>(description.link_type));
    put<std::uint16_t>(out, 0);
    put(out, description.snapshot_bytes);
    put_option(out, if_name, description.interface_name);
    put_number(out, if_tsresol, nanoseconds);
    if (!description.filter.empty()) {
        put_option(out, if_filter, filter_is_text + std::string(description.filter));
    }
    put_option(out, end_of_options, {});
}

void CaptureWriter::add(std::string& out, const Frame& frame, const PacketNote& note) {
    const OpenBlock block(out, enhanced_packet);
    put<std::uint32_t>(out, 0); // the interface
    put_time(out, frame.time_ns);
    put(out, static_cast<std::uint32_t>(frame.bytes.size()));
    put(out, frame.wire_bytes);
    out.append(reinterpret_cast<const char*>(frame.bytes.data()), frame.bytes.size());
    pad(out, frame.bytes.size());
    const bool is_judged = note.judge != PacketNote::Judge::none;
    if (is_judged) {
        std::string verdict(1, static_cast<char>(note.judge));
        put(verdict, note.verdict);
        put_option(out, epb_verdict, verdict);
    }
    if (!note.comment.empty()) {
        put_option(out, opt_comment, note.comment);
    }
    if (is_judged || !note.comment.empty()) {
        put_option(out, end_of_options, {});
    }
}

void CaptureWriter::end(std::string& out, const CaptureEnd& end) {
    const OpenBlock block(out, interface_statistics);
    put<std::uint32_t>(out, 0);
    put_time(out, end.time_ns);
    // Halves of a time in this order, whatever the byte order is.
    std::string time;
    put_time(time, end.time_ns);
    put_option(out, isb_endtime, time);
    put_number(out, isb_ifrecv, end.received);
    put_number(out, isb_ifdrop, end.dropped);
    put_option(out, end_of_options, {});
}

} // namespace zsync::packet::analysis
