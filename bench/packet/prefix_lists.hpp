// Random lists of prefixes as a block list has them, and addresses inside and outside of one.
#pragma once

#include "bench/packet/subject.hpp"

#include <zsync/packet/rule_set.hpp>

#include <cstddef>
#include <cstdint>

namespace zsync::bench {

/// `count` different prefixes: of IPv4 half /32 and half /24, of IPv6 a third each /128, /64 and
/// /48 under 2000::/3.
packet::AddressSet random_prefixes(packet::Family family, std::size_t count, std::uint64_t seed);

/// `count` addresses under random prefixes of `set`, which is of one family.
Sources inside(const packet::AddressSet& set, std::size_t count, std::uint64_t seed);

/// `count` addresses of the set's family that it does not cover. Those of IPv6 begin with the
/// first 40 bits of a prefix, so that they aren't told apart by the first bytes.
Sources outside(const packet::AddressSet& set, std::size_t count, std::uint64_t seed);

} // namespace zsync::bench
