#include <zsync/core/epoch_time.hpp>
#include <zsync/core/log.hpp>
#include <zsync/core/text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/link_monitor.hpp>
#include <zsync/packet/renames.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/service.hpp>
#include <zsync/store/store.hpp>

#include <algorithm>
#include <chrono>
#include <format>
#include <iterator>
#include <set>

namespace zsync::packet {
namespace {

Outcome<RuleSet> parse(std::string_view text, std::string_view source) {
    auto rules = parse_rules(text, source, &read_regular_file);
    if (!rules) {
        return fail(PacketError::invalid_rules, join_messages(rules.error()));
    }
    return *std::move(rules);
}

/// What an earlier run left: wishes on disk, filters in the kernel.
struct Found {
    std::vector<DesiredInterface> desired;
    std::vector<DesiredForward> forwards;
    std::vector<std::string> pinned;
    std::vector<Fault> damaged;
};

/// Detaches what is pinned beside filters of interfaces that are no more wanted: a crash in the
/// middle of a detach left it.
void remove_strays(const Found& found, const std::string& bpf_dir) {
    for (const PinnedHook& pinned : Filter::list_pinned_hooks(bpf_dir)) {
        if (std::ranges::contains(found.desired, pinned.ifname, &DesiredInterface::name) ||
            std::ranges::contains(found.pinned, pinned.ifname)) {
            continue;
        }
        FilterOptions options{.ifname = pinned.ifname, .bpf_dir = bpf_dir};
        options.hook = pinned.hook;
        options.cgroup_id = pinned.cgroup_id;
        if (auto stray = Filter::adopt(options)) {
            if (const Outcome<void> detached = stray->detach(); !detached) {
                log::error("packet: " + detached.error().message());
            }
        }
    }
}

Outcome<Found> find_all(store::Store& store, const std::string& bpf_dir) {
    store::Contents contents = ZTRY(store.read_all());
    Found found;
    found.pinned = Filter::list_pinned(bpf_dir);
    found.damaged = std::move(contents.damaged);
    for (const store::Document& document : contents.documents) {
        if (document.name == forwards_document) {
            if (auto forwards = decode_forwards(document.content)) {
                found.forwards = *std::move(forwards);
            } else {
                found.damaged.push_back(store.set_aside(document.name, forwards.error().message()));
            }
            continue;
        }
        auto desired = decode(document.content);
        if (desired) {
            found.desired.push_back(*std::move(desired));
        } else {
            found.damaged.push_back(store.set_aside(document.name, desired.error().message()));
        }
    }
    remove_strays(found, bpf_dir);
    return found;
}

bool is_failed(const InterfaceView& view) { return view.state == InterfaceState::failed; }

/// Whether its rules hang on what nobody tells changes of.
bool is_looked_after(const InterfaceView& view) { return view.waits || view.challenges; }

void log_state(const InterfaceView& view) {
    const log::Level level = is_failed(view) || view.waits ? log::Level::warning : log::Level::info;
    log::write(
        level,
        std::format(
            "packet: {} is {}{}{}",
            view.name,
            name_of(view.state),
            view.reason.empty() ? "" : ": ",
            view.reason
        ),
        {{.name = "ZSYNC_INTERFACE", .value = view.name},
         {.name = "ZSYNC_STATE", .value = std::string(name_of(view.state))}}
    );
}

} // namespace

Outcome<Service::EntryRef> Service::find(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
        return fail(
            PacketError::not_attached,
            std::format("{} is not attached: zsyncctl packet attach {}", name, name)
        );
    }
    return found->second;
}

std::map<std::string, InterfaceView> Service::interfaces() const {
    std::map<std::string, InterfaceView> views;
    for (const auto& [name, entry] : entries_) {
        views.emplace(name, entry->view);
    }
    return views;
}

