// RecentTable: values by key for the keys that were used last, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>

namespace zsync::packet::analysis {

/// A map of at most `entries_max` keys; a new one takes the place of the one unused for longest.
template <class Key, class Value, class Hash> class RecentTable {
public:
    RecentTable(std::size_t entries_max, Hash hash) : entries_max_(entries_max), places_(0, hash) {}

    /// The value of a key, made anew where there is none.
    Value& operator[](const Key& key) {
        if (const auto found = places_.find(key); found != places_.end()) {
            entries_.splice(entries_.begin(), entries_, found->second);
            return found->second->second;
        }
        if (entries_.size() == entries_max_) {
            places_.erase(entries_.back().first);
            entries_.pop_back();
            ++forgotten_;
        }
        entries_.emplace_front(key, Value{});
        places_.emplace(key, entries_.begin());
        return entries_.front().second;
    }
    /// The value of a key if there is one; it does not count as used.
    [[nodiscard]] Value* find(const Key& key) {
        const auto found = places_.find(key);
        return found == places_.end() ? nullptr : &found->second->second;
    }
    /// The key used last first.
    [[nodiscard]] const std::list<std::pair<Key, Value>>& entries() const noexcept {
        return entries_;
    }
    void clear() noexcept {
        places_.clear();
        entries_.clear();
    }
    /// Keys that made room for others.
    [[nodiscard]] std::uint64_t forgotten() const noexcept { return forgotten_; }

private:
    std::size_t entries_max_;
    std::list<std::pair<Key, Value>> entries_;
    std::unordered_map<Key, typename std::list<std::pair<Key, Value>>::iterator, Hash> places_;
    std::uint64_t forgotten_ = 0;
};

} // namespace zsync::packet::analysis
