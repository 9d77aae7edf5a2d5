#include "packet_limits.hpp"

#include "limits.hpp"

#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/xsk/limits.hpp>

#include <array>
#include <chrono>
#include <string_view>
#include <utility>

namespace zsync::zsyncd {
namespace {

constexpr std::uint64_t ms(std::chrono::milliseconds time) {
    return static_cast<std::uint64_t>(time.count());
}

namespace analysis = packet::analysis::limits;
namespace filter = packet::limits;
namespace xsk = packet::xsk::limits;

using Row = std::pair<std::string_view, std::uint64_t>;

constexpr auto rows = std::to_array<Row>({
    {"interfaces_max", filter::interfaces_max},
    {"rules_max", filter::rules_max},
    {"cgroups_max", filter::cgroups_max},
    {"temporary_rules_max", filter::temporary_rules_max},
    {"temporary_seconds_max", filter::temporary_seconds_max},
    {"sets_max", filter::sets_max},
    {"address_sets_max", filter::address_sets_max},
    {"prefixes_max", filter::prefixes_max},
    {"port_ranges_max", filter::port_ranges_max},
    {"file_bytes_max", filter::file_bytes_max},
    {"line_bytes_max", filter::line_bytes_max},
    {"name_bytes_max", filter::name_bytes_max},
    {"rule_text_bytes_max", filter::rule_text_bytes_max},
    {"path_bytes_max", filter::path_bytes_max},
    {"diagnostics_max", filter::diagnostics_max},
    {"bitmap_bytes_max", filter::bitmap_bytes_max},
    {"cells_max", filter::cells_max},
    {"ipv4_classes_max", filter::ipv4_classes_max},
    {"endpoint_classes_max", filter::endpoint_classes_max},
    {"bucket_words_max", filter::bucket_words_max},
    {"counter_slots", filter::counter_slots},
    {"meta_bytes_max", filter::meta_bytes_max},
    {"verifier_log_bytes_max", filter::verifier_log_bytes_max},
    {"tap_ring_bytes", filter::tap_ring_bytes},
    {"live_packet_bytes", filter::live_packet_bytes},
    {"live_packets_per_turn", filter::live_packets_per_turn},
    {"capture_bytes", filter::capture_bytes},
    {"sample_ring_bytes", filter::sample_ring_bytes},
    {"limit_packets_max", filter::limit_packets_max},
    {"limit_bits_min", filter::limit_bits_min},
    {"limit_bits_max", filter::limit_bits_max},
    {"limit_burst_max", filter::limit_burst_max},
    {"limit_burst_bytes_min", filter::limit_burst_bytes_min},
    {"limit_fill_days_max", filter::limit_fill_days_max},
    {"limit_window_max", filter::limit_window_max},
    {"limit_keys_max", filter::limit_keys_max},
    {"limit_shared_states", filter::limit_shared_states},
    {"limit_queue_max", filter::limit_queue_max},
    {"limit_adapt_interval_ms", filter::limit_adapt_interval_ms},
    {"limit_adapt_steps", filter::limit_adapt_steps},
    {"hindrances_interval_ms", filter::hindrances_interval_ms},
    {"failed_interval_ms", filter::failed_interval_ms},
    {"limit_keys_shown_max", filter::limit_keys_shown_max},
    {"flow_age_interval_ms", filter::flow_age_interval_ms},
    {"handover_linger_ms", filter::handover_linger_ms},
    {"sample_every_max", filter::sample_every_max},
    {"shape_classes_max", filter::shape_classes_max},
    {"shape_slots", filter::shape_slots},
    {"shape_bits_min", filter::shape_bits_min},
    {"shape_bits_max", filter::shape_bits_max},
    {"shape_horizon_ms_min", filter::shape_horizon_ms_min},
    {"shape_horizon_ms_max", filter::shape_horizon_ms_max},
    {"shape_horizon_ms_usual", filter::shape_horizon_ms_usual},
    {"fair_queue_packets_min", filter::fair_queue_packets_min},
    {"fair_queue_packets_max", filter::fair_queue_packets_max},
    {"forwards_max", filter::forwards_max},
    {"analysis_clock_step_ns", analysis::clock_step_ns},
    {"analysis_captured_packet_bytes_max", analysis::captured_packet_bytes_max},
    {"analysis_capture_block_bytes_max", analysis::capture_block_bytes_max},
    {"analysis_capture_interfaces_max", analysis::capture_interfaces_max},
    {"analysis_flows_max", analysis::flows_max},
    {"analysis_flows_min", analysis::flows_min},
    {"analysis_flows_usual", analysis::flows_usual},
    {"analysis_new_flows_per_second_max", analysis::new_flows_per_second_max},
    {"analysis_new_flows_per_second_usual", analysis::new_flows_per_second_usual},
    {"analysis_flow_seconds_max", analysis::flow_seconds_max},
    {"analysis_flow_contents_max", analysis::flow_contents_max},
    {"analysis_fragments_max", analysis::fragments_max},
    {"analysis_stream_head_bytes_max", analysis::stream_head_bytes_max},
    {"analysis_stream_segments_max", analysis::stream_segments_max},
    {"analysis_quic_crypto_bytes_max", analysis::quic_crypto_bytes_max},
    {"analysis_quic_pieces_max", analysis::quic_pieces_max},
    {"analysis_dns_name_bytes_max", analysis::dns_name_bytes_max},
    {"analysis_dns_questions_max", analysis::dns_questions_max},
    {"analysis_dns_records_max", analysis::dns_records_max},
    {"analysis_shown_bytes_max", analysis::shown_bytes_max},
    {"analysis_talkers_max", analysis::talkers_max},
    {"analysis_talkers_listed_max", analysis::talkers_listed_max},
    {"analysis_sources_max", analysis::sources_max},
    {"analysis_detector_entries_max", analysis::detector_entries_max},
    {"analysis_beats_max", analysis::beats_max},
    {"analysis_told_max", analysis::told_max},
    {"analysis_alerts_kept_max", analysis::alerts_kept_max},
    {"analysis_messages_kept_max", analysis::messages_kept_max},
    {"analysis_messages_kept_bytes_max", analysis::messages_kept_bytes_max},
    {"analysis_report_bytes_max", analysis::report_bytes_max},
    {"xsk_frames_max", xsk::frames_max},
    {"xsk_frame_bytes_min", xsk::frame_bytes_min},
    {"xsk_frame_bytes_max", xsk::frame_bytes_max},
    {"xsk_sockets_max", xsk::sockets_max},
    {"xsk_ring_entries_max", xsk::ring_entries_max},
    {"xsk_queues_max", xsk::queues_max},
    {"xsk_forward_queues_max", xsk::forward_queues_max},
    {"xsk_forward_entries_all", xsk::forward_entries_all},
    {"xsk_forward_entries_min", xsk::forward_entries_min},
    {"xsk_batch_frames_max", xsk::batch_frames_max},
    {"xsk_packet_frames_max", xsk::packet_frames_max},
    {"xsk_open_attempts_max", std::uint64_t{xsk::open_attempts_max}},
    {"xsk_open_retry_interval_ms", ms(xsk::open_retry_interval)},
    {"xsk_starved_interval_ms", ms(xsk::starved_interval)},
    {"xsk_device_check_interval_ms", ms(xsk::device_check_interval)},
    {"xsk_stations_max", xsk::stations_max},
    {"jobs_max", limits::jobs_max},
    {"replays_max", limits::replays_max},
    {"captures_max", limits::captures_max},
    {"takes_max", limits::takes_max},
    {"take_queues_max", limits::take_queues_max},
    {"take_frames", limits::take_frames},
    {"take_send_entries", limits::take_send_entries},
    {"capture_duration_us_max", limits::capture_duration_us_max},
});

} // namespace

std::map<std::string, std::uint64_t> packet_limits() { return {rows.begin(), rows.end()}; }

} // namespace zsync::zsyncd