Task<Outcome<bool>> Service::follow_names() {
    std::vector<EntryRef> entries;
    std::vector<Mutex::Lock> locks;
    for (const auto& [name, entry] : std::map(entries_)) {
        ZCO_TRY(Mutex::Lock lock, co_await entry->mutex.lock());
        locks.push_back(std::move(lock));
        entries.push_back(entry);
    }
    std::vector<ManagedInterface*> interfaces;
    std::ranges::transform(entries, std::back_inserter(interfaces), [](const EntryRef& entry) {
        return &entry->managed;
    });
    ZCO_TRY(const std::vector<RenamedInterface> renamed, co_await io_.offload([&interfaces] {
        return Outcome<std::vector<RenamedInterface>>(packet::follow_renames(interfaces));
    }));
    std::map<std::string, std::string> new_names;
    for (const RenamedInterface& one : renamed) {
        const std::string& name = one.interface->desired().name;
        new_names.emplace(one.old_name, name);
        log::notice(
            std::format("packet: {} was renamed to {}", one.old_name, name),
            {{.name = "ZSYNC_INTERFACE", .value = name},
             {.name = "ZSYNC_OLD_NAME", .value = one.old_name}}
        );
    }
    // All at once: names that were exchanged are free only then.
    std::vector<EntryRef> moving;
    for (const auto& [old_name, name] : new_names) {
        const auto found = entries_.find(old_name);
        refresh(*found->second);
        moving.push_back(found->second);
        entries_.erase(found);
    }
    for (const EntryRef& entry : moving) {
        if (const auto other = entries_.find(entry->view.name); other != entries_.end()) {
            // It waited for a device of this name; that device is filtered by now, with its own
            // rules.
            other->second->removed = true;
        }
        entries_.insert_or_assign(entry->view.name, entry);
    }
    if (!new_names.empty()) {
        co_await rename_in_forwards(std::move(new_names));
    }
    co_return !renamed.empty();
}

Task<Outcome<void>> Service::start() {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(Found found, co_await io_.offload([this] { return find_all(store_, bpf_dir_); }));
    for (const Fault& damaged : found.damaged) {
        log::error("packet: " + damaged.message());
    }
    forwards_ = std::move(found.forwards);
    std::set<std::string> known;
    for (DesiredInterface& desired : found.desired) {
        known.insert(desired.name);
        auto entry = std::make_shared<Entry>(store_, bpf_dir_, desired);
        entries_.emplace(desired.name, std::move(entry));
    }
    for (const std::string& name : found.pinned) {
        if (!known.contains(name)) {
            DesiredInterface unknown;
            unknown.name = name;
            entries_.emplace(name, std::make_shared<Entry>(store_, bpf_dir_, std::move(unknown)));
        }
    }
    for (const auto& [name, entry] : entries_) {
        const bool rules_known = known.contains(name);
        ZCO_CHECK(co_await io_.offload([&managed = entry->managed, rules_known] {
            managed.adopt(rules_known);
        }));
        refresh(*entry);
    }
    ZCO_CHECK(co_await follow_names());
    for (const auto& [name, entry] : entries_) {
        ZCO_CHECK(co_await io_.offload([&managed = entry->managed] { managed.reconcile(); }));
        refresh(*entry);
        log_state(entry->view);
    }
    co_return {};
}

Task<Result<void>> Service::follow_links() {
    auto monitor = LinkMonitor::open();
    if (!monitor) {
        log::error("packet: " + monitor.error().message());
        co_return fail(monitor.error().error);
    }
    // What changed before the monitor listened.
    for (;;) {
        if (const Outcome<void> reconciled = co_await reconcile(); !reconciled) {
            co_return fail(reconciled.error().error);
        }
        ZCO_CHECK(co_await monitor->changed(io_));
    }
}

Task<Outcome<void>> Service::reconcile() {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(bool changed, co_await follow_names());
    for (const auto& [name, entry] : std::map(entries_)) {
        ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
        ZCO_CHECK(co_await io_.offload([&managed = entry->managed] { managed.reconcile(); }));
        const InterfaceView before = entry->view;
        refresh(*entry);
        if (entry->view != before) {
            log_state(entry->view);
            changed = true;
        }
    }
    if (changed) {
        changes_.notify();
    }
    co_return {};
}

