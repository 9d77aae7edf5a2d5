// RwLock: many readers or one writer.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <cstdint>
#include <string_view>
#include <utility>

namespace zsync {

/// Many tasks that read, or one that writes. Fair: whoever waits is served in order of arrival, so
/// a reader that comes after a waiting writer waits behind it, and writers are not starved. A task
/// that reads must therefore not ask to read again.
class RwLock {
    enum class Mode : std::uint8_t { read, write };

    template <Mode mode> class [[nodiscard]] Held {
    public:
        Held(Held&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
        Held& operator=(Held&& other) noexcept {
            Held old(std::move(*this));
            lock_ = std::exchange(other.lock_, nullptr);
            return *this;
        }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;
        ~Held() { unlock(); }

        /// Unlocks before the end of its life.
        void unlock() noexcept {
            if (lock_ != nullptr) {
                std::exchange(lock_, nullptr)->give_up(mode);
            }
        }
        [[nodiscard]] bool owns_lock() const noexcept { return lock_ != nullptr; }

    private:
        friend class RwLock;
        explicit Held(RwLock* lock) noexcept : lock_(lock) {}
        RwLock* lock_;
    };

    class Wait : public QueueWait {
    public:
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return try_now();
        }
        bool suspend(PromiseBase& promise) noexcept { return suspend_in(lock_.waiting_, promise); }

    protected:
        Wait(RwLock& lock, Mode mode) noexcept : lock_(lock), mode_(mode) {}
        ~Wait() = default;
        [[nodiscard]] RwLock& lock() const noexcept { return lock_; }

    private:
        friend class RwLock;
        [[nodiscard]] bool try_now() const noexcept {
            return lock_.waiting_.empty() && lock_.admit(mode_);
        }
        bool try_without_waiting() noexcept final { return try_now(); }
        // Readers behind a writer that gave up need not wait for the readers before it.
        void interrupted() noexcept final {
            wake();
            lock_.admit_waiting();
        }

        RwLock& lock_;
        Mode mode_;
    };

    template <Mode mode> class Acquire final : public Wait {
    public:
        explicit Acquire(RwLock& lock) noexcept : Wait(lock, mode) {}
        [[nodiscard]] Result<Held<mode>> await_resume() const noexcept {
            if (failed()) [[unlikely]] {
                return fail(reason());
            }
            return Held<mode>(&lock());
        }
        [[nodiscard]] std::string_view kind() const noexcept override {
            return mode == Mode::read ? "read lock" : "write lock";
        }

    private:
        using QueueWait::failed;
        using QueueWait::reason;
        using Wait::lock;
    };

public:
    /// Unlock at the end of their lives.
    using ReadLock = Held<Mode::read>;
    using WriteLock = Held<Mode::write>;
    using AcquireRead = Acquire<Mode::read>;
    using AcquireWrite = Acquire<Mode::write>;

    /// Awaits to `Result<ReadLock>`.
    [[nodiscard]] AcquireRead read() noexcept { return AcquireRead(*this); }
    /// Awaits to `Result<WriteLock>`.
    [[nodiscard]] AcquireWrite write() noexcept { return AcquireWrite(*this); }
    /// Never wait: locks that may own nothing.
    [[nodiscard]] ReadLock try_read() noexcept { return try_lock<Mode::read>(); }
    [[nodiscard]] WriteLock try_write() noexcept { return try_lock<Mode::write>(); }

private:
    template <Mode mode> Held<mode> try_lock() noexcept {
        const RuntimeLock lock;
        return Held<mode>(waiting_.empty() && admit(mode) ? this : nullptr);
    }
    [[nodiscard]] bool admit(Mode mode) noexcept {
        if (writing_ || (mode == Mode::write && readers_ != 0)) {
            return false;
        }
        if (mode == Mode::write) {
            writing_ = true;
        } else {
            ++readers_;
        }
        return true;
    }
    void give_up(Mode mode) noexcept {
        const RuntimeLock lock;
        if (mode == Mode::write) {
            writing_ = false;
        } else {
            --readers_;
        }
        admit_waiting();
    }
    void admit_waiting() noexcept {
        while (auto* first = static_cast<Wait*>(waiting_.front())) {
            if (!admit(first->mode_)) {
                return;
            }
            waiting_.wake(*first);
        }
    }

    WaitQueue waiting_;
    std::uint32_t readers_ = 0;
    bool writing_ = false;
};

} // namespace zsync
