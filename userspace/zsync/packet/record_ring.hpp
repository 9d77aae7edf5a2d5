// RecordRing: copies of packets that a BPF program leaves in a ring buffer.
#pragma once

#include <zsync/core/result.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace zsync::packet {

/// Reads a BPF_MAP_TYPE_RINGBUF whose records are of one type, which has `time_ns` by the monotonic
/// clock, `captured_bytes`, and so many bytes behind it. Calls do not block. Needs CAP_BPF.
class RecordRing {
public:
    /// `ring`: the map; the descriptor is not kept.
    static Result<RecordRing> open(int ring);
    RecordRing(RecordRing&&) noexcept;
    RecordRing& operator=(RecordRing&&) noexcept;
    ~RecordRing();

    /// Readable while there are records to take.
    [[nodiscard]] int ready_fd() const noexcept;

    /// Calls `visit(record, epoch_ns)`, with what makes its time one since 1970, for at most
    /// `records_max` records, the oldest first; how many there were. EBADMSG: one is shorter than
    /// it says.
    template <class Record, class Visit>
    Result<std::size_t> take(std::size_t records_max, const Visit& visit) {
        return take_any(
            records_max,
            [&](const void* data, std::size_t bytes, std::uint64_t offset_ns) {
                const auto& record = *static_cast<const Record*>(data);
                if (bytes < sizeof record || record.captured_bytes > bytes - sizeof record) {
                    return -EBADMSG;
                }
                visit(record, offset_ns);
                return 0;
            }
        );
    }

private:
    /// A record, its bytes, and what lies between its clock and the time since 1970.
    using VisitAny = std::function<int(const void*, std::size_t, std::uint64_t)>;
    struct State;
    explicit RecordRing(std::unique_ptr<State> state) noexcept;
    Result<std::size_t> take_any(std::size_t records_max, const VisitAny& visit);

    std::unique_ptr<State> state_;
};

} // namespace zsync::packet
