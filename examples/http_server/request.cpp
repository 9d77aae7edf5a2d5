#include "request.hpp"

#include <algorithm>
#include <charconv>
#include <ranges>

namespace {

constexpr std::string_view line_end = "\r\n";

std::string_view take_line(std::string_view& rest) {
    const std::size_t end = rest.find(line_end);
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(rest.size(), line.size() + line_end.size()));
    return line;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

std::optional<std::string> decode(std::string_view target) {
    std::string decoded;
    for (std::size_t at = 0; at < target.size(); ++at) {
        if (target[at] != '%') {
            decoded += target[at];
            continue;
        }
        unsigned value = 0;
        const char* digits = target.data() + at + 1;
        if (at + 2 >= target.size() ||
            std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2 || value == 0) {
            return std::nullopt;
        }
        decoded += static_cast<char>(value);
        at += 2;
    }
    return decoded;
}

/// A target may name the host once more: `http://host/path` (RFC 9112, 3.2.2).
std::string_view without_host(std::string_view target) {
    constexpr std::string_view scheme = "http://";
    if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) {
        return target;
    }
    const std::size_t path = target.find('/', scheme.size());
    return path != std::string_view::npos ? target.substr(path) : "/";
}

/// No way out of the served folder, and no hidden file.
bool stays_inside(std::string_view path) {
    return std::ranges::none_of(path | std::views::split('/'), [](auto&& part) {
        return std::string_view(part).starts_with('.');
    });
}

} // namespace

std::optional<std::size_t> end_of_head(std::string_view received) noexcept {
    constexpr std::string_view empty_line = "\r\n\r\n";
    const std::size_t at = received.find(empty_line);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    return at + empty_line.size();
}

std::optional<Request> parse_request(std::string_view head, Refusal& refusal) {
    refusal = bad_request;
    const std::string_view line = take_line(head);
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) {
        return std::nullopt;
    }
    const std::string_view method = line.substr(0, first);
    std::string_view target = without_host(line.substr(first + 1, last - first - 1));
    const std::string_view version = line.substr(last + 1);
    if (!version.starts_with("HTTP/1.") || !target.starts_with('/')) {
        return std::nullopt;
    }
    Request request{.head_only = method == "HEAD", .keep_alive = version != "HTTP/1.0", .path = {}};
    if (method != "GET" && method != "HEAD") {
        refusal = method_not_allowed;
        return std::nullopt;
    }
    int hosts = 0;
    while (!head.empty() && !head.starts_with(line_end)) {
        const std::string_view field = take_line(head);
        const std::size_t colon = field.find(':');
        if (colon == std::string_view::npos || colon == 0) {
            return std::nullopt;
        }
        const std::string_view name = field.substr(0, colon);
        std::string_view value = field.substr(colon + 1);
        value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
        if (equal_ignoring_case(name, "connection")) {
            if (equal_ignoring_case(value, "close")) {
                request.keep_alive = false;
            } else if (equal_ignoring_case(value, "keep-alive")) {
                request.keep_alive = true;
            }
        } else if (equal_ignoring_case(name, "host")) {
            ++hosts;
        } else if (equal_ignoring_case(name, "transfer-encoding") ||
                   (equal_ignoring_case(name, "content-length") && value != "0")) {
            // A GET's body has no meaning; taken for the next request it would be an attack.
            return std::nullopt;
        }
    }
    if (hosts > 1 || (hosts == 0 && version != "HTTP/1.0")) {
        return std::nullopt; // RFC 9112, 3.2
    }
    target = target.substr(0, target.find('?'));
    const std::optional<std::string> path = decode(target);
    if (!path) {
        return std::nullopt;
    }
    if (!stays_inside(*path)) {
        refusal = not_found;
        return std::nullopt;
    }
    request.path = path->substr(std::min(path->find_first_not_of('/'), path->size()));
    if (request.path.empty() || request.path.ends_with('/')) {
        request.path += "index.html";
    }
    return request;
}