Task<Outcome<void>> Service::attach(std::string name, AttachMode mode) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    co_return co_await attach_locked(std::move(name), mode, Presence::required);
}

Task<Outcome<void>> Service::attach_locked(std::string name, AttachMode mode, Presence presence) {
    if (const auto found = entries_.find(name); found != entries_.end()) {
        const InterfaceView& view = found->second->view;
        if (view.requested_mode == mode && view.state == InterfaceState::attached) {
            co_return {};
        }
        co_return fail(
            PacketError::already_attached,
            std::format(
                "{} is {} already with mode {}{}{}: detach it first",
                name,
                name_of(view.state),
                name_of(view.requested_mode),
                view.reason.empty() ? "" : "; ",
                view.reason
            )
        );
    }
    if (!is_interface_name(name)) {
        co_return fail(
            PacketError::no_such_interface, in_quotes(name) + " cannot be an interface's name"
        );
    }
    if (entries_.size() >= limits::interfaces_max) {
        co_return fail(
            CoreError::limit_reached,
            std::format("{} interfaces are attached, which is the limit", limits::interfaces_max)
        );
    }
    DesiredInterface desired;
    desired.name = name;
    desired.mode = mode;
    auto entry = std::make_shared<Entry>(store_, bpf_dir_, std::move(desired));
    ZCO_CHECK(co_await io_.offload([&managed = entry->managed, presence] {
        return managed.attach(presence);
    }));
    refresh(*entry);
    log_state(entry->view);
    entries_.emplace(std::move(name), std::move(entry));
    co_return {};
}

Task<Outcome<void>> Service::detach(std::string name) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    ZCO_CHECK(co_await io_.offload([&managed = entry->managed] { return managed.detach(); }));
    entry->removed = true;
    entries_.erase(name);
    log::info("packet: " + name + " is detached", {{.name = "ZSYNC_INTERFACE", .value = name}});
    co_return {};
}

Task<Outcome<Fd>> Service::send_to_sockets(std::string name, bool on) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    Outcome<Fd> map = co_await io_.offload([&managed = entry->managed, on] {
        return managed.send_to_sockets(on);
    });
    refresh(*entry);
    co_return map;
}

Task<Outcome<std::optional<FlowReader>>>
Service::count_flows(std::string name, bool on, analysis::FlowOptions options) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    Outcome<std::optional<FlowReader>> reader =
        co_await io_.offload([&managed = entry->managed, on, &options] {
            return managed.count_flows(on, options);
        });
    refresh(*entry);
    co_return reader;
}

Task<Outcome<LoadReport>> Service::load(std::string name, std::string text, std::string source) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    co_return co_await load_locked(
        std::move(name), std::move(text), std::move(source), Absent::refused
    );
}

Task<Outcome<LoadReport>>
Service::load_locked(std::string name, std::string text, std::string source, Absent absent) {
    ZCO_TRY(const EntryRef entry, find(name));
    // Parsed before the entry is taken, so that its counters can be read meanwhile.
    ZCO_TRY(const RuleSet rules, co_await io_.offload([&] { return parse(text, source); }));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    ZCO_TRY(LoadReport report, co_await io_.offload([&] {
        return entry->managed.load(rules, source, absent);
    }));
    refresh(*entry);
    log::info(
        std::format(
            "packet: {} has {} rules and {} prefixes of {}{}{}",
            name,
            report.rules,
            report.prefixes,
            source,
            report.note.empty() ? "" : "; ",
            report.note
        ),
        {{.name = "ZSYNC_INTERFACE", .value = name},
         {.name = "ZSYNC_RULES", .value = std::to_string(report.rules)}}
    );
    co_return report;
}

Task<Outcome<CheckReport>> Service::check(std::string text, std::string source) {
    ZCO_TRY(const RuleSet rules, co_await io_.offload([&] { return parse(text, source); }));
    CheckReport report{.rules = static_cast<std::uint32_t>(rules.rules.size())};
    for (const AddressSet& set : rules.address_sets) {
        report.prefixes += set.size();
    }
    co_return report;
}

