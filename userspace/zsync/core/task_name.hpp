// TaskName: what a task is called.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

namespace zsync {

/// A task's name, and where it was given: that is where the task is started. A literal costs
/// nothing; other text is copied.
class TaskName {
    // What a std::source_location holds: g++ would keep one in a coroutine's frame, where it is no
    // constant.
    using Place = decltype(__builtin_source_location());

public:
    template <std::size_t N>
    // NOLINTNEXTLINE(google-explicit-constructor): literals are names
    consteval TaskName(const char (&literal)[N], Place made = __builtin_source_location()) noexcept
        : text_(literal), length_(N - 1), owned_(false), made_(made) {}
    // NOLINTNEXTLINE(google-explicit-constructor): texts are names
    TaskName(std::string_view text, Place made = __builtin_source_location());
    // NOLINTNEXTLINE(google-explicit-constructor): texts are names
    TaskName(const std::string& text, Place made = __builtin_source_location())
        : TaskName(std::string_view(text), made) {}
    TaskName(TaskName&& other) noexcept
        : text_(other.text_), length_(other.length_), owned_(std::exchange(other.owned_, false)),
          made_(other.made_) {}
    TaskName& operator=(TaskName&&) = delete;
    TaskName(const TaskName&) = delete;
    TaskName& operator=(const TaskName&) = delete;
    ~TaskName() {
        if (owned_) {
            free_text(text_);
        }
    }

    [[nodiscard]] std::string_view text() const noexcept { return {text_, length_}; }
    [[nodiscard]] std::source_location made() const noexcept {
        return std::bit_cast<std::source_location>(made_);
    }

private:
    friend class TaskLabel;
    static void free_text(const char* text) noexcept;

    const char* text_;
    std::uint32_t length_;
    bool owned_;
    Place made_;
};

/// The text of a name, without the place.
class TaskLabel {
public:
    explicit TaskLabel(TaskName&& name) noexcept
        : text_(name.text_), length_(name.length_), owned_(std::exchange(name.owned_, false)) {}
    TaskLabel(const TaskLabel&) = delete;
    TaskLabel& operator=(const TaskLabel&) = delete;
    ~TaskLabel() {
        if (owned_) {
            TaskName::free_text(text_);
        }
    }

    [[nodiscard]] std::string_view text() const noexcept { return {text_, length_}; }

private:
    friend class Suspension;
    friend class TaskRecord;
    friend class Worker;
    friend struct DebugLayout;

    const char* text_;
    std::uint32_t length_;
    bool owned_;
};

} // namespace zsync
