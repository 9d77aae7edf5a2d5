// What a verb works with: what was typed, where its output goes, and the daemon.
#pragma once

#include <string>
#include <string_view>
#include <zsyncctl/command_line.hpp>
#include <zsyncctl/daemon.hpp>
#include <zsyncctl/table.hpp>

namespace zsyncctl {

class Session {
public:
    Session(const Invocation& invocation, Style style) : invocation_(invocation), style_(style) {}

    [[nodiscard]] const Invocation& invocation() const { return invocation_; }
    [[nodiscard]] const std::string& operand(std::size_t index) const {
        return invocation_.operands.at(index);
    }
    /// The operands from that one on, as one text with spaces: people may quote it or not.
    [[nodiscard]] std::string operands_from(std::size_t index) const;
    [[nodiscard]] bool json() const { return invocation_.has("--json"); }
    [[nodiscard]] const Style& style() const { return style_; }

    /// Connects to the bus of `--bus`, `ZSYNC_BUS_ADDRESS`, or the system bus, in this order.
    [[nodiscard]] Answer<Daemon> daemon() const;

    /// Writes to standard output. A failure shows when the program ends.
    void print(std::string_view text) const;
    /// An indented document, ended by a newline.
    void print_json(const Json& document) const;
    /// The document or the text, whichever was asked for.
    void print_either(const Json& document, std::string_view text) const;

private:
    const Invocation& invocation_;
    Style style_;
};

/// Colour is wanted on a terminal that has it, unless it was declined.
Style choose_style(const Invocation& invocation, int output_fd);

} // namespace zsyncctl
