// Bytes: a buffer with one owner, made to be moved into an operation and back.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace zsync {

/// A heap buffer of fixed size. Operations take it by value and give it back with their result, so
/// that the kernel never writes into memory that somebody else has freed.
class Bytes {
public:
    Bytes() noexcept = default;
    /// `size` bytes, uninitialised.
    explicit Bytes(std::size_t size)
        : data_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}
    static Bytes copy_of(std::string_view text);

    [[nodiscard]] std::byte* data() noexcept { return data_.get(); }
    [[nodiscard]] const std::byte* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::string_view text(std::size_t count) const noexcept {
        return {reinterpret_cast<const char*>(data_.get()), count};
    }

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0;
};

/// What an operation may move bytes through: contiguous elements of one byte each, owning (`Bytes`,
/// `std::vector<std::byte>`) or borrowed (`std::span` over memory that the awaiting task or its
/// parents own).
template <class B>
concept Buffer = requires(B b) {
    { std::data(b) };
    { std::size(b) } -> std::convertible_to<std::size_t>;
    requires sizeof(*std::data(b)) == 1;
};

} // namespace zsync
