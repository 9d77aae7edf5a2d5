// Frames that arrive, counted where nothing can lose them any more.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace zsync::packet::test {

/// An XDP program in an interface's driver that counts frames and drops them, for as long as this
/// lives.
class FrameCounter {
public:
    explicit FrameCounter(const std::string& ifname);
    ~FrameCounter();
    FrameCounter(const FrameCounter&) = delete;
    FrameCounter& operator=(const FrameCounter&) = delete;

    [[nodiscard]] std::uint64_t frames() const;

private:
    struct Program;
    std::unique_ptr<Program> program_;
};

} // namespace zsync::packet::test
