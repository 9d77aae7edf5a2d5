#include <zsync/core/assert.hpp>
#include <zsync/packet/analysis/content.hpp>
#include <zsync/packet/analysis/flow_table.hpp>

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

namespace zsync::packet::analysis {
namespace {

/// The type under which a request and its reply are one flow.
std::uint16_t icmp_conversation(std::uint8_t protocol, std::uint8_t type) {
    struct Pair {
        std::uint8_t request;
        std::uint8_t reply;
    };
    constexpr std::array pairs_v4{
        Pair{.request = 8, .reply = 0},
        Pair{.request = 10, .reply = 9},
        Pair{.request = 13, .reply = 14},
        Pair{.request = 15, .reply = 16},
        Pair{.request = 17, .reply = 18}
    };
    constexpr std::array pairs_v6{
        Pair{.request = 128, .reply = 129},
        Pair{.request = 133, .reply = 134},
        Pair{.request = 135, .reply = 136},
        Pair{.request = 139, .reply = 140},
        Pair{.request = 144, .reply = 145},
        Pair{.request = 146, .reply = 147}
    };
    const std::span<const Pair> pairs = protocol == ip_protocol::icmp
                                            ? std::span<const Pair>(pairs_v4)
                                            : std::span<const Pair>(pairs_v6);
    const auto found = std::ranges::find(pairs, type, &Pair::reply);
    return found == pairs.end() ? type : found->request;
}

bool is_icmp(std::uint8_t protocol) {
    return protocol == ip_protocol::icmp || protocol == ip_protocol::icmpv6;
}

bool opens(const Packet& packet) {
    return (packet.tcp_flags & (tcp_flag::syn | tcp_flag::ack)) == tcp_flag::syn;
}

FlowState next_tcp_state(const Flow& flow, const Packet& packet, bool to_responder, bool is_new) {
    const std::uint8_t flags = packet.tcp_flags;
    const FlowState state = flow.state;
    if ((flags & tcp_flag::rst) != 0) {
        return FlowState::reset;
    }
    if (state == FlowState::closed || state == FlowState::reset) {
        return state;
    }
    if ((flags & tcp_flag::fin) != 0) {
        const FlowDirection& other = to_responder ? flow.to_initiator : flow.to_responder;
        return (other.tcp_flags & tcp_flag::fin) != 0 ? FlowState::closed : FlowState::closing;
    }
    if (is_new) {
        return opens(packet) ? FlowState::syn_sent : FlowState::midstream;
    }
    const bool is_syn = (flags & tcp_flag::syn) != 0;
    switch (state) {
    case FlowState::syn_sent:
        if (to_responder) {
            return is_syn ? state : FlowState::midstream; // the answer took another way
        }
        return is_syn ? FlowState::syn_received : FlowState::established;
    case FlowState::syn_received:
        return to_responder && !is_syn ? FlowState::established : state;
    case FlowState::midstream:
        return to_responder ? state : FlowState::established;
    default:
        return state;
    }
}

} // namespace

std::string_view name_of(FlowState state) noexcept {
    switch (state) {
    case FlowState::unanswered:
        return "unanswered";
    case FlowState::answered:
        return "answered";
    case FlowState::syn_sent:
        return "syn_sent";
    case FlowState::syn_received:
        return "syn_received";
    case FlowState::midstream:
        return "midstream";
    case FlowState::established:
        return "established";
    case FlowState::closing:
        return "closing";
    case FlowState::closed:
        return "closed";
    case FlowState::reset:
        return "reset";
    }
    std::unreachable();
}

std::string_view name_of(FlowEnd end) noexcept {
    switch (end) {
    case FlowEnd::timed_out:
        return "timed_out";
    case FlowEnd::replaced:
        return "replaced";
    case FlowEnd::evicted:
        return "evicted";
    case FlowEnd::finished:
        return "finished";
    }
    std::unreachable();
}

FlowTable::FlowTable(const FlowOptions& options, FlowObserver& observer, std::uint64_t seed)
    : options_(options), seed_(seed), observer_(observer),
      buckets_(std::bit_ceil(std::max<std::size_t>(options.flows_max, 2)), none) {
    ZASSERT(options.flows_max > 0 && options.unanswered_max > 0, "a table holds something");
}

FlowTable::Key FlowTable::key_of(const Packet& packet, const Tuple& tuple) {
    Key key{.tuple = tuple};
    if (is_icmp(tuple.protocol)) {
        key.tuple.source_port = icmp_conversation(tuple.protocol, packet.icmp_type);
        key.tuple.destination_port = key.tuple.source_port;
    }
    key.swapped = std::tie(key.tuple.destination, key.tuple.destination_port) <
                  std::tie(key.tuple.source, key.tuple.source_port);
    if (key.swapped) {
        std::swap(key.tuple.source, key.tuple.destination);
        std::swap(key.tuple.source_port, key.tuple.destination_port);
    }
    return key;
}

FlowTable::Class FlowTable::class_of(FlowState state, std::uint8_t protocol) noexcept {
    switch (state) {
    case FlowState::syn_sent:
    case FlowState::syn_received:
        return Class::half_open;
    case FlowState::midstream:
        return Class::tcp_midstream;
    case FlowState::unanswered:
        return Class::unanswered;
    case FlowState::established:
    case FlowState::closing:
        return Class::tcp;
    case FlowState::closed:
    case FlowState::reset:
        return Class::tcp_closed;
    case FlowState::answered:
        break;
    }
    if (is_icmp(protocol)) {
        return Class::icmp;
    }
    return protocol == ip_protocol::udp ? Class::udp : Class::other;
}

bool FlowTable::is_unanswered(Class flow_class) noexcept {
    return flow_class == Class::half_open || flow_class == Class::tcp_midstream ||
           flow_class == Class::unanswered;
}

std::chrono::nanoseconds
FlowTable::timeout_of(const FlowOptions& options, Class flow_class, bool in_flood) noexcept {
    const auto seconds = [&] {
        switch (flow_class) {
        case Class::half_open:
            return in_flood ? options.half_open_in_flood_seconds : options.half_open_seconds;
        case Class::tcp_midstream:
            return options.tcp_midstream_seconds;
        case Class::unanswered:
            return options.unanswered_seconds;
        case Class::tcp_closed:
            return options.tcp_closed_seconds;
        case Class::icmp:
            return options.icmp_seconds;
        case Class::udp:
            return options.udp_seconds;
        case Class::other:
            return options.other_seconds;
        case Class::tcp:
        case Class::count:
            break;
        }
        return options.tcp_seconds;
    };
    return std::chrono::seconds(seconds());
}

std::size_t FlowTable::bucket_of(const Tuple& key) const noexcept {
    Hasher hasher(seed_);
    hasher.add(key.source);
    hasher.add(key.destination);
    hasher.add(
        static_cast<std::uint64_t>(key.source_port) << 48U |
        static_cast<std::uint64_t>(key.destination_port) << 32U |
        static_cast<std::uint64_t>(key.protocol) << 24U |
        static_cast<std::uint64_t>(key.vlans[0]) << 12U | key.vlans[1]
    );
    return hasher.value() & (buckets_.size() - 1);
}

FlowTable::Index FlowTable::find(const Tuple& key) const noexcept {
    Index index = buckets_[bucket_of(key)];
    while (index != none && slots_[index].key != key) {
        index = slots_[index].bucket_next;
    }
    return index;
}

const Flow* FlowTable::find_flow(const Tuple& tuple, std::uint8_t icmp_type) const {
    Packet packet;
    packet.icmp_type = icmp_type;
    const Index index = find(key_of(packet, tuple).tuple);
    return index == none ? nullptr : &slots_[index].flow;
}

/// Gives a later fragment the ports of its first one, and remembers those of a first one.
bool FlowTable::find_ports(const Packet& packet, Tuple& tuple) {
    Tuple bare = tuple;
    bare.source_port = bare.destination_port = 0;
    Hasher hasher(seed_);
    hasher.add(bare.source);
    hasher.add(bare.destination);
    hasher.add(packet.fragment_id);
    FragmentPorts& place = fragments_[hasher.value() % fragments_.size()];
    if (!packet.is_later_fragment) {
        place = {
            .tuple = bare,
            .id = packet.fragment_id,
            .source_port = tuple.source_port,
            .destination_port = tuple.destination_port
        };
        return true;
    }
    if (place.tuple != bare || place.id != packet.fragment_id) {
        return false;
    }
    tuple.source_port = place.source_port;
    tuple.destination_port = place.destination_port;
    return true;
}

FlowTable::Touched FlowTable::add(const Packet& packet) {
    follow_clock(packet.time_ns);
    end_older();
    if (packet.about && packet.tuple.protocol == ip_protocol::icmp) {
        if (const Touched touched = add_error(packet, *packet.about); touched.flow != nullptr) {
            return touched;
        }
    }
    Tuple tuple = packet.tuple;
    const bool has_ports = tuple.protocol == ip_protocol::tcp ||
                           tuple.protocol == ip_protocol::udp ||
                           tuple.protocol == ip_protocol::sctp;
    if (packet.is_fragment && has_ports && !find_ports(packet, tuple)) {
        return {};
    }
    const Key key = key_of(packet, tuple);
    Index index = find(key.tuple);
    if (index != none && opens(packet) && class_of(slots_[index].flow) == Class::tcp_closed) {
        end(index, FlowEnd::replaced);
        index = none;
    }
    if (index != none) {
        const Tuple& initiated = slots_[index].flow.tuple;
        const bool to_responder =
            initiated.source == tuple.source && initiated.source_port == tuple.source_port;
        return count(index, packet, false, to_responder);
    }
    index = make(packet, tuple, key.tuple);
    return index == none ? Touched{} : count(index, packet, true, true);
}

/// Counts an ICMP error into the flow that it is about, if that is there.
FlowTable::Touched FlowTable::add_error(const Packet& packet, Tuple about) {
    about.vlans = packet.tuple.vlans;
    const Index index = find(key_of(packet, about).tuple);
    if (index == none) {
        return {};
    }
    // It travels to the one whose packet it is about.
    Slot& slot = slots_[index];
    const bool to_responder =
        slot.flow.tuple.source != about.source || slot.flow.tuple.source_port != about.source_port;
    (to_responder ? slot.flow.to_responder : slot.flow.to_initiator).add(packet);
    slot.flow.last_ns = std::max(slot.flow.last_ns, packet.time_ns);
    slot.touched_ns = now_ns_;
    const Class flow_class = slot.flow_class;
    dequeue(index);
    enqueue(index, flow_class);
    return {.flow = &slot.flow, .is_new = false, .to_responder = to_responder};
}

FlowTable::Touched
FlowTable::count(Index index, const Packet& packet, bool is_new, bool to_responder) {
    Slot& slot = slots_[index];
    Flow& flow = slot.flow;
    const FlowState before = flow.state;
    if (flow.is_tcp()) {
        if (!packet.is_later_fragment) {
            flow.state = next_tcp_state(flow, packet, to_responder, is_new);
            flow.was_established |= flow.state == FlowState::established;
        }
    } else if (!to_responder) {
        flow.state = FlowState::answered;
    }
    (to_responder ? flow.to_responder : flow.to_initiator).add(packet);
    flow.last_ns = std::max(flow.last_ns, packet.time_ns);
    slot.touched_ns = now_ns_;
    dequeue(index);
    enqueue(index, class_of(flow));
    follow_flood();
    const auto is_closed = [](FlowState state) {
        return state == FlowState::closed || state == FlowState::reset;
    };
    return {
        .flow = &flow,
        .is_new = is_new,
        .to_responder = to_responder,
        .became_answered = flow.state != before && (flow.state == FlowState::answered ||
                                                    flow.state == FlowState::established),
        .became_closed = is_closed(flow.state) && !is_closed(before),
    };
}

FlowTable::Index FlowTable::make(const Packet& packet, const Tuple& tuple, const Tuple& key) {
    if (!make_room()) {
        ++counts_.refused;
        return none;
    }
    Index index = 0;
    if (free_.empty()) {
        index = static_cast<Index>(slots_.size());
        slots_.emplace_back();
    } else {
        index = free_.back();
        free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.flow.tuple = tuple;
    slot.flow.id = ++last_id_;
    slot.flow.first_ns = slot.flow.last_ns = packet.time_ns;
    slot.touched_ns = now_ns_;
    slot.flow.state = slot.flow.is_tcp() ? FlowState::syn_sent : FlowState::unanswered;
    slot.flow.icmp_type = packet.icmp_type;
    slot.flow.icmp_code = packet.icmp_code;
    slot.key = key;
    Index& head = buckets_[bucket_of(key)];
    slot.bucket_next = std::exchange(head, index);
    ++size_;
    ++counts_.created;
    enqueue(index, class_of(slot.flow));
    return index;
}

/// True when there is a place for one more flow, which nobody has answered so far.
bool FlowTable::make_room() {
    if (unanswered_ < options_.unanswered_max && size_ < options_.flows_max) {
        return true;
    }
    const bool only_unanswered = unanswered_ >= options_.unanswered_max;
    constexpr std::array victims{
        Class::half_open,
        Class::unanswered,
        Class::tcp_midstream,
        Class::tcp_closed,
        Class::icmp,
        Class::other,
        Class::udp,
    };
    for (const Class victim : victims) {
        if (only_unanswered && !is_unanswered(victim)) {
            break;
        }
        if (const Index oldest = queue(victim).oldest; oldest != none) {
            ++counts_.evicted;
            end(oldest, FlowEnd::evicted);
            return true;
        }
    }
    return false;
}

void FlowTable::end(Index index, FlowEnd why) {
    Slot& slot = slots_[index];
    dequeue(index);
    Index* link = &buckets_[bucket_of(slot.key)];
    while (*link != index) {
        link = &slots_[*link].bucket_next;
    }
    *link = slot.bucket_next;
    observer_.flow_ended(slot.flow, why);
    slot.flow = Flow{};
    slot.bucket_next = none;
    free_.push_back(index);
    --size_;
}

void FlowTable::enqueue(Index index, Class flow_class) {
    Slot& slot = slots_[index];
    Queue& at = queue(flow_class);
    slot.flow_class = flow_class;
    slot.older = at.newest;
    slot.newer = none;
    (at.newest == none ? at.oldest : slots_[at.newest].newer) = index;
    at.newest = index;
    unanswered_ += is_unanswered(flow_class) ? 1 : 0;
}

void FlowTable::dequeue(Index index) {
    const Slot& slot = slots_[index];
    Queue& at = queue(slot.flow_class);
    (slot.older == none ? at.oldest : slots_[slot.older].newer) = slot.newer;
    (slot.newer == none ? at.newest : slots_[slot.newer].older) = slot.older;
    unanswered_ -= is_unanswered(slot.flow_class) ? 1 : 0;
}

void FlowTable::follow_flood() noexcept {
    if (!in_flood_ && unanswered_ >= std::size_t{options_.unanswered_max} / 4 * 3) {
        in_flood_ = true;
        ++counts_.floods;
    } else if (in_flood_ && unanswered_ < options_.unanswered_max / 2) {
        in_flood_ = false;
    }
}

/// Where a clock is set back flows age on from where they are: those of before would stay for that
/// time, and new ones end at once.
void FlowTable::follow_clock(std::uint64_t time_ns) noexcept {
    if (time_ns + limits::clock_step_ns < newest_ns_) {
        step_ns_ += newest_ns_ - time_ns;
        newest_ns_ = time_ns;
    }
    newest_ns_ = std::max(newest_ns_, time_ns);
    now_ns_ = std::max(now_ns_, newest_ns_ + step_ns_);
}

void FlowTable::expire(std::uint64_t now_ns) {
    follow_clock(now_ns);
    end_older();
}

void FlowTable::end_older() {
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        const auto kept_ns = static_cast<std::uint64_t>(
            timeout_of(options_, static_cast<Class>(i), in_flood_).count()
        );
        while (queues_[i].oldest != none && slots_[queues_[i].oldest].touched_ns + kept_ns < now_ns_
        ) {
            ++counts_.timed_out;
            end(queues_[i].oldest, FlowEnd::timed_out);
        }
    }
    follow_flood();
}

void FlowTable::finish() {
    for (const Queue& at : queues_) {
        while (at.oldest != none) {
            end(at.oldest, FlowEnd::finished);
        }
    }
    follow_flood();
}

} // namespace zsync::packet::analysis
