// The qdisc that a shape needs: fq, which holds each packet until its time.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <string_view>

namespace zsync::packet {

/// Gives the interface the qdisc fq as its root, or below mq one for each queue, where it has the
/// kernel's default. What somebody configured is left alone: it serves if it is fq, and else
/// `PacketError::shaping_unavailable` says what is there; likewise where the kernel has no fq.
/// Blocks on rtnetlink.
Outcome<void>
install_fair_queue(std::uint32_t ifindex, std::string_view ifname, const Shape& shape);

/// Takes what `install_fair_queue` put there away, so that the kernel's default comes back. Nothing
/// else is touched, and no device is no error.
Outcome<void> remove_fair_queue(std::uint32_t ifindex, std::string_view ifname);

} // namespace zsync::packet
