// KeyedLimiter: a limiter for each key, in memory that strangers can't make grow.
#pragma once

#include <zsync/coord/limiter.hpp>
#include <zsync/coord/limits.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <format>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace zsync::coord {

struct KeyedLimiterStats {
    std::size_t keys = 0;         ///< that have a limiter of their own
    std::uint64_t reclaimed = 0;  ///< keys that were forgotten for another one
    std::uint64_t overflowed = 0; ///< calls for keys that found no room
};

/// A `Limiter` for each key, of at most `keys_max` keys.
///
///     auto clients = ZTRY((KeyedLimiter<Address, LeakyBucket>::create(io, bucket, 10'000)));
///     ZCO_CHECK(co_await clients->acquire(peer));
///
/// A key is forgotten only when its limiter is as a new one would be, so that nobody gets rid of a
/// used-up limiter by making the table forget it. Where no such key is found among a few, a new key
/// shares a limiter with others that found no room, chosen by a keyed hash: a flood of keys slows
/// itself, costs no memory and no search, and touches no key that is in the table.
template <class Key, RateAlgorithm A, class Hash = std::hash<Key>> class KeyedLimiter {
public:
    struct Options {
        std::size_t keys_max = 1024;
        std::size_t shared = 64;                     ///< limiters for keys that find no room
        std::uint64_t seed = std::random_device{}(); ///< which of them strangers can't foretell
    };
    /// Each key begins with a copy of `algorithm`.
    static Outcome<std::unique_ptr<KeyedLimiter>> create(Io io, A algorithm, Options options) {
        if (options.keys_max == 0 || options.keys_max > limits::limiter_keys_max ||
            options.shared == 0 || options.shared > limits::limiter_shared_max) {
            return fail(
                CoreError::invalid_argument,
                std::format(
                    "a table of limiters has 1 to {} keys and 1 to {} shared ones, not {} and {}",
                    limits::limiter_keys_max,
                    limits::limiter_shared_max,
                    options.keys_max,
                    options.shared
                )
            );
        }
        return std::unique_ptr<KeyedLimiter>(new KeyedLimiter(io, std::move(algorithm), options));
    }

    /// `Limiter::acquire` of the key's limiter.
    [[nodiscard]] Limiter<A>::Acquire acquire(const Key& key, std::uint64_t count = 1) {
        const RuntimeLock lock;
        return limiter_of(key).acquire(count);
    }
    /// `Limiter::try_acquire` of the key's limiter.
    [[nodiscard]] bool try_acquire(const Key& key, std::uint64_t count = 1) {
        const RuntimeLock lock;
        return limiter_of(key).try_acquire(count);
    }
    [[nodiscard]] KeyedLimiterStats stats() const noexcept {
        const RuntimeLock lock;
        return {.keys = entries_.size(), .reclaimed = reclaimed_, .overflowed = overflowed_};
    }

private:
    static constexpr std::uint32_t no_entry = ~0U;
    struct Entry {
        Entry(const Key& of, Io io, const A& algorithm) : key(of), limiter(io, algorithm) {}
        Key key;
        std::uint64_t hash = 0;
        std::uint32_t next = no_entry; ///< in its chain
        Limiter<A> limiter;
    };

    KeyedLimiter(Io io, A algorithm, const Options& options)
        : io_(io), algorithm_(std::move(algorithm)), options_(options),
          chains_(std::bit_ceil(options.keys_max), no_entry) {
        for (std::size_t n = 0; n < options.shared; ++n) {
            shared_.emplace_back(io, algorithm_);
        }
    }

    [[nodiscard]] Limiter<A>& limiter_of(const Key& key) {
        const std::uint64_t hash = hash_of(key);
        for (std::uint32_t at = chain(hash); at != no_entry; at = entries_[at].next) {
            if (entries_[at].hash == hash && entries_[at].key == key) {
                return entries_[at].limiter;
            }
        }
        if (entries_.size() < options_.keys_max) {
            entries_.emplace_back(key, io_, algorithm_);
            return link(static_cast<std::uint32_t>(entries_.size() - 1), hash);
        }
        if (const std::uint32_t free = reclaim(); free != no_entry) {
            Entry& entry = entries_[free];
            entry.key = key;
            entry.limiter.algorithm_ = algorithm_;
            entry.limiter.stats_ = {};
            return link(free, hash);
        }
        ++overflowed_;
        return shared_[(hash >> 32) % options_.shared];
    }
    /// A finalizer as in MurmurHash3, whose every bit depends on every bit of key and seed.
    [[nodiscard]] std::uint64_t hash_of(const Key& key) const {
        std::uint64_t bits = Hash{}(key) + options_.seed;
        for (const std::uint64_t factor : {0xff51afd7ed558ccdULL, 0xc4ceb9fe1a85ec53ULL}) {
            bits = (bits ^ (bits >> 33)) * factor;
        }
        return bits ^ (bits >> 33);
    }
    [[nodiscard]] std::uint32_t& chain(std::uint64_t hash) noexcept {
        return chains_[hash & (chains_.size() - 1)];
    }
    Limiter<A>& link(std::uint32_t at, std::uint64_t hash) noexcept {
        entries_[at].hash = hash;
        entries_[at].next = std::exchange(chain(hash), at);
        return entries_[at].limiter;
    }
    /// Takes one that can be forgotten out of its chain: looks at the next few in a circle.
    [[nodiscard]] std::uint32_t reclaim() noexcept {
        for (std::size_t n = 0; n < limits::limiter_reclaim_tries; ++n) {
            const std::uint32_t at = hand_;
            hand_ = hand_ + 1 == entries_.size() ? 0 : hand_ + 1;
            if (entries_[at].limiter.is_fresh()) {
                std::uint32_t* link = &chain(entries_[at].hash);
                while (*link != at) {
                    link = &entries_[*link].next;
                }
                *link = entries_[at].next;
                ++reclaimed_;
                return at;
            }
        }
        return no_entry;
    }

    Io io_;
    A algorithm_;
    Options options_;
    std::vector<std::uint32_t> chains_;
    std::deque<Entry> entries_; ///< whose addresses stay
    std::deque<Limiter<A>> shared_;
    std::uint32_t hand_ = 0;
    std::uint64_t reclaimed_ = 0;
    std::uint64_t overflowed_ = 0;
};

} // namespace zsync::coord
