#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/counters.hpp>
#include <zsync/packet/flow_reader.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/mapped_array.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <format>
#include <ranges>
#include <tuple>
#include <utility>

namespace zsync::packet {
namespace {

using analysis::FlowEnd;
using analysis::FlowState;

constexpr FlowState state_of(zsync_flow_state state) { return static_cast<FlowState>(state - 1); }
static_assert(state_of(ZSYNC_FLOW_UNANSWERED_STATE) == FlowState::unanswered);
static_assert(state_of(ZSYNC_FLOW_ANSWERED) == FlowState::answered);
static_assert(state_of(ZSYNC_FLOW_SYN_SENT) == FlowState::syn_sent);
static_assert(state_of(ZSYNC_FLOW_SYN_RECEIVED) == FlowState::syn_received);
static_assert(state_of(ZSYNC_FLOW_MIDSTREAM) == FlowState::midstream);
static_assert(state_of(ZSYNC_FLOW_ESTABLISHED) == FlowState::established);
static_assert(state_of(ZSYNC_FLOW_CLOSING) == FlowState::closing);
static_assert(state_of(ZSYNC_FLOW_CLOSED) == FlowState::closed);
static_assert(state_of(ZSYNC_FLOW_RESET) == FlowState::reset);

FlowState state_of(const zsync_flow& flow) {
    return state_of(static_cast<zsync_flow_state>(flow.word & ZSYNC_FLOW_STATE_MASK));
}

bool was_answered(const zsync_flow& flow) { return (flow.word & ZSYNC_FLOW_WAS_ANSWERED) != 0; }

analysis::Address address_of(const __u64 (&words)[2], bool is_v6) {
    analysis::Address address;
    address.is_v6 = is_v6;
    for (std::size_t i = 0; i < (is_v6 ? 16U : 4U); ++i) {
        address.bytes[i] = static_cast<std::uint8_t>(words[i / 8] >> (56 - i % 8 * 8));
    }
    return address;
}

/// The address as the table's keys have it: 64 bits a word, the first byte on top.
void put_address(__u64 (&words)[2], const analysis::Address& address) {
    words[0] = words[1] = 0;
    for (std::size_t i = 0; i < (address.is_v6 ? 16U : 4U); ++i) {
        words[i / 8] |= static_cast<__u64>(address.bytes[i]) << (56 - i % 8 * 8);
    }
}

/// What a flow is called, without the bits that say how it is.
std::uint64_t id_of_name(__u64 name) { return name >> 11; }

/// What lies between CLOCK_MONOTONIC and the time since 1970.
std::uint64_t clock_offset_ns() {
    return epoch_time<std::chrono::nanoseconds>() -
           epoch_time<std::chrono::nanoseconds, std::chrono::steady_clock>();
}

CountedFlow counted(const zsync_flow& flow, __u64 name, std::uint64_t offset_ns) {
    const zsync_flow_key& key = flow.key;
    const bool is_v6 = key.network == ZSYNC_NETWORK_IPV6;
    const bool began_high = (flow.word & ZSYNC_FLOW_BEGAN_HIGH) != 0;
    const auto direction = [&flow](bool from_high) {
        const zsync_flow_count& count = flow.from[from_high ? 1 : 0];
        return CountedDirection{
            .packets = count.packets,
            .bytes = count.bytes,
            .dropped = count.dropped,
            .tcp_flags = static_cast<std::uint8_t>(flow.word >> ZSYNC_FLOW_FLAGS_SHIFT(from_high)),
        };
    };
    CountedFlow out{
        .id = id_of_name(name),
        .tuple = {},
        .state = state_of(flow),
        .first_ns = flow.first_ns + offset_ns,
        .last_ns = std::max(flow.last_ns, flow.first_ns) + offset_ns,
        .icmp_type = static_cast<std::uint8_t>(flow.word >> (ZSYNC_FLOW_ICMP_SHIFT + 8)),
        .icmp_code = static_cast<std::uint8_t>(flow.word >> ZSYNC_FLOW_ICMP_SHIFT),
        .to_responder = direction(began_high),
        .to_initiator = direction(!began_high),
    };
    out.tuple = {
        .source = address_of(key.low, is_v6),
        .destination = address_of(key.high, is_v6),
        .source_port = key.low_port,
        .destination_port = key.high_port,
        .protocol = key.protocol,
        .vlans = {key.vlan, key.inner_vlan},
    };
    if (began_high) {
        std::swap(out.tuple.source, out.tuple.destination);
        std::swap(out.tuple.source_port, out.tuple.destination_port);
    }
    const bool is_icmp = key.protocol == analysis::ip_protocol::icmp ||
                         key.protocol == analysis::ip_protocol::icmpv6;
    if (is_icmp) {
        out.tuple.source_port = out.tuple.destination_port = 0;
    }
    return out;
}

} // namespace

struct FlowReader::State {
    State(
        const FlowMaps& maps,
        std::uint32_t of_lines,
        const zsync_flow_seed& hash_seed,
        const analysis::FlowOptions& flow_options
    )
        : line_count(of_lines),
          lines(maps.lines, ZSYNC_FLOW_ALL_LINES(of_lines), MapRights::read_write),
          records(maps.records, std::size_t{of_lines} * ZSYNC_FLOW_WORDS, MapRights::read_write),
          stats(::fcntl(maps.stats.get(), F_DUPFD_CLOEXEC, 0)), seed(hash_seed),
          options(flow_options) {}