Task<Outcome<std::uint64_t>>
Service::add_rule(std::string name, std::string text, std::uint64_t duration_us) {
    std::vector<std::string> texts{std::move(text)};
    ZCO_TRY(const AddedRules added, co_await put_rules(std::move(name), texts, duration_us));
    co_return added.expires_us;
}

Task<Outcome<std::size_t>>
Service::add_rules(std::string name, std::vector<std::string> texts, std::uint64_t duration_us) {
    ZCO_TRY(
        const AddedRules added, co_await put_rules(std::move(name), std::move(texts), duration_us)
    );
    co_return added.texts.size();
}

Task<Outcome<Service::AddedRules>>
Service::put_rules(std::string name, std::vector<std::string> texts, std::uint64_t duration_us) {
    constexpr std::uint64_t usec_a_second = 1'000'000;
    if (duration_us == 0 || duration_us > limits::temporary_seconds_max * usec_a_second) {
        co_return fail(
            CoreError::invalid_argument,
            std::format(
                "a temporary rule stays from 1 microsecond to {} seconds",
                limits::temporary_seconds_max
            )
        );
    }
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    AddedRules added{
        .texts = {}, .expires_us = epoch_time<std::chrono::microseconds>() + duration_us
    };
    ZCO_TRY(added.texts, co_await io_.offload([&] {
        return entry->managed.add_rules(texts, added.expires_us);
    }));
    refresh(*entry);
    expiries_.notify();
    for (const std::string& text : added.texts) {
        log::info(
            std::format(
                "packet: {} has a rule for {} s: {}", name, duration_us / usec_a_second, text
            ),
            {{.name = "ZSYNC_INTERFACE", .value = name}, {.name = "ZSYNC_RULE", .value = text}}
        );
    }
    co_return added;
}

Task<Outcome<void>> Service::remove_rule(std::string name, std::string text) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    ZCO_TRY(const EntryRef entry, find(name));
    ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
    ZCO_TRY(const std::string removed, co_await io_.offload([&] {
        return entry->managed.remove_rule(text);
    }));
    refresh(*entry);
    log::info(
        std::format("packet: {} lost a temporary rule: {}", name, removed),
        {{.name = "ZSYNC_INTERFACE", .value = name}, {.name = "ZSYNC_RULE", .value = removed}}
    );
    co_return {};
}

std::optional<std::uint64_t> Service::next_expiry_us() const {
    std::optional<std::uint64_t> next;
    for (const auto& [name, entry] : entries_) {
        for (const TemporaryRule& rule : entry->view.temporary) {
            next = std::min(next.value_or(rule.expires_realtime_us), rule.expires_realtime_us);
        }
    }
    return next;
}

Task<Outcome<void>> Service::expire() {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    for (const auto& [name, entry] : std::map(entries_)) {
        ZCO_TRY(const Mutex::Lock entry_lock, co_await entry->mutex.lock());
        const auto expired = co_await io_.offload([&managed = entry->managed] {
            return managed.expire(epoch_time<std::chrono::microseconds>());
        });
        if (!expired) {
            log::error(std::format(
                "packet: {}: an expired rule could not be taken out: {}",
                name,
                expired.error().message()
            ));
            continue;
        }
        if (*expired) {
            refresh(*entry);
            log::info(
                std::format("packet: {}: a temporary rule expired", name),
                {{.name = "ZSYNC_INTERFACE", .value = name}}
            );
            changes_.notify();
        }
    }
    co_return {};
}

void Service::refresh(Entry& entry) {
    const InterfaceView before = std::exchange(entry.view, entry.managed.view());
    if (entry.view.adapts) {
        adaptive_.notify();
    }
    if (entry.view != before && (is_looked_after(entry.view) || is_failed(entry.view))) {
        hindered_.notify();
    }
}

