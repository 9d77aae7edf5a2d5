// FlowTable: the flows that are going on, in bounded memory also while somebody floods.
#pragma once

#include <zsync/packet/analysis/flow.hpp>
#include <zsync/packet/analysis/flow_options.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace zsync::packet::analysis {

/// Why a flow left the table.
enum class FlowEnd : std::uint8_t {
    timed_out,
    replaced, ///< a closed TCP connection whose ports are used again
    evicted,  ///< for another one, the table being full
    finished, ///< the analysis ended
};

[[nodiscard]] std::string_view name_of(FlowEnd end) noexcept;

/// Told of each flow as it leaves; the flow may be moved from.
class FlowObserver {
public:
    virtual void flow_ended(Flow& flow, FlowEnd end) = 0;

protected:
    ~FlowObserver() = default;
};

/// Keys, states and time-outs of flows.
///
/// A stranger who floods makes flows that nobody answers. These may fill `unanswered_max` of the
/// table and push out only each other, oldest first, half-open TCP before all; so an established
/// connection is never given up for them. A table full of answered flows gives up closed ones, then
/// the oldest without a connection (UDP answers forged sources too); when only established TCP is
/// left, a new flow is refused and counted. From three quarters of `unanswered_max` until below a
/// half the table is in flood mode: half-open flows are kept for a second only.
///
/// What is one flow is Suricata's notion: addresses and ports in either direction, protocol and
/// VLANs; ICMP by its type, a request with its reply; an IPv4 error belongs to the flow it is
/// about.
class FlowTable {
public:
    struct Counts {
        std::uint64_t created = 0;
        std::uint64_t timed_out = 0;
        std::uint64_t evicted = 0;
        std::uint64_t refused = 0;
        std::uint64_t floods = 0; ///< times that flood mode began
    };
    struct Touched {
        Flow* flow = nullptr; ///< null: refused, or a fragment whose first was not seen
        bool is_new = false;
        bool to_responder = true;
        /// This packet made it one that is answered; with TCP: ended its handshake.
        bool became_answered = false;
        /// This packet ended the connection.
        bool became_closed = false;
    };

    /// `seed` is the hash's; random where strangers choose the keys.
    FlowTable(const FlowOptions& options, FlowObserver& observer, std::uint64_t seed = 0);

    /// Takes other limits and times. What is over a limit by then stays until its time is over.
    void configure(const FlowOptions& options) noexcept { options_ = options; }

    /// How long a flow is kept without a packet.
    [[nodiscard]] static std::chrono::nanoseconds kept_for(
        const FlowOptions& options, FlowState state, std::uint8_t protocol, bool in_flood
    ) noexcept {
        return timeout_of(options, class_of(state, protocol), in_flood);
    }

    /// Counts an IP packet into its flow, which is made if there is none, after ending those whose
    /// time is over. The reference is good until the next call.
    Touched add(const Packet& packet);
    /// Ends flows whose time is over.
    void expire(std::uint64_t now_ns);
    /// Ends all flows.
    void finish();

    [[nodiscard]] const Counts& counts() const noexcept { return counts_; }
    /// The flow that packets with this tuple, and of ICMP this type, are counted into; or null.
    [[nodiscard]] const Flow* find_flow(const Tuple& tuple, std::uint8_t icmp_type) const;
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t unanswered() const noexcept { return unanswered_; }
    [[nodiscard]] bool in_flood() const noexcept { return in_flood_; }
    /// Calls `visit(const Flow&)` for each flow, in no order.
    template <class Visit> void for_each(Visit visit) const {
        for (const Slot& slot : slots_) {
            if (slot.flow.id != 0) {
                visit(slot.flow);
            }
        }
    }

private:
    using Index = std::uint32_t;
    static constexpr Index none = static_cast<Index>(-1);

    /// Flows of one time-out, ordered by their last packet.
    enum class Class : std::uint8_t {
        half_open,
        tcp_midstream,
        unanswered,
        tcp_closed,
        icmp,
        udp,
        other,
        tcp,
        count,
    };
    struct Slot {
        Flow flow;
        Tuple key{};
        std::uint64_t touched_ns = 0; ///< by the clock that it ages by
        Class flow_class = Class::unanswered;
        Index bucket_next = none;
        Index older = none;
        Index newer = none;
    };
    struct Queue {
        Index oldest = none;
        Index newest = none;
    };
    struct Key {
        Tuple tuple; ///< the lower endpoint first
        bool swapped = false;
    };
    /// What is remembered of a first fragment.
    struct FragmentPorts {
        Tuple tuple{}; ///< without ports
        std::uint32_t id = 0;
        std::uint16_t source_port = 0;
        std::uint16_t destination_port = 0;
    };

    static Key key_of(const Packet& packet, const Tuple& tuple);
    static Class class_of(FlowState state, std::uint8_t protocol) noexcept;
    static Class class_of(const Flow& flow) noexcept {
        return class_of(flow.state, flow.tuple.protocol);
    }
    static bool is_unanswered(Class flow_class) noexcept;

    [[nodiscard]] std::size_t bucket_of(const Tuple& key) const noexcept;
    [[nodiscard]] Index find(const Tuple& key) const noexcept;
    static std::chrono::nanoseconds
    timeout_of(const FlowOptions& options, Class flow_class, bool in_flood) noexcept;
    bool find_ports(const Packet& packet, Tuple& tuple);
    Touched add_error(const Packet& packet, Tuple about);
    Touched count(Index index, const Packet& packet, bool is_new, bool to_responder);
    Index make(const Packet& packet, const Tuple& tuple, const Tuple& key);
    bool make_room();
    void end(Index index, FlowEnd why);
    void enqueue(Index index, Class flow_class);
    void dequeue(Index index);
    void follow_flood() noexcept;
    void follow_clock(std::uint64_t time_ns) noexcept;
    void end_older();
    [[nodiscard]] Queue& queue(Class flow_class) noexcept {
        return queues_[static_cast<std::size_t>(flow_class)];
    }

    FlowOptions options_;
    std::uint64_t seed_;
    FlowObserver& observer_;
    std::deque<Slot> slots_; ///< grows as needed; slots stay where they are
    std::vector<Index> buckets_;
    std::array<Queue, static_cast<std::size_t>(Class::count)> queues_{};
    std::vector<Index> free_;
    std::array<FragmentPorts, limits::fragments_max> fragments_{};
    std::size_t size_ = 0;
    std::size_t unanswered_ = 0;
    std::uint64_t last_id_ = 0;
    std::uint64_t newest_ns_ = 0; ///< of the packets since the clock was set back
    std::uint64_t step_ns_ = 0;   ///< how far it has been set back in all
    std::uint64_t now_ns_ = 0;    ///< by the clock that flows age by, which only goes on
    bool in_flood_ = false;
    Counts counts_;
};

} // namespace zsync::packet::analysis
