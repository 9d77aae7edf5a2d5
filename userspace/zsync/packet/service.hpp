// Service: every filtered interface of this host, as coroutines.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/packet/managed_interface.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace zsync::packet {

/// An interface that the configuration wants attached.
struct ConfiguredInterface {
    std::string name;
    AttachMode mode = AttachMode::automatic;
    std::string rules_file; ///< empty: keep what was loaded
};

struct CheckReport {
    std::uint32_t rules = 0;
    std::uint64_t prefixes = 0;
};

/// Owns the filtered interfaces: takes commands, follows devices that come and go, and keeps a
/// snapshot of plain values for whoever shows it. Blocking work runs on offload threads; changes
/// are made one at a time, and counters of an interface can be read while another one changes.
///
/// A command that was begun is carried through even when its task is cancelled: cancelling never
/// leaves half of it.
class Service {
public:
    Service(Io io, store::Store& store, std::string bpf_dir)
        : io_(io), store_(store), bpf_dir_(std::move(bpf_dir)) {}

    /// Takes over what is attached and saved, and makes the host match. What cannot be used is told
    /// in the log and in the interfaces' states; only a store that cannot be read is an error.
    Task<Outcome<void>> start();
    /// Follows devices until cancelled.
    Task<Result<void>> follow_links();
    /// Steps adaptive limits while there are some, until cancelled.
    Task<Result<void>> follow_limits();
    /// Brings rules into force when what kept them from it is over, and attaches what could not be,
    /// until cancelled.
    Task<Result<void>> follow_hindrances();
    /// Takes temporary rules out when they expire, until cancelled.
    Task<Result<void>> follow_expiries();

    /// Attaches an interface with rules that pass everything. Attaching again in the same mode is
    /// no error and changes nothing.
    Task<Outcome<void>> attach(std::string name, AttachMode mode);
    Task<Outcome<void>> detach(std::string name);
    /// Loads a rule file's text; `source` names it in diagnostics (`PacketError::invalid_rules`).
    Task<Outcome<LoadReport>> load(std::string name, std::string text, std::string source);
    /// What `load` would say, without loading.
    Task<Outcome<CheckReport>> check(std::string text, std::string source);
    /// Changes one set of an interface's rules (`PacketError::no_such_set`).
    Task<Outcome<SetReport>> change_set(std::string name, SetChange change);
    /// The same from the text of a set file, which replaces what the set has.
    Task<Outcome<SetReport>>
    replace_set(std::string name, std::string set, std::string text, std::string source);
    /// Gives a rule that limits another rate; returns its new text (`PacketError::no_such_rule`).
    Task<Outcome<std::string>> change_limit(std::string name, std::string rule, std::string rate);
    /// Gives a class of the shape other rates; returns it as rules have it
    /// (`PacketError::no_such_class`).
    Task<Outcome<std::string>>
    change_class(std::string name, std::string class_name, std::string rates);
    /// Gives the shape as a whole another rate or horizon, likewise.
    Task<Outcome<std::string>> change_shape(std::string name, std::string rates);
    /// Puts one rule before the others for a time; kept over restarts. Returns when it expires, in
    /// microseconds since 1970.
    Task<Outcome<std::uint64_t>>
    add_rule(std::string name, std::string text, std::uint64_t duration_us);
    /// The same with many, in one step; fewer when the limit leaves no room for more. Returns how
    /// many there are of these.
    Task<Outcome<std::size_t>>
    add_rules(std::string name, std::vector<std::string> texts, std::uint64_t duration_us);
    /// Takes a temporary rule out again (`PacketError::no_such_rule`).
    Task<Outcome<void>> remove_rule(std::string name, std::string text);
    /// What the rules of a hook, by its `hook_name`, decide about the packet that `text` describes.
    Task<Outcome<Explanation>> explain(std::string name, std::string hook, std::string text);
    /// Has what passes on an interface go to AF_XDP sockets, or no more; with `on` the XSKMAP.
    Task<Outcome<Fd>> send_to_sockets(std::string name, bool on);
    /// Has packets of an interface counted into the flow table, or no more; with `on` its reader.
    Task<Outcome<std::optional<FlowReader>>>
    count_flows(std::string name, bool on, analysis::FlowOptions options = {});
    /// Pairs that are to forward, kept over restarts: who forwards them is told by `changes` when
    /// an interface of theirs has come back.
    [[nodiscard]] const std::vector<DesiredForward>& forwards() const noexcept { return forwards_; }
    /// Keeps a pair, in the place of the same pair if that is kept; `already_attached` when one of
    /// its interfaces belongs to another pair, `limit_reached` past `limits::forwards_max`.
    Task<Outcome<void>> keep_forward(DesiredForward forward);
    /// Keeps it no longer; no error when it was not kept.
    Task<Outcome<void>> forget_forward(std::string first, std::string second);
    Task<Outcome<InterfaceReading>> read(std::string name);
    /// Rules that limit, with at most so many keys of each.
    Task<Outcome<std::vector<LimitReading>>> read_limits(std::string name, std::uint32_t keys_max);
    /// The classes of what the interface sends; none without a shape.
    Task<Outcome<ShapeReading>> read_shape(std::string name);
    class Samples;
    /// What the rules of a hook, by its `hook_name`, sample: `PacketError::no_samples`, and
    /// `CoreError::limit_reached` while somebody else reads them.
    Task<Outcome<Samples>> read_samples(std::string name, std::string hook);
    /// Takes of them, by the rules of now and whatever the interface is called by now.
    Task<Outcome<std::size_t>>
    take_samples(Samples* samples, std::size_t packets_max, PacketSource::Visit visit);
    /// Brings configured interfaces up: attached, with the rules of their files. Every one is
    /// tried; the fault names all that failed.
    Task<Outcome<void>> configure(std::vector<ConfiguredInterface> configured);
    /// Compares everything with what should be, and mends it.
    Task<Outcome<void>> reconcile();