Task<Outcome<bool>> Service::adapt_limits() {
    bool any = false;
    for (const auto& [name, entry] : std::map(entries_)) {
        if (!entry->view.adapts) {
            continue;
        }
        any = true;
        ZCO_TRY(const Mutex::Lock lock, co_await entry->mutex.lock());
        const Outcome<void> done =
            co_await io_.offload([&managed = entry->managed] { return managed.adapt_limits(); });
        if (!done && done.error().error.is_canceled()) {
            co_return std::unexpected(done.error());
        }
        if (!done && !entry->cannot_adapt) {
            log::error(
                std::format("packet: limits of {} do not adapt: {}", name, done.error().message()),
                {{.name = "ZSYNC_INTERFACE", .value = name}}
            );
        }
        entry->cannot_adapt = !done;
    }
    co_return any;
}

Task<Result<void>> Service::follow_limits() {
    constexpr Duration interval = std::chrono::milliseconds(limits::limit_adapt_interval_ms);
    for (;;) {
        const Outcome<bool> any = co_await adapt_limits();
        if (!any) {
            co_return fail(any.error().error);
        }
        if (*any) {
            ZCO_CHECK(co_await io_.sleep_for(interval));
        } else {
            ZCO_CHECK(co_await adaptive_.wait());
        }
    }
}

// An interface that comes is told of; a cgroup, a setting or a mount is not.
Task<Result<void>> Service::follow_hindrances() {
    constexpr Duration interval = std::chrono::milliseconds(limits::hindrances_interval_ms);
    constexpr Duration failed_interval = std::chrono::milliseconds(limits::failed_interval_ms);
    const auto any = [this](auto is) {
        return std::ranges::any_of(entries_, [&](const auto& entry) {
            return is(entry.second->view);
        });
    };
    for (;;) {
        if (any(is_looked_after)) {
            ZCO_CHECK(co_await io_.sleep_for(interval));
        } else if (any(is_failed)) {
            const Result<void> woken =
                co_await hindered_.wait().until(Clock::now() + failed_interval);
            if (!woken && woken.error() != Error(CoreError::timed_out)) {
                co_return woken;
            }
        } else {
            ZCO_CHECK(co_await hindered_.wait());
            continue;
        }
        if (const Outcome<void> done = co_await reconcile(); !done) {
            co_return fail(done.error().error);
        }
    }
}

// The clock of expiries may be set while this waits, so no wait is longer than a minute.
Task<Result<void>> Service::follow_expiries() {
    constexpr Duration patience = std::chrono::minutes(1);
    constexpr Duration pause = std::chrono::seconds(1);
    for (;;) {
        const std::optional<std::uint64_t> next = next_expiry_us();
        const std::uint64_t now = epoch_time<std::chrono::microseconds>();
        if (!next) {
            ZCO_CHECK(co_await expiries_.wait());
            continue;
        }
        if (*next > now) {
            const Duration left =
                std::min(patience, Duration(std::chrono::microseconds(*next - now)));
            const Result<void> woken = co_await expiries_.wait().until(Clock::now() + left);
            if (!woken && woken.error() != Error(CoreError::timed_out)) {
                co_return woken;
            }
            continue;
        }
        if (const Outcome<void> done = co_await expire(); !done) {
            co_return fail(done.error().error);
        }
        if (next_expiry_us().value_or(now + 1) <= now) {
            ZCO_CHECK(co_await io_.sleep_for(pause)); // it could not be taken out: again later
        }
    }
}

Task<Outcome<Explanation>> Service::explain(std::string name, std::string hook, std::string text) {
    ZCO_TRY(const MadePacket packet, parse_made_packet(text));
    ZCO_TRY(const HeldEntry held, co_await hold_to_read(name));
    co_return co_await io_.offload([&managed = held.entry->managed, &hook, &packet] {
        return managed.explain(hook, packet);
    });
}

Task<Outcome<Service::HeldEntry>> Service::hold_to_read(std::string name) {
    ZCO_TRY(EntryRef entry, find(name));
    if (entry->view.state == InterfaceState::moved) {
        // The kernel tells only those in the other namespace when the device is deleted there.
        ZCO_CHECK(co_await reconcile());
        ZCO_TRY(entry, find(name));
    }
    ZCO_TRY(Mutex::Lock lock, co_await entry->mutex.lock());
    if (entry->removed) {
        co_return fail(PacketError::not_attached, name + " was detached just then");
    }
    co_return HeldEntry{.entry = std::move(entry), .lock = std::move(lock)};
}

