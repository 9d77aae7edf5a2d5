// Changing what has rates: a rule that limits, a class of the shape.
#pragma once

#include <string>
#include <zsyncctl/daemon.hpp>
#include <zsyncctl/session.hpp>

namespace zsyncctl {

/// `IFACE set WHAT RATES...`: calls `method` of the interface with `what` and the rates that were
/// typed, and prints what they are by now, in JSON as `key`.
Answer<void> change_rates(
    const Session& session,
    Daemon& daemon,
    const std::string& ifname,
    const char* method,
    const char* key,
    const std::string& what
);

} // namespace zsyncctl