    /// Those that have a name.
    [[nodiscard]] auto places() const {
        return std::views::iota(std::uint32_t{0}, line_count * ZSYNC_FLOW_WORDS) |
               std::views::filter([](std::uint32_t place) {
                   return place % ZSYNC_FLOW_WORDS != ZSYNC_FLOW_ELSEWHERE;
               });
    }
    /// In place.
    [[nodiscard]] std::atomic_ref<__u64> name(std::uint32_t place) const {
        return std::atomic_ref(lines.at(place / ZSYNC_FLOW_WORDS).words[place % ZSYNC_FLOW_WORDS]);
    }
    [[nodiscard]] std::atomic_ref<__u64> shared(zsync_flow_shared word) const {
        return std::atomic_ref(lines.at(ZSYNC_FLOW_SHARED_LINE(line_count)).words[word]);
    }
    /// Of the name: one that is being made has another one's key, or none, and no state.
    [[nodiscard]] bool is_made(const zsync_flow& flow, __u64 of_name) const {
        return (flow.word & ZSYNC_FLOW_STATE_MASK) != ZSYNC_FLOW_NEW &&
               zsync_flow_name(zsync_flow_hash(&flow.key, &seed)) ==
                   (of_name & ~ZSYNC_FLOW_RETIRED);
    }
    [[nodiscard]] std::uint64_t kept_ns(const zsync_flow& flow, bool in_flood, bool full) const {
        const FlowState state = state_of(flow);
        auto kept = analysis::FlowTable::kept_for(options, state, flow.key.protocol, in_flood);
        const auto at_most = [&kept](std::uint32_t seconds) {
            kept = std::min<std::chrono::nanoseconds>(kept, std::chrono::seconds(seconds));
        };
        const bool is_over = state == FlowState::closed || state == FlowState::reset;
        if (in_flood && !was_answered(flow)) {
            at_most(options.half_open_in_flood_seconds);
        } else if (is_over && !was_answered(flow)) {
            at_most(options.half_open_seconds);
        }
        if (full && is_over) {
            kept = {};
        } else if (full && state == FlowState::answered) {
            at_most(options.answered_when_full_seconds);
        }
        return static_cast<std::uint64_t>(kept.count());
    }

