#include <zsync/core/text.hpp>
#include <zsync/packet/attach_mode.hpp>

#include <net/if.h>

#include <algorithm>
#include <array>
#include <utility>

namespace zsync::packet {
namespace {

constexpr std::array<std::string_view, 3> names{"auto", "native", "generic"};

} // namespace

std::string_view name_of(AttachMode mode) noexcept { return names[std::to_underlying(mode)]; }

Outcome<AttachMode> attach_mode_from(std::string_view name) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
        return fail(
            CoreError::invalid_argument, in_quotes(name) + " is no mode: auto, native or generic"
        );
    }
    return static_cast<AttachMode>(found - names.begin());
}

bool is_interface_name(std::string_view name) noexcept {
    using namespace std::string_view_literals;
    return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
           name.find_first_of("/: \t\n\v\f\r\0"sv) == std::string_view::npos;
}

} // namespace zsync::packet
