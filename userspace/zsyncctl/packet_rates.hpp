// Changing what has rates: a rule that limits, the shape, a class of it.
#pragma once

#include <string>
#include <vector>
#include <zsyncctl/daemon.hpp>
#include <zsyncctl/session.hpp>

namespace zsyncctl {

struct RateChange {
    const char* method;             ///< of the interface's object
    std::vector<std::string> words; ///< its arguments: what is changed, if it has a name; the rates
    const char* key;                ///< of what has changed, in JSON
};

/// Calls the method, and prints what the rates are by now.
Answer<void> change_rates(
    const Session& session, Daemon& daemon, const std::string& ifname, const RateChange& change
);

} // namespace zsyncctl