    /// By name.
    [[nodiscard]] std::map<std::string, InterfaceView> interfaces() const;
    /// Told after `interfaces` may have changed by itself, not by a command.
    [[nodiscard]] Notify& changes() noexcept { return changes_; }

private:
    struct Entry {
        Entry(store::Store& store, const std::string& bpf_dir, DesiredInterface desired)
            : managed(store, bpf_dir, std::move(desired)), view(managed.view()) {}

        Mutex mutex; ///< held around every use of `managed` off this thread
        ManagedInterface managed;
        InterfaceView view;
        bool removed = false;
        std::set<std::string> sampled; ///< hooks whose samples are being read
        bool cannot_adapt = false;     ///< its adaptive limits; it is said once
    };
    // Shared: a reader that waits for the entry's mutex keeps it alive past its removal.
    using EntryRef = std::shared_ptr<Entry>;

    [[nodiscard]] Outcome<EntryRef> find(const std::string& name) const;
    /// An entry that nothing changes while this is held.
    struct HeldEntry {
        EntryRef entry;
        Mutex::Lock lock;
    };
    /// To read its counters: first looks where a device is that had moved.
    Task<Outcome<HeldEntry>> hold_to_read(std::string name);
    Task<Outcome<void>> attach_locked(std::string name, AttachMode mode, Presence presence);
    Task<Outcome<LoadReport>>
    load_locked(std::string name, std::string text, std::string source, Absent absent);
    using ChangeSending = std::function<Outcome<std::string>(ManagedInterface&)>;
    Task<Outcome<std::string>> change_sending(std::string name, ChangeSending change);
    Task<Outcome<void>> configure_one(ConfiguredInterface configured);
    struct AddedRules {
        std::vector<std::string> texts;
        std::uint64_t expires_us = 0;
    };
    Task<Outcome<AddedRules>>
    put_rules(std::string name, std::vector<std::string> texts, std::uint64_t duration_us);
    Task<Outcome<void>> expire();
    /// Shows what became of the interface by a change.
    void refresh(Entry& entry);
    /// One step of every interface's adaptive limits; whether there are any.
    Task<Outcome<bool>> adapt_limits();
    /// Of the next temporary rule to expire; nothing without one.
    [[nodiscard]] std::optional<std::uint64_t> next_expiry_us() const;
    Task<Outcome<void>> save_forwards(std::vector<DesiredForward> forwards);
    /// Has entries whose devices are called otherwise go by these names, and their forwards as
    /// well; whether there were any. With `commands_` held.
    Task<Outcome<bool>> follow_names();
    Task<void> rename_in_forwards(std::map<std::string, std::string> new_names);

    Io io_;
    store::Store& store_;
    std::string bpf_dir_;
    Mutex commands_; ///< held around every change
    std::map<std::string, EntryRef> entries_;
    std::vector<DesiredForward> forwards_;
    Notify changes_;
    Notify adaptive_; ///< there may be adaptive limits
    Notify hindered_; ///< something may keep rules from being in force
    Notify expiries_; ///< the next expiry may be another one
};

/// The samples of a hook while somebody reads them, and nobody else can. Destroyed on the service's
/// thread.
class Service::Samples {
public:
    Samples() = default;
    Samples(Samples&& other) noexcept { *this = std::move(other); }
    Samples& operator=(Samples&& other) noexcept;
    ~Samples();

    /// Of samples that the service gave, until they are closed.
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): it has one until then
    [[nodiscard]] SampledHook& source() { return source_.value(); }
    /// Ends the reading where it may take long.
    void close() noexcept { source_.reset(); }

private:
    friend class Service;
    Samples(std::shared_ptr<Entry> entry, std::string hook);

    std::shared_ptr<Entry> entry_;
    std::string hook_;
    std::optional<SampledHook> source_;
};

} // namespace zsync::packet
