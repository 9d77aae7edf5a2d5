#include <zsync/core/failing_executor.hpp>
#include <zsync/core/operation.hpp>

#include <cerrno>
#include <fcntl.h>
#include <utility>

namespace zsync {

OperationClass class_of(const OperationRequest& request) noexcept {
    switch (request.opcode) {
    case Opcode::read:
    case Opcode::readv:
    case Opcode::statx:
    case Opcode::fadvise:
        return OperationClass::file_read;
    case Opcode::open:
        return (request.flags & (O_CREAT | O_TRUNC)) != 0 ? OperationClass::file_write
                                                          : OperationClass::file_read;
    case Opcode::write:
    case Opcode::writev:
    case Opcode::fsync:
    case Opcode::fallocate:
    case Opcode::truncate:
    case Opcode::rename:
    case Opcode::mkdir:
        return OperationClass::file_write;
    case Opcode::socket:
    case Opcode::bind:
    case Opcode::listen:
    case Opcode::accept:
    case Opcode::connect:
    case Opcode::send:
    case Opcode::send_zero_copy:
    case Opcode::sendmsg:
    case Opcode::recv:
    case Opcode::recvmsg:
    case Opcode::shutdown:
        return OperationClass::network;
    case Opcode::wait_process:
        return OperationClass::process;
    default:
        return OperationClass::other;
    }
}

std::array<int, operation_class_count> FailingExecutor::standard_failures() noexcept {
    std::array<int, operation_class_count> failures{};
    failures[std::to_underlying(OperationClass::file_write)] = ENOSPC;
    failures[std::to_underlying(OperationClass::network)] = ENETDOWN;
    return failures;
}

void FailingExecutor::submit(OperationWait& wait) noexcept {
    if (const int error = refusal(wait.request()); error != 0) {
        wait.end_here(-error);
    } else if (wait.has_deadline()) {
        wait.end_here_with(CoreError::unsupported);
    } else {
        BlockingExecutor::submit(wait);
    }
}

void FailingExecutor::wait_for(TimedSuspension& timer) noexcept {
    remove_timer(timer);
    timer.interrupt(CoreError::unsupported);
}

std::vector<RuntimeFeature> FailingExecutor::features() const {
    return {
        {.name = "concurrency",
         .available = false,
         .detail = "nothing runs beside anything, for tests"},
        {.name = "clock", .available = false, .detail = "the time stands still, for tests"},
    };
}

} // namespace zsync
