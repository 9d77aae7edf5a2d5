#include <zsync/packet/analysis/error.hpp>
#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/analysis/messages.hpp>
#include <zsync/packet/analysis/replay.hpp>

#include <string_view>
#include <utility>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint64_t step_bytes = 1U << 20;

/// A JSON array that grows by items, up to a share of the report.
class ItemList {
public:
    /// `write(JsonWriter&)` writes one item.
    template <class Write> void add(Write write) {
        if (text_.size() >= limits::report_bytes_max / 2) {
            ++left_out_;
            return;
        }
        json_.new_line();
        write(json_);
    }
    [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }
    [[nodiscard]] std::string_view text() const noexcept { return text_; }

private:
    std::string text_;
    JsonWriter json_{text_};
    std::uint64_t left_out_ = 0;
};

class ReportLists final : public TrafficObserver {
public:
    void flow_ended(const Flow& flow, FlowEnd end) override {
        flows_.add([&](JsonWriter& json) { write_flow(json, flow, name_of(end)); });
    }
    void dns_message(const Flow& flow, const Packet& packet, const DnsMessage& message) override {
        messages_.add([&](JsonWriter& json) {
            write_dns_message(json, flow.id, flow, packet, message);
        });
    }
    void dhcp_message(const Packet& packet, const DhcpMessage& message) override {
        messages_.add([&](JsonWriter& json) { write_dhcp_message(json, packet, message); });
    }

    void alert(const Alert& alert) override {
        alerts_.add([&](JsonWriter& json) { write_alert(json, alert); });
    }

    void write(JsonWriter& json) const {
        write_list(json, "alerts", alerts_);
        write_list(json, "flows", flows_);
        write_list(json, "messages", messages_);
    }

private:
    static void write_list(JsonWriter& json, std::string_view name, const ItemList& list) {
        json.new_line();
        json.key(name);
        json.begin_object();
        json.field("left_out", list.left_out());
        json.key("list");
        json.begin_array();
        if (!list.text().empty()) {
            json.raw(list.text());
        }
        json.end_array();
        json.end_object();
    }

    ItemList alerts_;
    ItemList flows_;
    ItemList messages_;
};

} // namespace

struct Replay::State {
    State(Fd capture, CaptureReader opened, const AnalyserOptions& options)
        : file(std::move(capture)), reader(std::move(opened)), analyser(options, lists) {}

    Fd file;
    CaptureReader reader;
    ReportLists lists;
    Analyser analyser;
    std::string complaint;
};

Replay::Replay(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Replay::Replay(Replay&&) noexcept = default;
Replay& Replay::operator=(Replay&&) noexcept = default;
Replay::~Replay() = default;

Outcome<Replay> Replay::open(Fd file, const AnalyserOptions& options) {
    CaptureReader reader = ZTRY(CaptureReader::open(file.get()));
    return Replay(std::make_unique<State>(std::move(file), std::move(reader), options));
}

Outcome<bool> Replay::step() {
    const std::uint64_t end = state_->reader.offset() + step_bytes;
    while (state_->reader.offset() < end) {
        const Outcome<std::optional<Frame>> next = state_->reader.next();
        if (!next) {
            const Error error = next.error().error;
            const bool is_damage = error == Error(AnalysisError::invalid_capture) ||
                                   error == Error(AnalysisError::capture_cut_short);
            if (!is_damage || state_->reader.packets() == 0) {
                return std::unexpected(next.error());
            }
            state_->complaint = next.error().message();
            return false;
        }
        const std::optional<Frame>& frame = *next;
        if (!frame) {
            return false;
        }
        state_->analyser.add(*frame);
    }
    return true;
}

std::string Replay::report() {
    state_->analyser.finish();
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    json.new_line();
    json.key("capture");
    json.begin_object();
    json.field("format", state_->reader.format());
    json.field("bytes", state_->reader.offset());
    json.field("complaint", state_->complaint);
    json.end_object();
    state_->analyser.write_figures(json);
    state_->lists.write(json);
    json.new_line();
    json.end_object();
    text += '\n';
    return text;
}

std::uint64_t Replay::packets() const noexcept { return state_->reader.packets(); }
std::uint64_t Replay::flows() const noexcept { return state_->analyser.flows().counts().created; }
std::uint64_t Replay::offset() const noexcept { return state_->reader.offset(); }
const std::string& Replay::complaint() const noexcept { return state_->complaint; }

} // namespace zsync::packet::analysis
