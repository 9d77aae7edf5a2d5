// Call: one method call of a client while its handler runs.
#pragma once

#include <zsync/bus/errors.hpp>
#include <zsync/bus/message.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/task.hpp>

#include <memory>
#include <string>

namespace zsync::bus {

class Callers;
class Connection;
class Interface;
struct Caller;

/// One object registered under one interface; what sd-bus hands to its entry points.
struct Exported {
    Connection* connection = nullptr;
    std::string path;
    const Interface* interface = nullptr;
    std::shared_ptr<void> object; ///< shared with the handlers that run on it
    Slot slot;
};

/// Counted against the limits from `admit` to its end, cancelled when its client leaves the bus.
class Call {
public:
    /// Null, with `error` set, when the client or all clients together have too many calls running.
    static std::unique_ptr<Call>
    admit(Exported& exported, sd_bus_message* message, sd_bus_error* error);
    Call(Connection& connection, Caller& caller, sd_bus_message* message);
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();

    /// Runs the handler, which owns this call, as a task.
    void start(Task<void> handler);

    /// An empty reply to fill; null when nobody expects one.
    [[nodiscard]] Message new_reply();
    /// Sends a filled reply, or says that it could not be filled (`append_result` < 0).
    void reply(Message reply, int append_result);
    void reply_error(const Fault& fault);

private:
    friend class CallContext;
    friend class Callers;

    [[nodiscard]] bool reply_is_expected() const noexcept;

    Connection& connection_;
    Caller& caller_;
    Call* previous_ = nullptr;
    Call* next_ = nullptr;
    Message message_;
    TaskRef task_;
    bool caller_left_ = false;
};

/// What a handler knows of its call. Valid as long as the handler runs.
class CallContext {
public:
    explicit CallContext(Call& call) noexcept : call_(&call) {}

    [[nodiscard]] Connection& connection() const noexcept { return call_->connection_; }
    [[nodiscard]] Io io() const noexcept;
    /// The client's unique name on the bus.
    [[nodiscard]] const std::string& sender() const noexcept;
    /// The object that was called.
    [[nodiscard]] std::string path() const;
    /// True if the client allows a question to the person in front of it.
    [[nodiscard]] bool may_interact() const noexcept;

private:
    Call* call_;
};

/// Answers a call whose arguments could not be decoded.
int refuse_arguments(int result, sd_bus_error* error);

} // namespace zsync::bus
