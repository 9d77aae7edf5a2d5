// Every verb of the command line; each is defined in the file of its name.
#pragma once

#include <array>
#include <zsyncctl/command_line.hpp>

namespace zsyncctl {

extern const Verb status_verb;
extern const Verb features_verb;
extern const Verb tasks_verb;
extern const Verb top_verb;
extern const Verb jobs_verb;
extern const Verb reload_verb;
extern const Verb packet_attach_verb;
extern const Verb packet_detach_verb;
extern const Verb packet_load_verb;
extern const Verb packet_set_verb;
extern const Verb packet_rule_verb;
extern const Verb packet_explain_verb;
extern const Verb packet_rules_verb;
extern const Verb packet_stats_verb;
extern const Verb packet_limits_verb;
extern const Verb packet_classes_verb;
extern const Verb packet_watch_verb;
extern const Verb packet_capture_verb;
extern const Verb packet_forward_verb;
extern const Verb packet_replay_verb;
extern const Verb packet_analyse_verb;
extern const Verb flows_verb;
extern const Verb alerts_verb;

/// In the order of the help.
inline constexpr std::array all_verbs{
    &status_verb,        &features_verb,       &tasks_verb,          &top_verb,
    &jobs_verb,          &reload_verb,         &packet_attach_verb,  &packet_detach_verb,
    &packet_load_verb,   &packet_set_verb,     &packet_rule_verb,    &packet_explain_verb,
    &packet_rules_verb,  &packet_stats_verb,   &packet_limits_verb,  &packet_classes_verb,
    &packet_watch_verb,  &packet_analyse_verb, &packet_capture_verb, &packet_forward_verb,
    &packet_replay_verb, &flows_verb,          &alerts_verb,
};

} // namespace zsyncctl