    std::uint32_t line_count;
    MappedArray<zsync_flow_line> lines;
    MappedArray<zsync_flow> records;
    Fd stats;
    zsync_flow_seed seed;
    analysis::FlowOptions options;
};

FlowReader::FlowReader(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
FlowReader::FlowReader(FlowReader&&) noexcept = default;
FlowReader& FlowReader::operator=(FlowReader&&) noexcept = default;
FlowReader::~FlowReader() = default;

Outcome<FlowReader> FlowReader::open(const FlowMaps& maps, const analysis::FlowOptions& options) {
    auto state = std::make_unique<State>(
        maps, ZTRY(flow_lines_of(maps)), ZTRY(read_flow_seed(maps)), options
    );
    if (!state->lines || !state->records || !state->stats) {
        const int error = errno;
        return fail(
            os_error(error), std::format("cannot map the flow table: {}", os_error(error).message())
        );
    }
    state->shared(ZSYNC_FLOW_MAX).store(options.flows_max);
    state->shared(ZSYNC_FLOW_UNANSWERED_MAX).store(options.unanswered_max);
    state->shared(ZSYNC_FLOW_PER_SECOND_MAX).store(options.new_per_second_max);
    return FlowReader(std::move(state));
}

Outcome<std::size_t> FlowReader::age(std::uint64_t now_ns, const Visit& visit) {
    struct Ending {
        std::uint32_t place;
        FlowEnd why;
    };
    std::vector<Ending> ending;
    const bool in_flood = state_->shared(ZSYNC_FLOW_FLOOD).load() != 0;
    const bool full =
        state_->shared(ZSYNC_FLOW_COUNT).load() >= std::uint64_t{state_->options.flows_max} / 4 * 3;
    for (const std::uint32_t place : state_->places()) {
        const std::atomic_ref<__u64> name = state_->name(place);
        __u64 value = name.load(std::memory_order_relaxed);
        if (value == 0) {
            continue;
        }
        if ((value & ZSYNC_FLOW_RETIRED) != 0) {
            ending.push_back({place, FlowEnd::replaced});
            continue;
        }
        const zsync_flow flow = state_->records[place];
        if (!state_->is_made(flow, value)) {
            continue;
        }
        const std::uint64_t over_ns =
            std::max(flow.last_ns, flow.first_ns) + state_->kept_ns(flow, in_flood, full);
        if (over_ns < now_ns && name.compare_exchange_strong(value, value | ZSYNC_FLOW_RETIRED)) {
            ending.push_back({place, FlowEnd::timed_out});
        }
    }
    if (!ending.empty()) {
        ZTRY(wait_for_running_programs());
        const std::uint64_t offset_ns = clock_offset_ns();
        for (const auto& [place, why] : ending) {
            const zsync_flow flow = state_->records[place];
            visit(counted(flow, state_->name(place).load(), offset_ns), why);
            state_->records.at(place) = zsync_flow{};
            const __u32 first_line =
                zsync_flow_line_of(state_->name(place).load(), 0, state_->line_count);
            state_->name(place).store(0, std::memory_order_release);
            if (place / ZSYNC_FLOW_WORDS != first_line) {
                state_->name(first_line * ZSYNC_FLOW_WORDS + ZSYNC_FLOW_ELSEWHERE).fetch_sub(1);
            }
            state_->shared(ZSYNC_FLOW_COUNT).fetch_sub(1);
            if (!was_answered(flow)) {
                state_->shared(ZSYNC_FLOW_UNANSWERED).fetch_sub(1);
            }
        }
    }
    if (in_flood &&
        state_->shared(ZSYNC_FLOW_UNANSWERED).load() <= state_->options.unanswered_max / 2) {
        state_->shared(ZSYNC_FLOW_FLOOD).store(0);
    }
    return ending.size();
}

std::uint64_t FlowReader::id_of(const analysis::Tuple& tuple) const noexcept {
    zsync_flow_key key{};
    __u64 source[2];
    __u64 destination[2];
    put_address(source, tuple.source);
    put_address(destination, tuple.destination);
    const bool from_high = std::tie(source[0], source[1], tuple.source_port) >
                           std::tie(destination[0], destination[1], tuple.destination_port);
    std::ranges::copy(from_high ? destination : source, key.low);
    std::ranges::copy(from_high ? source : destination, key.high);
    key.low_port = from_high ? tuple.destination_port : tuple.source_port;
    key.high_port = from_high ? tuple.source_port : tuple.destination_port;
    key.vlan = tuple.vlans[0];
    key.inner_vlan = tuple.vlans[1];
    key.protocol = tuple.protocol;
    key.network = tuple.source.is_v6 ? ZSYNC_NETWORK_IPV6 : ZSYNC_NETWORK_IPV4;
    return id_of_name(zsync_flow_name(zsync_flow_hash(&key, &state_->seed)));
}

std::vector<CountedFlow> FlowReader::flows() const {
    struct Found {
        __u64 name;
        zsync_flow flow;
    };
    std::vector<Found> found;
    for (const std::uint32_t place : state_->places()) {
        const __u64 name = state_->name(place).load(std::memory_order_relaxed);
        if (name == 0) {
            continue;
        }
        if (const zsync_flow flow = state_->records[place]; state_->is_made(flow, name)) {
            found.push_back({name, flow});
        }
    }
    // Two CPUs that made the same flow at the same time may have made it in both of its lines.
    std::ranges::stable_sort(found, {}, &Found::name);
    std::vector<CountedFlow> flows;
    flows.reserve(found.size());
    const std::uint64_t offset_ns = clock_offset_ns();
    for (std::size_t i = 0; i < found.size(); ++i) {
        zsync_flow flow = found[i].flow;
        for (; i + 1 < found.size() && found[i + 1].name == found[i].name; ++i) {
            const zsync_flow& twin = found[i + 1].flow;
            for (std::size_t from = 0; from < 2; ++from) {
                flow.from[from].packets += twin.from[from].packets;
                flow.from[from].bytes += twin.from[from].bytes;
                flow.from[from].dropped += twin.from[from].dropped;
            }
            flow.first_ns = std::min(flow.first_ns, twin.first_ns);
            flow.last_ns = std::max(flow.last_ns, twin.last_ns);
        }
        flows.push_back(counted(flow, found[i].name, offset_ns));
    }
    return flows;
}

Result<FlowCounts> FlowReader::counts() const {
    std::vector<zsync_flow_stats> by_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(state_->stats.get(), &key, by_cpu.data()) != 0) {
        return fail(os_error(errno));
    }
    FlowCounts counts{
        .living = state_->shared(ZSYNC_FLOW_COUNT).load(),
        .unanswered = state_->shared(ZSYNC_FLOW_UNANSWERED).load(),
        .in_flood = state_->shared(ZSYNC_FLOW_FLOOD).load() != 0,
    };
    for (const zsync_flow_stats& stats : by_cpu) {
        counts.created += stats.created;
        counts.replaced += stats.replaced;
        counts.refused += stats.refused;
        counts.refused_bytes += stats.refused_bytes;
        counts.refused_full += stats.refused_full;
        counts.floods += stats.floods;
        counts.stray += stats.stray;
        counts.stray_bytes += stats.stray_bytes;
    }
    const std::uint64_t not_timed_out = counts.living + counts.replaced;
    counts.timed_out = counts.created - std::min(counts.created, not_timed_out);
    return counts;
}

} // namespace zsync::packet
