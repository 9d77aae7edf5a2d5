// AlertSources: the sources of alerts that are to be dropped, and those for which there is no room.
#pragma once

#include "left_out.hpp"

#include <zsync/core/io.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace zsync::zsyncd {

/// By interface. Sources that come while rules are loaded wait for the next load, all for the same;
/// there wait as many as there can be temporary rules. Whoever finds no room is counted, and said
/// now and then: a flood of forged sources must not fill the journal.
class AlertSources {
public:
    struct Waiting {
        std::string ifname;
        std::set<std::string> sources;
    };

    void add(const std::string& ifname, std::string source);
    /// Those of an interface; nothing when none wait.
    std::optional<Waiting> take();

    void leave_out(const std::string& ifname, std::uint64_t sources);
    /// How many were left out since the interface is filtered.
    [[nodiscard]] std::uint64_t left_out(const std::string& ifname) const;
    /// How many of them are to be said.
    std::optional<std::uint64_t> to_say(const std::string& ifname, TimePoint now);
    /// Forgets an interface that is filtered no more.
    void forget(const std::string& ifname) { left_out_.erase(ifname); }

private:
    std::map<std::string, std::set<std::string>> waiting_;
    std::map<std::string, LeftOut> left_out_;
};

} // namespace zsync::zsyncd
