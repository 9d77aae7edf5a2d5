// What one attached interface has on the BPF file system, and how it gets there and away.
//
//     BPF_DIR/packet/INTERFACE/link    the XDP link: while it is pinned, packets are filtered
//     BPF_DIR/packet/INTERFACE/gID/    one generation, ID being its program's id:
//         program
//         counters, stats              shared by generations of the same layout, as what follows is
//         samples                      the ring of `sample`, if a rule has it
//         limit_lines, limit_keys      the same of `limit`
//         flow_lines, flow_records, flow_stats, flow_fragments, flow_link
//                                      the flow table, while flows are counted
//         handover_link, handover_secret
//                                      of `mark` and `challenge`
//         meta                         the generation's own record (meta.hpp)
//     BPF_DIR/packet_out/INTERFACE/    the same, of what the interface sends
//     BPF_DIR/packet_sockets/INTERFACE.ID.in/
//                                      of what a cgroup's sockets receive; .out: send
//
// The link alone decides: the generation of the program that it runs is the live one, and any other
// is what a crash left behind.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

/// Called with the step's name after each step that changes what is pinned or attached, so that a
/// test can stop there.
using OnPinStep = std::function<void(std::string_view step)>;

/// An interface's name as a file name: letters and digits stay, any other byte, a leading digit
/// too, becomes `_XX`. A bpffs refuses dots (`eth0.42`). The form of sd_bus_path_encode(3).
std::string escape_name(std::string_view name);
/// The inverse; empty when `escaped` is not what `escape_name` makes.
std::string unescape_name(std::string_view escaped);

/// One interface's directory. Says what it does step by step to `OnPinStep`.
class Pins {
public:
    Pins(
        std::string_view bpf_dir,
        std::string_view ifname,
        OnPinStep on_step,
        std::string_view folder = "packet"
    );

    /// Makes the interface's directory; `PacketError::no_bpffs` where that cannot hold pins.
    [[nodiscard]] Outcome<void> create() const;
    /// Makes the directory of the generation of `program_id`, empty.
    [[nodiscard]] Outcome<void> create_generation(std::uint32_t program_id) const;
    /// Pins `fd` as `name` in the generation of `program_id`.
    [[nodiscard]] Outcome<void>
    pin(std::uint32_t program_id, std::string_view name, const Fd& fd) const;
    [[nodiscard]] Outcome<void> pin_link(const Fd& link) const;
    void created_link_step() const { step("create_link"); }
    void updated_link_step() const { step("update_link"); }
    void detached_link_step() const { step("detach_link"); }

    /// A new descriptor of what is pinned.
    [[nodiscard]] Result<Fd> open_link() const;
    [[nodiscard]] Result<Fd> open(std::uint32_t program_id, std::string_view name) const;

    /// Removes generations other than `live`.
    void remove_generations_but(std::uint32_t live) const;
    /// Whether what is pinned could be removed.
    [[nodiscard]] Outcome<void> check_removable() const;
    /// Removes everything, the link's pin last but the directory.
    void remove_all() const;
    /// The pins of this interface under another name, after a rename.
    Outcome<void> rename(std::string_view ifname);

    [[nodiscard]] const std::string& directory() const { return directory_; }

    /// The names that have a pinned link in a folder of `bpf_dir`.
    static std::vector<std::string>
    list(std::string_view bpf_dir, std::string_view folder = "packet");

private:
    void step(std::string_view name) const;
    [[nodiscard]] std::string generation(std::uint32_t program_id) const;
    static void remove_generation(const std::string& directory);

    std::string packet_dir_;
    std::string directory_;
    OnPinStep on_step_;
};

} // namespace zsync::packet
