// Replay: the analysis of a capture, from its first packet to a report.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/analyser.hpp>
#include <zsync/packet/analysis/capture_reader.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace zsync::packet::analysis {

/// Runs the analysis over a capture in steps, so that a caller can stop between two.
///
///     ZTRY(Replay replay = Replay::open(std::move(file), {}));
///     while (ZTRY(replay.step())) {
///     }
///     std::string json = replay.report();
///
/// Calls block where the file does.
class Replay {
public:
    /// Takes a capture, to be read from its current offset.
    static Outcome<Replay> open(Fd file, const AnalyserOptions& options);

    Replay(Replay&&) noexcept;
    Replay& operator=(Replay&&) noexcept;
    ~Replay();

    /// Analyses about a megabyte more. False at the end. A capture that breaks off or is damaged
    /// ends there: `complaint` says how, and the report is about what came before.
    Outcome<bool> step();

    /// The report as JSON, once; call it at the end.
    [[nodiscard]] std::string report();

    [[nodiscard]] std::uint64_t packets() const noexcept;
    [[nodiscard]] std::uint64_t flows() const noexcept;
    /// Bytes of the capture read so far.
    [[nodiscard]] std::uint64_t offset() const noexcept;
    [[nodiscard]] const std::string& complaint() const noexcept;

private:
    struct State;
    explicit Replay(std::unique_ptr<State> state) noexcept;

    std::unique_ptr<State> state_;
};

} // namespace zsync::packet::analysis
