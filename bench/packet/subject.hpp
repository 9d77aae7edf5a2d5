// A program under test behind the one that gives it another source address for each packet.
#pragma once

#include "bench/report.hpp"

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace zsync::bench {

/// Throws `what` and errno's words unless `done`.
void require(bool done, const std::string& what);

template <class T> T must(Outcome<T> outcome) {
    if (!outcome) {
        throw std::runtime_error(outcome.error().message());
    }
    return *std::move(outcome);
}

/// Source addresses as 32-bit words in network order: one for IPv4, four for IPv6. None: any IPv4
/// address.
struct Sources {
    std::vector<std::uint32_t> words;
    std::uint32_t address_words = 1;
};

/// Tail-calls the program under test from `random_source.bpf.c`. Without one it is a bare drop.
class Subject {
public:
    Subject(std::string name, Fd program);
    ~Subject();
    Subject(const Subject&) = delete;
    Subject& operator=(const Subject&) = delete;

    void draw_from(const Sources& sources);
    void run(std::uint32_t repeats);

    [[nodiscard]] const std::string& name() const { return name_; }
    /// Packets given to the program so far.
    [[nodiscard]] std::uint64_t calls() const;

    /// Nanoseconds a packet, one figure a run.
    std::vector<double> ns;
    std::uint32_t verdict = 0;

private:
    struct Wrapper;
    std::string name_;
    Fd program_;
    std::unique_ptr<Wrapper> wrapper_;
};

/// Runs the subjects in turns, `rounds` times each, all over the same addresses.
void run_in_turns(
    std::span<Subject* const> subjects, const Sources& draw, int rounds, std::uint32_t repeats
);

} // namespace zsync::bench
