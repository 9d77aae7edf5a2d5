// What a refused file says after its errors.
#include <format>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {

Refusal with_summary(Refusal refusal, std::string_view what, std::string_view stays) {
    std::string& text = refusal.message;
    std::uint64_t errors = 0;
    for (std::size_t at = 0; (at = text.find(": error: ", at)) != std::string::npos; ++at) {
        ++errors;
    }
    text += std::format(
        "{}{}: {}{}{}",
        text.ends_with('\n') ? "" : "\n",
        what,
        errors == 0 ? "errors" : counted(errors, "error"),
        stays.empty() ? "" : "; ",
        stays
    );
    return refusal;
}

} // namespace zsyncctl
