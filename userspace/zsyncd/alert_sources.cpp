#include "alert_sources.hpp"

#include <zsync/packet/limits.hpp>

#include <utility>

namespace zsync::zsyncd {

void AlertSources::add(const std::string& ifname, std::string source) {
    std::set<std::string>& sources = waiting_[ifname];
    if (sources.size() < packet::limits::temporary_rules_max) {
        sources.insert(std::move(source));
    } else if (!sources.contains(source)) {
        leave_out(ifname, 1);
    }
}

std::optional<AlertSources::Waiting> AlertSources::take() {
    if (waiting_.empty()) {
        return std::nullopt;
    }
    auto first = waiting_.extract(waiting_.begin());
    return Waiting{.ifname = std::move(first.key()), .sources = std::move(first.mapped())};
}

void AlertSources::leave_out(const std::string& ifname, std::uint64_t sources) {
    if (sources > 0) {
        left_out_[ifname].add(sources);
    }
}

std::uint64_t AlertSources::left_out(const std::string& ifname) const {
    const auto found = left_out_.find(ifname);
    return found == left_out_.end() ? 0 : found->second.count();
}

std::optional<std::uint64_t> AlertSources::to_say(const std::string& ifname, TimePoint now) {
    const auto found = left_out_.find(ifname);
    return found == left_out_.end() ? std::nullopt : found->second.to_say(now);
}

} // namespace zsync::zsyncd
