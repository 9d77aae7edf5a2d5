// Any bytes as a DNS message: names are printable and no longer than their wire form allows.
#include <zsync/core/assert.hpp>
#include <zsync/packet/analysis/dns.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

using namespace zsync::packet::analysis;

namespace {

void check_name(const std::string& name) {
    // Each byte becomes four at most.
    ZASSERT(name.size() <= 4 * limits::dns_name_bytes_max, "a name has an end");
    ZASSERT(
        std::ranges::all_of(name, [](char c) { return c > ' ' && c < '\x7f'; }),
        "names are printable"
    );
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto dns = parse_dns({data, size});
    if (!dns) {
        return 0;
    }
    ZASSERT(dns->questions.size() <= limits::dns_questions_max, "questions are bounded");
    ZASSERT(dns->answers.size() <= limits::dns_records_max, "records are bounded");
    for (const DnsQuestion& question : dns->questions) {
        check_name(question.name);
    }
    for (const DnsRecord& record : dns->answers) {
        check_name(record.name);
    }
    return 0;
}
