#include <zsync/core/ledger.hpp>
#include <zsync/core/standing_request.hpp>
#include <zsync/core/worker.hpp>

namespace zsync {

StandingRequest::StandingRequest(Worker* worker, const std::source_location& made) noexcept {
    if (Ledger::traces()) [[unlikely]] {
        Ledger::request_made(this, made);
    }
    if (worker != nullptr) {
        StandingRequest*& first = worker->standing_;
        next_ = first;
        if (first != nullptr) {
            first->link_ = &next_;
        }
        link_ = &first;
        first = this;
    }
}

StandingRequest::~StandingRequest() {
    if (link_ != nullptr) {
        *link_ = next_;
        if (next_ != nullptr) {
            next_->link_ = link_;
        }
    }
    if (Ledger::traces()) [[unlikely]] {
        Ledger::request_ended(this);
    }
}

} // namespace zsync
