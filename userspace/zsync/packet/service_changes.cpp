// Changes to a part of the rules in force, as Service makes them.
#include <zsync/core/log.hpp>
#include <zsync/packet/service.hpp>

#include <format>

namespace zsync::packet {

Task<Outcome<SetReport>> Service::change_set(std::string name, SetChange change) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    const std::string set = change.set;
    ZCO_TRY(SetReport report, co_await io_.offload([&managed = entry->managed, &change] {
        return managed.change_set(std::move(change));
    }));
    refresh(*entry);
    log::info(
        std::format(
            "packet: the set {} of {} has {} prefixes; {} added, {} removed",
            set,
            name,
            report.counts.size,
            report.counts.added,
            report.counts.removed
        ),
        {{.name = "ZSYNC_INTERFACE", .value = name}, {.name = "ZSYNC_SET", .value = set}}
    );
    co_return report;
}

Task<Outcome<SetReport>>
Service::replace_set(std::string name, std::string set, std::string text, std::string source) {
    SetChange change{.set = std::move(set), .add = {}, .remove = {}, .replace = true};
    ZCO_TRY(change.add, co_await io_.offload([&] { return parse_prefix_list(text, source); }));
    co_return co_await change_set(std::move(name), std::move(change));
}

Task<Outcome<std::string>>
Service::change_limit(std::string name, std::string rule, std::string rate) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    ZCO_TRY(std::string changed, co_await io_.offload([&] {
        return entry->managed.change_limit(rule, rate);
    }));
    refresh(*entry);
    log::info(
        std::format("packet: a limit of {} is by now: {}", name, changed),
        {{.name = "ZSYNC_INTERFACE", .value = name}, {.name = "ZSYNC_RULE", .value = changed}}
    );
    co_return changed;
}

Task<Outcome<std::string>>
Service::change_class(std::string name, std::string class_name, std::string rates) {
    return change_sending(
        std::move(name),
        [class_name = std::move(class_name), rates = std::move(rates)](ManagedInterface& managed) {
            return managed.change_class(class_name, rates);
        }
    );
}

Task<Outcome<std::string>> Service::change_shape(std::string name, std::string rates) {
    return change_sending(std::move(name), [rates = std::move(rates)](ManagedInterface& managed) {
        return managed.change_shape(rates);
    });
}

Task<Outcome<std::string>> Service::change_sending(std::string name, ChangeSending change) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    ZCO_TRY(std::string changed, co_await io_.offload([&] { return change(entry->managed); }));
    refresh(*entry);
    log::info(
        std::format("packet: {} sends by now: {}", name, changed),
        {{.name = "ZSYNC_INTERFACE", .value = name}}
    );
    co_return changed;
}

} // namespace zsync::packet
