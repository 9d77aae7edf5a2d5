#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/meta.hpp>

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>

namespace zsync::packet {
namespace {

constexpr std::uint32_t magic = 0x436e797a; // "zynC"

class Writer {
public:
    template <class T> void number(T value) {
        const auto at = bytes_.size();
        bytes_.resize(at + sizeof(T));
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
    }
    void text(std::string_view value) {
        number(static_cast<std::uint32_t>(value.size()));
        bytes_.insert(bytes_.end(), value.begin(), value.end());
    }
    std::vector<std::uint8_t> take() && { return std::move(bytes_); }

private:
    std::vector<std::uint8_t> bytes_;
};

/// Reads beyond the end give zeros and spoil the reader for good.
class Reader {
public:
    explicit Reader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    template <class T> T number() {
        T value{};
        if (const auto bytes = take(sizeof(T)); !bytes.empty()) {
            std::memcpy(&value, bytes.data(), sizeof(T));
        }
        return value;
    }
    std::string text() {
        const auto bytes = take(number<std::uint32_t>());
        return {bytes.begin(), bytes.end()};
    }
    [[nodiscard]] bool spoiled() const { return spoiled_; }
    [[nodiscard]] std::size_t left() const { return rest_.size(); }

private:
    std::span<const std::uint8_t> take(std::size_t count) {
        if (spoiled_ || count > rest_.size()) {
            spoiled_ = true;
            return {};
        }
        const auto bytes = rest_.first(count);
        rest_ = rest_.subspan(count);
        return bytes;
    }

    std::span<const std::uint8_t> rest_;
    bool spoiled_ = false;
};

/// What is in a shape's place where there is none; no rate is 0.
const LiveShape no_shape{.shape = {.rate = 0, .horizon_ms = 0, .classes = {}}, .slots = {}};

void write_shape(Writer& writer, const LiveShape& live) {
    writer.number(live.shape.rate);
    writer.number(live.shape.horizon_ms);
    writer.number(static_cast<std::uint32_t>(live.shape.classes.size()));
    for (std::size_t i = 0; i < live.shape.classes.size(); ++i) {
        const ShapeClass& one = live.shape.classes[i];
        writer.number(live.slots[i]);
        writer.number(one.guarantee);
        writer.number(one.max);
        writer.text(one.name);
    }
}

LiveShape read_shape(Reader& reader) {
    LiveShape live;
    live.shape.rate = reader.number<std::uint64_t>();
    live.shape.horizon_ms = reader.number<std::uint32_t>();
    const auto classes = reader.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < classes && !reader.spoiled(); ++i) {
        live.slots.push_back(reader.number<std::uint32_t>());
        ShapeClass& one = live.shape.classes.emplace_back();
        one.guarantee = reader.number<std::uint64_t>();
        one.max = reader.number<std::uint64_t>();
        one.name = reader.text();
    }
    return live;
}

std::unexpected<Fault> damaged(std::string_view why) {
    return fail(
        PacketError::damaged_pins,
        std::format("the pinned filter's own record cannot be read: {}", why)
    );
}

} // namespace

std::vector<std::uint8_t> encode_meta(const Meta& meta) {
    Writer writer;
    writer.number(magic);
    writer.number(meta.layout_version);
    writer.number(meta.code_hash);
    writer.number(meta.program_id);
    writer.number(meta.ifindex);
    writer.text(meta.ifname);
    writer.number(meta.mode);
    writer.number(meta.default_verdict);
    writer.number(meta.malformed_verdict);
    writer.number(meta.default_slot);
    writer.number(meta.prefixes);
    writer.number(meta.loaded_realtime_usec);
    writer.number(static_cast<std::uint32_t>(meta.rules.size()));
    for (const LiveRule& rule : meta.rules) {
        writer.number(rule.slot);
        writer.number(rule.verdict);
        writer.text(rule.text);
        writer.text(rule.name);
    }
    if (meta.shape || meta.starts_at_network) {
        write_shape(writer, meta.shape.value_or(no_shape));
    }
    if (meta.starts_at_network) {
        writer.number(std::uint8_t{*meta.starts_at_network});
    }
    return std::move(writer).take();
}

