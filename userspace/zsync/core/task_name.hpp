// TaskName: what a task is called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace zsync {

/// A task's name. A literal costs nothing; other text is copied.
class TaskName {
public:
    template <std::size_t N>
    // NOLINTNEXTLINE(google-explicit-constructor): literals are names
    consteval TaskName(const char (&literal)[N]) noexcept
        : text_(literal), length_(N - 1), owned_(false) {}
    // NOLINTNEXTLINE(google-explicit-constructor): texts are names
    TaskName(std::string_view text);
    // NOLINTNEXTLINE(google-explicit-constructor): texts are names
    TaskName(const std::string& text) : TaskName(std::string_view(text)) {}
    TaskName(TaskName&& other) noexcept
        : text_(other.text_), length_(other.length_), owned_(other.owned_) {
        other.owned_ = false;
    }
    TaskName& operator=(TaskName&&) = delete;
    TaskName(const TaskName&) = delete;
    TaskName& operator=(const TaskName&) = delete;
    ~TaskName() {
        if (owned_) {
            free_text();
        }
    }

    [[nodiscard]] std::string_view text() const noexcept { return {text_, length_}; }

private:
    friend class Suspension;
    friend class TaskRecord;
    friend class Worker;
    friend struct DebugLayout;
    void free_text() noexcept;

    const char* text_;
    std::uint32_t length_;
    bool owned_;
};

} // namespace zsync
