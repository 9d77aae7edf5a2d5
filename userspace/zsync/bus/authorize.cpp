#include <zsync/bus/authorize.hpp>
#include <zsync/bus/connection.hpp>

#include <format>
#include <map>
#include <tuple>
#include <unistd.h>

namespace zsync::bus {
namespace {

/// CheckAuthorizationFlags and the subject of org.freedesktop.PolicyKit1.Authority.
constexpr std::uint32_t allow_user_interaction = 1;
using Subject = std::tuple<std::string, std::map<std::string, Variant>>;

struct AuthorizationResult {
    bool is_authorized = false;
    bool is_challenge = false;
    std::map<std::string, std::string> details;
    static constexpr auto bus_fields = std::tuple{
        &AuthorizationResult::is_authorized,
        &AuthorizationResult::is_challenge,
        &AuthorizationResult::details,
    };
};

Target polkit(bool interactive) {
    return {
        .destination = "org.freedesktop.PolicyKit1",
        .path = "/org/freedesktop/PolicyKit1/Authority",
        .interface = "org.freedesktop.PolicyKit1.Authority",
        .timeout = interactive ? Duration(limits::interactive_authorization_timeout)
                               : Duration(limits::call_timeout),
    };
}

Fault denied(const std::string& action, std::string_view why) {
    return {BusError::access_denied, std::format("not allowed: {} ({})", why, action)};
}

} // namespace

Task<Outcome<void>> authorize(CallContext call, std::string action) {
    Connection& connection = call.connection();
    const auto user = co_await connection.user_of(call.sender());
    if (!user) {
        if (user.error().error.is_canceled()) {
            co_return fail(CoreError::canceled, "");
        }
        co_return std::unexpected(denied(action, "the bus does not say who asks"));
    }
    if (*user == 0 || *user == ::geteuid()) {
        co_return {};
    }
    static std::uint64_t questions = 0;
    const std::string cancellation = std::format("{}/{}", connection.unique_name(), ++questions);
    const Target authority = polkit(call.may_interact());
    const Subject subject{"system-bus-name", {{"name", Variant{Variant::Value(call.sender())}}}};
    const auto answer = co_await connection.call<std::tuple<AuthorizationResult>>(
        authority,
        "CheckAuthorization",
        subject,
        action,
        std::map<std::string, std::string>(),
        call.may_interact() ? allow_user_interaction : 0U,
        cancellation
    );
    if (answer && std::get<0>(*answer).is_authorized) {
        co_return {};
    }
    if (answer) {
        co_return std::unexpected(denied(
            action,
            std::get<0>(*answer).is_challenge
                ? "you must authenticate first; run it as root, or where a polkit agent can ask"
                : "polkit says no; run it as root"
        ));
    }
    const Error error = answer.error().error;
    if (error.is_canceled() || error == Error(CoreError::timed_out)) {
        connection.call_without_reply(authority, "CancelCheckAuthorization", cancellation);
    }
    if (error.is_canceled()) {
        co_return fail(CoreError::canceled, "");
    }
    if (error == Error(BusError::no_such_service)) {
        co_return std::unexpected(
            denied(action, "only root may do this here, because polkit is not running")
        );
    }
    co_return std::unexpected(
        denied(action, std::format("polkit gave no answer: {}", answer.error().message()))
    );
}

} // namespace zsync::bus
