// authorize: may the caller do this?
#pragma once

#include <zsync/bus/call.hpp>

#include <string>

namespace zsync::bus {

/// Root, and the user that this service runs as, may do everything. Others are asked about from
/// polkit, which may ask the person behind the call if the caller allows that. `access_denied` with
/// words for that person otherwise, also where there is no polkit. Cancelled with its caller, in
/// which case polkit takes its question back.
Task<Outcome<void>> authorize(CallContext call, std::string action);

} // namespace zsync::bus
