// An HTTP/1.1 request's head, as far as a file server needs it (RFC 9112).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

struct Request {
    bool head_only = false; ///< HEAD instead of GET
    bool keep_alive = true; ///< the connection stays for another request
    std::string path;       ///< below the served folder, without a leading '/'; decoded
};

/// What to answer instead of a file.
struct Refusal {
    int status;
    std::string_view reason;
};
constexpr Refusal bad_request{.status = 400, .reason = "Bad Request"};
constexpr Refusal not_found{.status = 404, .reason = "Not Found"};
constexpr Refusal method_not_allowed{.status = 405, .reason = "Method Not Allowed"};
constexpr Refusal head_too_large{.status = 431, .reason = "Request Header Fields Too Large"};

/// Bytes of a head, the empty line included. More is `head_too_large`.
constexpr std::size_t head_bytes_max = 16384;

/// Where the head in `received` ends, behind its empty line.
[[nodiscard]] std::optional<std::size_t> end_of_head(std::string_view received) noexcept;

/// Reads a whole head. Nothing when it is refused: `refusal` says why.
[[nodiscard]] std::optional<Request> parse_request(std::string_view head, Refusal& refusal);
