// Any file: a replay ends, with a fault or a report, and the report is JSON that closes.
#include <zsync/core/assert.hpp>
#include <zsync/packet/analysis/replay.hpp>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unistd.h>

using namespace zsync;
using namespace zsync::packet::analysis;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Fd file(::memfd_create("capture", MFD_CLOEXEC));
    ZASSERT(::write(file.get(), data, size) == static_cast<ssize_t>(size), "memory holds it");
    ZASSERT(::lseek(file.get(), 0, SEEK_SET) == 0, "a memfd can be rewound");
    AnalyserOptions options;
    options.flows.flows_max = 64; // so that flows make room for others
    options.flows.unanswered_max = 32;
    Outcome<Replay> replay = Replay::open(std::move(file), options);
    if (!replay) {
        ZASSERT(replay.error().message().starts_with("offset "), "a fault says where");
        return 0;
    }
    for (;;) {
        const Outcome<bool> more = replay->step();
        if (!more) {
            ZASSERT(replay->packets() == 0, "what was seen is reported");
            return 0;
        }
        if (!*more) {
            break;
        }
    }
    const std::string report = replay->report();
    ZASSERT(report.starts_with("{") && report.ends_with("}\n"), "the report is one object");
    return 0;
}
