#include <zsync/packet/analysis/sketch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace zsync::packet::analysis {

TopTalkers::TopTalkers(std::uint64_t seed, std::size_t counters)
    : counters_(counters), places_(0, AddressHash{seed}) {}

void TopTalkers::swap(std::size_t a, std::size_t b) noexcept {
    std::swap(talkers_[a], talkers_[b]);
    places_.find(talkers_[a].address)->second = a;
    places_.find(talkers_[b].address)->second = b;
}

void TopTalkers::sift_down(std::size_t at) noexcept {
    for (;;) {
        std::size_t least = at;
        for (const std::size_t child : {2 * at + 1, 2 * at + 2}) {
            if (child < talkers_.size() && talkers_[child].bytes < talkers_[least].bytes) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        swap(at, least);
        at = least;
    }
}

void TopTalkers::add(const Address& address, std::uint64_t bytes) {
    total_bytes_ += bytes;
    if (const auto found = places_.find(address); found != places_.end()) {
        Talker& talker = talkers_[found->second];
        talker.bytes += bytes;
        ++talker.packets;
        return sift_down(found->second);
    }
    if (talkers_.size() < counters_) {
        std::size_t at = talkers_.size();
        talkers_.push_back({.address = address, .bytes = bytes, .packets = 1});
        places_.emplace(address, at);
        while (at > 0 && talkers_[at].bytes < talkers_[(at - 1) / 2].bytes) {
            swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        return;
    }
    Talker& least = talkers_.front();
    places_.erase(least.address);
    least = {
        .address = address,
        .bytes = least.bytes + bytes,
        .packets = 1,
        .error_bytes = least.bytes,
    };
    places_.emplace(address, 0);
    sift_down(0);
}

std::vector<TopTalkers::Talker> TopTalkers::top(std::size_t count) const {
    std::vector<Talker> sorted = talkers_;
    std::ranges::sort(sorted, [](const Talker& a, const Talker& b) {
        return a.bytes != b.bytes ? a.bytes > b.bytes : a.address < b.address;
    });
    sorted.resize(std::min(sorted.size(), count));
    return sorted;
}

void DistinctCounter::add(std::uint64_t hash) noexcept {
    std::uint8_t& rank = ranks_[hash % registers];
    const int now = std::countl_zero(hash | (registers - 1)) + 1;
    if (now <= rank) {
        return;
    }
    sum_ += std::ldexp(1, -now) - std::ldexp(1, -rank);
    empty_ -= rank == 0 ? 1 : 0;
    rank = static_cast<std::uint8_t>(now);
}

std::uint64_t DistinctCounter::count() const noexcept {
    constexpr double size = registers;
    constexpr double alpha = 0.7213 / (1 + 1.079 / size);
    const double estimate = alpha * size * size / sum_;
    const bool is_small = estimate <= 2.5 * size && empty_ > 0;
    return static_cast<std::uint64_t>(
        std::llround(is_small ? size * std::log(size / empty_) : estimate)
    );
}

double SpreadMeter::normalised_entropy() const noexcept {
    if (total_ < 2) {
        return 0;
    }
    double bits = 0;
    for (const std::uint32_t cell : cells_) {
        if (cell > 0) {
            const double share = static_cast<double>(cell) / static_cast<double>(total_);
            bits -= share * std::log2(share);
        }
    }
    const auto most = static_cast<double>(std::min<std::uint64_t>(total_, cells_.size()));
    return bits / std::log2(most);
}

float entropy_of(ByteView bytes) noexcept {
    std::array<std::uint16_t, 256> counts{};
    const ByteView head = bytes.first(std::min(bytes.size(), entropy_bytes_max));
    for (const std::uint8_t byte : head) {
        ++counts[byte];
    }
    double bits = 0;
    for (const std::uint16_t count : counts) {
        if (count > 0) {
            const double share = static_cast<double>(count) / static_cast<double>(head.size());
            bits -= share * std::log2(share);
        }
    }
    return static_cast<float>(bits);
}

} // namespace zsync::packet::analysis
