#include <zsync/packet/renames.hpp>

#include <algorithm>
#include <format>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace zsync::packet {
namespace {

class Renames {
public:
    explicit Renames(std::span<ManagedInterface* const> interfaces) : interfaces_(interfaces) {
        for (ManagedInterface* interface : interfaces) {
            holders_.emplace(interface->desired().name, interface);
        }
    }

    std::vector<RenamedInterface> follow() {
        for (std::vector<Wish> wishes = wanted(); !wishes.empty(); wishes = wanted()) {
            step(wishes);
        }
        std::erase_if(done_, [](const RenamedInterface& renamed) {
            return renamed.interface->desired().name == renamed.old_name;
        });
        return std::move(done_);
    }

private:
    struct Wish {
        ManagedInterface* interface;
        std::string name;
    };

    [[nodiscard]] std::vector<Wish> wanted() const {
        std::vector<Wish> wishes;
        for (ManagedInterface* interface : interfaces_) {
            if (hopeless_.contains(interface)) {
                continue;
            }
            if (std::optional<std::string> name = interface->new_name()) {
                wishes.push_back({interface, *std::move(name)});
            }
        }
        return wishes;
    }

    /// Who has the name, with a filter that the name's new owner must not take over.
    [[nodiscard]] ManagedInterface* filtered_holder(const std::string& name) const {
        const auto found = holders_.find(name);
        return found != holders_.end() && found->second->is_filtered() ? found->second : nullptr;
    }

    void step(const std::vector<Wish>& wishes) {
        const auto free = std::ranges::find_if(wishes, [this](const Wish& wish) {
            return filtered_holder(wish.name) == nullptr;
        });
        if (free != wishes.end()) {
            rename(*free->interface, free->name);
            return;
        }
        // Each waits for another one.
        const Wish& first = wishes.front();
        ManagedInterface* const holder = filtered_holder(first.name);
        if (std::ranges::contains(wishes, holder, &Wish::interface)) {
            rename(*first.interface, aside(*first.interface));
        } else if (looked_after_.insert(holder).second) {
            holder->reconcile(); // its device is gone, or in another namespace
        } else {
            hopeless_.insert(first.interface);
        }
    }

    /// A name for the time until its own is free. If a crash comes in between, it is found under
    /// this one, and is renamed then.
    static std::string aside(const ManagedInterface& interface) {
        return std::format("zs~{}", interface.view().ifindex);
    }

    void rename(ManagedInterface& interface, const std::string& name) {
        const std::string old_name = interface.desired().name;
        const auto holder = holders_.find(name);
        const bool is_free = holder == holders_.end() || holder->second->yield_name();
        if (!is_free || !interface.rename(name)) {
            hopeless_.insert(&interface);
            return;
        }
        holders_.erase(old_name);
        holders_.insert_or_assign(name, &interface);
        if (!std::ranges::contains(done_, &interface, &RenamedInterface::interface)) {
            done_.push_back({&interface, old_name});
        }
    }

    std::span<ManagedInterface* const> interfaces_;
    std::map<std::string, ManagedInterface*> holders_;
    std::set<ManagedInterface*> hopeless_; ///< it says why
    std::set<ManagedInterface*> looked_after_;
    std::vector<RenamedInterface> done_;
};

} // namespace

std::vector<RenamedInterface> follow_renames(std::span<ManagedInterface* const> interfaces) {
    return Renames(interfaces).follow();
}

} // namespace zsync::packet
