// SampledHook: what rules of one hook sample, with what is needed to say of each packet why.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/capture_reader.hpp>
#include <zsync/packet/analysis/capture_writer.hpp>
#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/packet_source.hpp>
#include <zsync/packet/samples.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

namespace zsync::packet {

class Filter;

/// The samples of a filter from its opening on, each with its rule and verdict; what had been
/// waiting in the ring is passed over, and counts as given only. A ring has one reader at a time.
/// Needs CAP_BPF.
class SampledHook final : public PacketSource {
public:
    /// `PacketError::no_samples` when no rule samples.
    static Outcome<SampledHook> open(const Filter& filter, analysis::LinkType link_type);

    /// After a load of other rules, and before their first packet is taken.
    /// `PacketError::no_samples` when none of them samples.
    Outcome<void> follow(const Filter& filter);

    [[nodiscard]] int ready_fd() const noexcept override { return reader_.ready_fd(); }
    [[nodiscard]] analysis::LinkType link_type() const noexcept override { return link_type_; }
    Outcome<std::size_t> take(std::size_t packets_max, const Visit& visit) override;
    [[nodiscard]] Outcome<CaptureCounts> counts() const override;

private:
    SampledHook(SampleReader reader, Fd stats) noexcept
        : reader_(std::move(reader)), stats_(std::move(stats)) {}

    void read_rules(const Filter& filter);
    [[nodiscard]] analysis::PacketNote note_of(const Sample& sample) const;

    SampleReader reader_;
    Fd stats_;
    analysis::LinkType link_type_ = analysis::LinkType::ethernet;
    HookKind kind_ = HookKind::xdp;
    std::uint32_t program_id_ = 0;
    std::unordered_map<std::uint32_t, std::string> comments_; ///< by slot
    CaptureCounts at_start_;                                  ///< in `stats_`
    CaptureCounts before_;                                    ///< in other maps
    std::uint64_t opened_ns_ = 0;                             ///< since 1970
};

} // namespace zsync::packet
