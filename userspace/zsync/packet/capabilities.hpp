// What this host allows the packet filter to do.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

/// One thing that filtering needs or profits from.
struct Capability {
    std::string name;
    bool available = false;
    std::string detail; ///< what it is for, or why it is missing and what to do
};

/// Looks, without changing anything: privileges of this process, the BPF file system, the JIT.
std::vector<Capability> probe_capabilities(std::string_view bpf_dir);

} // namespace zsync::packet
