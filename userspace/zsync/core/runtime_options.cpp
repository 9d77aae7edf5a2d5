#include <zsync/core/runtime_options.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <format>
#include <utility>

namespace zsync {
namespace {

struct Name {
    KernelFeature feature;
    std::string_view name;
};
constexpr std::array names{
    Name{.feature = KernelFeature::buffer_ring, .name = "buffer_ring"},
    Name{.feature = KernelFeature::multishot_recv, .name = "multishot_recv"},
    Name{.feature = KernelFeature::multishot_accept, .name = "multishot_accept"},
    Name{.feature = KernelFeature::registered_ring, .name = "registered_ring"},
    Name{.feature = KernelFeature::send_zc, .name = "send_zc"},
    Name{.feature = KernelFeature::epoll_pwait2, .name = "epoll_pwait2"},
    Name{.feature = KernelFeature::rwf_nowait, .name = "rwf_nowait"},
};

std::string known_names() {
    std::string list;
    for (const Name& name : names) {
        list += (list.empty() ? "" : ", ") + std::string(name.name);
    }
    return list;
}

} // namespace

Outcome<RuntimeOptions> RuntimeOptions::parse(const char* io, const char* without) {
    RuntimeOptions options;
    if (const std::string_view word = io != nullptr ? io : ""; word == "io_uring") {
        options.queue = Queue::ring;
    } else if (word == "epoll") {
        options.queue = Queue::epoll;
    } else if (!word.empty()) {
        return fail(
            CoreError::invalid_argument,
            std::format("ZSYNC_IO is \"{}\": it may be io_uring or epoll", word)
        );
    }
    std::string_view rest = without != nullptr ? without : "";
    while (!rest.empty()) {
        const std::string_view word = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
        const auto found = std::ranges::find(names, word, &Name::name);
        if (found == names.end()) {
            return fail(
                CoreError::invalid_argument,
                std::format("ZSYNC_WITHOUT has \"{}\": it may list {}", word, known_names())
            );
        }
        options.off |= 1U << std::to_underlying(found->feature);
    }
    return options;
}

Outcome<RuntimeOptions> RuntimeOptions::from_environment() {
    return parse(::secure_getenv("ZSYNC_IO"), ::secure_getenv("ZSYNC_WITHOUT"));
}

} // namespace zsync
