#include <zsync/packet/rule_classes.hpp>

#include <algorithm>

namespace zsync::packet {

RuleClasses::RuleClasses(std::size_t rules)
    : words_((rules + 63) / 64), stride_(words_ > 1 ? words_ + 1 : words_),
      known_(64, Hash{this}, Equal{this}) {}

std::uint32_t RuleClasses::intern(std::span<const std::uint64_t> bits) {
    const std::size_t start = array_.size();
    array_.resize(start + stride_);
    std::ranges::copy(bits, array_.begin() + static_cast<std::ptrdiff_t>(array_.size() - words_));
    return keep_last();
}

std::uint32_t RuleClasses::join(std::uint32_t class_id, std::span<const std::uint64_t> more) {
    const std::size_t start = array_.size();
    array_.resize(start + stride_);
    const std::span<const std::uint64_t> old = bits_of(class_id);
    for (std::size_t word = 0; word < words_; ++word) {
        array_[array_.size() - words_ + word] = old[word] | more[word];
    }
    return keep_last();
}

std::span<const std::uint64_t> RuleClasses::bits_of(std::uint32_t class_id) const {
    return std::span(array_).subspan(class_id + stride_ - words_, words_);
}

std::uint32_t RuleClasses::keep_last() {
    const auto class_id = static_cast<std::uint32_t>(array_.size() - stride_);
    if (stride_ != words_) {
        const std::span<const std::uint64_t> bits = bits_of(class_id);
        std::uint64_t summary = 0;
        for (std::size_t word = 0; word < words_; ++word) {
            summary |= std::uint64_t{bits[word] != 0} << word;
        }
        array_[class_id] = summary;
    }
    const auto [found, fresh] = known_.insert(class_id);
    if (!fresh) {
        array_.resize(class_id);
    }
    return *found;
}

std::size_t RuleClasses::Hash::operator()(std::uint32_t class_id) const {
    std::uint64_t hash = 0;
    for (const std::uint64_t word : classes->bits_of(class_id)) {
        hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 29;
    }
    return hash;
}

bool RuleClasses::Equal::operator()(std::uint32_t a, std::uint32_t b) const {
    return std::ranges::equal(classes->bits_of(a), classes->bits_of(b));
}

} // namespace zsync::packet