Task<Outcome<InterfaceReading>> Service::read(std::string name) {
    ZCO_TRY(const HeldEntry held, co_await hold_to_read(name));
    co_return co_await io_.offload([&managed = held.entry->managed] { return managed.read(); });
}

Task<Outcome<std::vector<LimitReading>>>
Service::read_limits(std::string name, std::uint32_t keys_max) {
    ZCO_TRY(const HeldEntry held, co_await hold_to_read(name));
    co_return co_await io_.offload([&managed = held.entry->managed, keys_max] {
        return managed.read_limits(keys_max);
    });
}

Task<Outcome<Service::Samples>> Service::read_samples(std::string name, std::string hook) {
    ZCO_TRY(HeldEntry held, co_await hold_to_read(name));
    const auto [place, is_new] = held.entry->sampled.insert(hook);
    if (!is_new) {
        co_return fail(
            CoreError::limit_reached,
            std::format(
                "what rules of {} sample at '{}' is being captured already; wait until that ends",
                name,
                printable(hook)
            )
        );
    }
    Samples samples(held.entry, *place);
    ZCO_TRY(samples.source_, co_await io_.offload([&managed = held.entry->managed, &hook] {
        return managed.read_samples(hook);
    }));
    co_return samples;
}

Task<Outcome<std::size_t>>
Service::take_samples(Samples* samples, std::size_t packets_max, PacketSource::Visit visit) {
    // Nothing is loaded meanwhile: the rules are known of every packet that waits.
    Entry& entry = *samples->entry_;
    ZCO_TRY(const Mutex::Lock lock, co_await entry.mutex.lock());
    if (entry.removed) {
        co_return fail(PacketError::not_attached, entry.view.name + " was detached");
    }
    co_return co_await io_.offload([&] {
        return entry.managed.take_samples(samples->hook_, samples->source(), packets_max, visit);
    });
}

Service::Samples::Samples(std::shared_ptr<Entry> entry, std::string hook)
    : entry_(std::move(entry)), hook_(std::move(hook)) {}

Service::Samples& Service::Samples::operator=(Samples&& other) noexcept {
    std::swap(entry_, other.entry_);
    std::swap(hook_, other.hook_);
    std::swap(source_, other.source_);
    return *this;
}

Service::Samples::~Samples() {
    if (entry_) {
        entry_->sampled.erase(hook_);
    }
}

Task<Outcome<ShapeReading>> Service::read_shape(std::string name) {
    ZCO_TRY(const HeldEntry held, co_await hold_to_read(name));
    co_return co_await io_.offload([&managed = held.entry->managed] { return managed.read_shape(); }
    );
}

Task<Outcome<void>> Service::configure(std::vector<ConfiguredInterface> configured) {
    std::string failures;
    for (const ConfiguredInterface& interface : configured) {
        const Outcome<void> done = co_await configure_one(interface);
        if (!done && done.error().error.is_canceled()) {
            co_return done;
        }
        if (!done) {
            failures += failures.empty() ? "" : "\n";
            failures += interface.name + ": " + done.error().message();
        }
    }
    if (!failures.empty()) {
        co_return fail(PacketError::not_attached, std::move(failures));
    }
    co_return {};
}

Task<Outcome<void>> Service::configure_one(ConfiguredInterface configured) {
    ZCO_TRY(const Mutex::Lock lock, co_await commands_.lock());
    const std::string& name = configured.name;
    if (!entries_.contains(name)) {
        ZCO_CHECK(co_await attach_locked(name, configured.mode, Presence::optional));
    }
    if (configured.rules_file.empty()) {
        co_return {};
    }
    const std::string& file = configured.rules_file;
    ZCO_TRY(std::string text, co_await io_.offload([&file] { return read_regular_file(file); }));
    ZCO_CHECK(co_await load_locked(name, std::move(text), file, Absent::awaited));
    co_return {};
}

} // namespace zsync::packet
