// LinkMonitor: wakes up when a network interface comes, goes or changes.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>

namespace zsync::packet {

/// Listens to RTNLGRP_LINK (rtnetlink(7)) of this network namespace. It tells that something
/// changed, not what: whoever cares compares what is there with what should be, so that lost
/// messages (ENOBUFS) cost nothing.
class LinkMonitor {
public:
    static Outcome<LinkMonitor> open();

    /// Returns after at least one change since the last call. Changes that come in one burst are
    /// one.
    Task<Result<void>> changed(Io io);

private:
    explicit LinkMonitor(Fd socket) noexcept : socket_(std::move(socket)) {}
    Fd socket_;
};

} // namespace zsync::packet
