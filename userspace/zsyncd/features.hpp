// Features: what this host can do, and why not what it cannot.
#pragma once

#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace zsync::zsyncd {

struct Feature {
    std::string name; ///< `SUBSYSTEM.WHAT`
    bool available = false;
    std::string detail; ///< what it is used for, or why it is missing

    static constexpr auto bus_fields =
        std::tuple{&Feature::name, &Feature::available, &Feature::detail};
};

/// Asks every subsystem, each time anew: features come and go with devices and modules.
class Features {
public:
    using Provider = std::function<std::vector<Feature>()>;

    /// `provider` must answer without blocking.
    void add(Provider provider) { providers_.push_back(std::move(provider)); }
    [[nodiscard]] std::vector<Feature> collect() const {
        std::vector<Feature> all;
        for (const Provider& provider : providers_) {
            std::vector<Feature> some = provider();
            all.insert(all.end(), std::move_iterator(some.begin()), std::move_iterator(some.end()));
        }
        return all;
    }

private:
    std::vector<Provider> providers_;
};

} // namespace zsync::zsyncd
