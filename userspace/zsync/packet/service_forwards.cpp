// The pairs of interfaces that are to forward, as Service keeps them.
#include <zsync/core/log.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/service.hpp>
#include <zsync/store/store.hpp>

#include <algorithm>
#include <format>

namespace zsync::packet {
namespace {

/// In either order.
bool same_ports(const DesiredForward& one, const DesiredForward& other) {
    return one.ports == other.ports ||
           (one.ports[0] == other.ports[1] && one.ports[1] == other.ports[0]);
}

} // namespace

Task<Outcome<void>> Service::keep_forward(DesiredForward forward) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    std::vector<DesiredForward> kept = forwards_;
    std::erase_if(kept, [&](const DesiredForward& other) { return same_ports(other, forward); });
    for (const DesiredForward& other : kept) {
        for (const std::string& port : forward.ports) {
            if (std::ranges::contains(other.ports, port)) {
                co_return fail(
                    PacketError::already_attached,
                    std::format(
                        "{} forwards already, between {} and {}",
                        port,
                        other.ports[0],
                        other.ports[1]
                    )
                );
            }
        }
    }
    if (kept.size() == limits::forwards_max) {
        co_return fail(
            CoreError::limit_reached,
            std::format("{} pairs forward, which is the limit", limits::forwards_max)
        );
    }
    kept.push_back(std::move(forward));
    co_return co_await save_forwards(std::move(kept));
}

Task<Outcome<void>> Service::forget_forward(std::string first, std::string second) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    const DesiredForward forgotten{.ports = {std::move(first), std::move(second)}};
    std::vector<DesiredForward> kept = forwards_;
    if (std::erase_if(kept, [&](const DesiredForward& other) {
            return same_ports(other, forgotten);
        }) == 0) {
        co_return {};
    }
    co_return co_await save_forwards(std::move(kept));
}

/// On disk first.
Task<Outcome<void>> Service::save_forwards(std::vector<DesiredForward> forwards) {
    ZCO_CHECK(co_await io_.offload([this, &forwards] {
        return forwards.empty() ? store_.erase(forwards_document)
                                : store_.put(forwards_document, encode_forwards(forwards));
    }));
    forwards_ = std::move(forwards);
    co_return {};
}

Task<void> Service::rename_in_forwards(std::map<std::string, std::string> new_names) {
    std::vector<DesiredForward> kept;
    std::vector<DesiredForward> waiting;
    for (DesiredForward forward : forwards_) {
        bool is_renamed = false;
        for (std::string& port : forward.ports) {
            if (const auto found = new_names.find(port); found != new_names.end()) {
                port = found->second;
                is_renamed = true;
            }
        }
        (is_renamed ? kept : waiting).push_back(std::move(forward));
    }
    if (kept.empty()) {
        co_return;
    }
    // A pair that waited for a device of a new name would be a second one of the same interface.
    for (DesiredForward& forward : waiting) {
        const bool is_second = std::ranges::any_of(kept, [&forward](const DesiredForward& other) {
            return std::ranges::any_of(forward.ports, [&other](const std::string& port) {
                return std::ranges::contains(other.ports, port);
            });
        });
        if (!is_second) {
            kept.push_back(std::move(forward));
        }
    }
    forwards_ = kept;
    const CancelProtection protection;
    if (const auto saved = co_await save_forwards(std::move(kept)); !saved) {
        log::error(std::format(
            "packet: pairs of renamed interfaces would not forward after a restart: {}",
            saved.error().message()
        ));
    }
}

} // namespace zsync::packet
