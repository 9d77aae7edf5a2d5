// Sketches: figures about more things than can be kept, with a bound on their error.
#pragma once

#include <zsync/packet/analysis/address.hpp>
#include <zsync/packet/analysis/cursor.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace zsync::packet::analysis {

/// The addresses with the most bytes, in `limits::talkers_max` counters.
///
/// Each count is at most `error_bytes` too high and never too low, where that is the talker's own
/// and at most all bytes divided by the number of counters; whoever has more than that share of all
/// bytes is in the table.
/// Source: Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in
/// data streams", 2005 (Space-Saving).
class TopTalkers {
public:
    struct Talker {
        Address address{};
        std::uint64_t bytes = 0;
        std::uint64_t packets = 0; ///< since it is in the table
        std::uint64_t error_bytes = 0;
    };

    explicit TopTalkers(std::uint64_t seed, std::size_t counters = limits::talkers_max);

    void add(const Address& address, std::uint64_t bytes);

    /// At most `count`, the most bytes first.
    [[nodiscard]] std::vector<Talker> top(std::size_t count) const;
    [[nodiscard]] std::uint64_t total_bytes() const noexcept { return total_bytes_; }
    /// No count is further off than this.
    [[nodiscard]] std::uint64_t error_bytes_max() const noexcept {
        return talkers_.size() < counters_ ? 0 : total_bytes_ / counters_;
    }

private:
    void sift_down(std::size_t at) noexcept;
    void swap(std::size_t a, std::size_t b) noexcept;

    std::size_t counters_;
    std::vector<Talker> talkers_; ///< a heap, the fewest bytes first
    std::unordered_map<Address, std::size_t, AddressHash> places_;
    std::uint64_t total_bytes_ = 0;
};

/// How many different things there were, in 272 bytes. Counting costs no walk over them.
///
/// Exact for few; for many the standard error is 1.04/sqrt(256), so 6.5 %.
/// Source: Flajolet and others, "HyperLogLog", 2007, with linear counting for small numbers.
class DistinctCounter {
public:
    static constexpr double standard_error = 0.065;

    void add(std::uint64_t hash) noexcept;
    [[nodiscard]] std::uint64_t count() const noexcept;

private:
    static constexpr std::size_t registers = 256;

    std::array<std::uint8_t, registers> ranks_{};
    double sum_ = registers; ///< of 2^-rank
    std::uint32_t empty_ = registers;
};

/// How evenly values are spread, from 0 (one value) to 1 (as even as can be told), by hashing them
/// into 1024 cells.
class SpreadMeter {
public:
    void add(std::uint64_t hash) noexcept {
        ++cells_[hash % cells_.size()];
        ++total_;
    }
    [[nodiscard]] double normalised_entropy() const noexcept;

private:
    std::array<std::uint32_t, 1024> cells_{};
    std::uint64_t total_ = 0;
};

/// Bits a byte of the first `entropy_bytes_max` bytes, from 0 to 8.
[[nodiscard]] float entropy_of(ByteView bytes) noexcept;
constexpr std::size_t entropy_bytes_max = 1024;

} // namespace zsync::packet::analysis