Outcome<Meta> decode_meta(std::span<const std::uint8_t> bytes) {
    Reader reader(bytes);
    Meta meta;
    if (reader.number<std::uint32_t>() != magic) {
        return damaged("it does not begin with the right number");
    }
    meta.layout_version = reader.number<std::uint32_t>();
    meta.code_hash = reader.number<std::uint64_t>();
    meta.program_id = reader.number<std::uint32_t>();
    meta.ifindex = reader.number<std::uint32_t>();
    meta.ifname = reader.text();
    meta.mode = reader.number<XdpMode>();
    meta.default_verdict = reader.number<Verdict>();
    meta.malformed_verdict = reader.number<Verdict>();
    meta.default_slot = reader.number<std::uint32_t>();
    meta.prefixes = reader.number<std::uint64_t>();
    meta.loaded_realtime_usec = reader.number<std::uint64_t>();
    const auto rules = reader.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < rules && !reader.spoiled(); ++i) {
        LiveRule rule;
        rule.slot = reader.number<std::uint32_t>();
        rule.verdict = reader.number<Verdict>();
        rule.text = reader.text();
        rule.name = reader.text();
        meta.rules.push_back(std::move(rule));
    }
    // Records of versions that did not shape end here.
    if (reader.left() != 0) {
        meta.shape = read_shape(reader);
        if (meta.shape->shape.rate == 0) {
            meta.shape.reset();
        }
    }
    // And those that left it to the device what its packets begin with.
    if (reader.left() != 0) {
        meta.starts_at_network = reader.number<std::uint8_t>() != 0;
    }
    if (reader.spoiled()) {
        return damaged("it ends too early");
    }
    if (meta.mode > XdpMode::offload || meta.default_verdict > Verdict::drop ||
        meta.malformed_verdict > Verdict::drop ||
        std::ranges::any_of(
            meta.rules, [](const LiveRule& rule) { return rule.verdict > Verdict::drop; }
        ) ||
        (meta.shape && std::ranges::any_of(meta.shape->slots, [](std::uint32_t slot) {
             return slot >= limits::shape_slots;
         }))) {
        return damaged("a value is out of range");
    }
    return meta;
}

Outcome<Fd> create_meta_map(const Meta& meta) {
    const std::vector<std::uint8_t> bytes = encode_meta(meta);
    if (bytes.size() > limits::meta_bytes_max) {
        return fail(
            PacketError::rule_set_too_big,
            std::format(
                "the rules' texts take {} bytes; at most {}", bytes.size(), limits::meta_bytes_max
            )
        );
    }
    const auto size = static_cast<std::uint32_t>(bytes.size());
    Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "zsync_meta", sizeof(std::uint32_t), size, 1, nullptr)
    );
    const std::uint32_t key = 0;
    if (!map || bpf_map_update_elem(map.get(), &key, bytes.data(), BPF_ANY) < 0 ||
        bpf_map_freeze(map.get()) < 0) {
        const int error = errno;
        return fail(
            os_error(error),
            std::format("cannot store the rules' record: {}", os_error(error).message())
        );
    }
    return map;
}

Outcome<Meta> read_meta_map(const Fd& map) {
    bpf_map_info info{};
    std::uint32_t info_bytes = sizeof(info);
    if (bpf_map_get_info_by_fd(map.get(), &info, &info_bytes) < 0) {
        return damaged(os_error(errno).message());
    }
    if (info.type != BPF_MAP_TYPE_ARRAY || info.key_size != sizeof(std::uint32_t) ||
        info.value_size > limits::meta_bytes_max) {
        return damaged("it is not a map of the right kind");
    }
    std::vector<std::uint8_t> bytes(info.value_size);
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(map.get(), &key, bytes.data()) < 0) {
        return damaged(os_error(errno).message());
    }
    return decode_meta(bytes);
}

} // namespace zsync::packet
