#include <gtest/gtest.h>

#include <string>
#include <zsyncctl/screen.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

const Style plain{.color = false};

Json interface_properties() {
    return {
        {"Name", "eth0"},
        {"Ifindex", 7U},
        {"Mode", "native"},
        {"RequestedMode", "auto"},
        {"State", "attached"},
        {"StateReason", ""},
        {"Adopted", true},
        {"ProgramId", 55U},
        {"LayoutVersion", 1U},
        {"RuleCount", 2U},
        {"PrefixCount", 10000U},
        {"DefaultVerdict", "pass"},
        {"MalformedVerdict", "drop"},
        {"RulesSource", "lab.rules"},
        {"LoadTimestamp", 1'700'000'000'000'000U},
    };
}

Json stats_answer() {
    return Json::array(
        {110U, 11000U, 90U, 9000U, 20U, 2000U, Json{{"ipv4_short", 3U}, {"tcp_short", 0U}}}
    );
}

Json rules_answer() {
    return Json::array({Json::array(
        {Json::array({0U, "drop from @bad", "known bad", 17U, 1700U, 0U}),
         Json::array({1U, "drop vlan 42", "", 0U, 0U, 0U}),
         Json::array({2U, "default pass", "", 90U, 9000U, 0U})}
    )});
}

StatusView example_status() {
    InterfaceStatus eth0{
        .view = interface_view(interface_properties()), .counters = counter_view(stats_answer())
    };
    InterfaceStatus gone{
        .view = {.name = "wg0", .state = "absent", .state_reason = "no such interface"},
        .counters = std::nullopt,
    };
    return {.version = "0.1.0", .pid = 42, .uptime_ms = 65'000, .interfaces = {eth0, gone}};
}

TEST(Status, table_has_a_line_for_each_interface_and_says_what_is_wrong) {
    EXPECT_EQ(
        status_text(example_status(), plain),
        "zsyncd 0.1.0, pid 42, up 1 min 5 s\n"
        "\n"
        "INTERFACE  STATE     MODE    RULES  PREFIXES  PACKETS  DROPPED  LOADED FROM\n"
        "eth0       attached  native      2     10000      110       20  lab.rules\n"
        "wg0        absent    -           0         0        0        0\n"
        "wg0: no such interface\n"
    );
}

TEST(Status, document_has_the_fields_that_the_manual_promises) {
    const Json document = status_json(example_status());
    EXPECT_EQ(
        document.dump(),
        R"({"version":"0.1.0","pid":42,"uptime_ms":65000,"interfaces":[)"
        R"({"ifname":"eth0","ifindex":7,"state":"attached","state_reason":"","mode":"native",)"
        R"("rules":2,"prefixes":10000,"rules_source":"lab.rules","packets":110,"bytes":11000,)"
        R"("passed":90,"dropped":20,"malformed":3},)"
        R"({"ifname":"wg0","ifindex":0,"state":"absent","state_reason":"no such interface",)"
        R"("mode":"","rules":0,"prefixes":0,"rules_source":"","packets":0,"bytes":0,)"
        R"("passed":0,"dropped":0,"malformed":0}]})"
    );
}

TEST(Status, without_interfaces_it_says_how_to_begin) {
    const StatusView status{.version = "1", .pid = 1, .uptime_ms = 0, .interfaces = {}};
    EXPECT_TRUE(status_text(status, plain).contains("zsyncctl packet attach IFACE"));
    EXPECT_EQ(status_json(status)["interfaces"].dump(), "[]");
}

TEST(Features, rows_keep_their_order) {
    const Json features = Json::array(
        {Json::array({"xdp", true, "native and generic"}),
         Json::array({"bpffs", false, "not mounted"})}
    );
    EXPECT_EQ(
        features_json(features).dump(),
        R"([{"name":"xdp","available":true,"detail":"native and generic"},)"
        R"({"name":"bpffs","available":false,"detail":"not mounted"}])"
    );
    EXPECT_EQ(
        features_text(features, plain),
        "FEATURE  AVAILABLE  DETAIL\n"
        "xdp      yes        native and generic\n"
        "bpffs    no         not mounted\n"
    );
}

namespace {

/// A row as ListTasks gives it.
Json task(
    std::uint64_t id,
    std::uint64_t parent,
    const char* name,
    const char* state,
    const std::vector<std::string>& chain,
    std::uint64_t age_us,
    std::uint64_t running_us = 0,
    std::uint64_t polls = 0,
    std::uint64_t wakeups = 0,
    std::uint64_t stack_bytes = 0,
    std::uint64_t buffers = 0
) {
    const char* kind = stack_bytes != 0 ? "fiber" : "coroutine";
    return Json::array(
        {id,
         parent,
         name,
         kind,
         state,
         chain,
         age_us,
         running_us,
         polls,
         wakeups,
         stack_bytes,
         buffers}
    );
}

} // namespace

TEST(Tasks, each_stands_under_its_parent) {
    const Json tasks = Json::array(
        {task(1, 0, "main", "waiting", {"main.cpp:10"}, 5'000'000),
         task(3, 2, "call", "waiting", {"bus.cpp:30", "bus.cpp:99"}, 1000, 1500, 7, 6, 3584, 2),
         task(2, 1, "bus", "waiting", {"bus.cpp:20"}, 5'000'000),
         task(9, 8, "orphan", "running", {}, 0)}
    );
    EXPECT_EQ(
        tasks_text(tasks, plain),
        "TASK      ID  STATE     AGE  RUNNING  POLLS  WAKES    STACK  BUFFERS  WAITS AT\n"
        "main       1  waiting   5 s     0 us      0      0                    main.cpp:10\n"
        "  bus      2  waiting   5 s     0 us      0      0                    bus.cpp:20\n"
        "    call   3  waiting  1 ms   1.5 ms      7      6  3.5 KiB        2  bus.cpp:30\n"
        "orphan     9  running  0 ms     0 us      0      0\n"
    );
    EXPECT_EQ(
        tasks_json(tasks)[0].dump(),
        R"({"id":1,"parent":0,"name":"main","kind":"coroutine","state":"waiting",)"
        R"("where":"main.cpp:10","chain":["main.cpp:10"],"age_us":5000000,"running_us":0,"resumes":0,)"
        R"("wakeups":0,"stack_bytes":0,"buffers":0})"
    );
    const std::string with_chains = tasks_text(tasks, plain, true);
    EXPECT_TRUE(with_chains.contains(std::string(66, ' ') + "bus.cpp:99\n")) << with_chains;
}

TEST(Tasks, parents_in_a_ring_end) {
    const Json tasks = Json::array({task(1, 2, "a", "", {}, 0), task(2, 1, "b", "", {}, 0)});
    EXPECT_TRUE(tasks_text(tasks, plain).contains("TASK"));
}

TEST(Top, shows_the_difference_of_two_samples) {
    const TopSample before{
        .monotonic_us = 1'000'000,
        .tasks = Json::array({task(1, 0, "main", "waiting: children", {"main.cpp:1"}, 0)}),
        .worker = {{"turns", 10U}, {"system_calls", 8U}, {"busy_usec", 1000U}, {"stalls", 0U}},
    };
    const TopSample now{
        .monotonic_us = 3'000'000,
        .tasks = Json::array(
            {task(1, 0, "main", "waiting: children", {"main.cpp:1"}, 2'000'000, 20'000, 4, 3),
             task(2, 1, "new", "waiting: sleep", {"new.cpp:7"}, 1'000'000, 1'000'000, 3, 2, 800)}
        ),
        .worker =
            {{"turns", 30U},
             {"system_calls", 28U},
             {"busy_usec", 1'021'000U},
             {"tasks", 2U},
             {"timers", 1U},
             {"stalls", 0U},
             {"frames", 12U},
             {"frames_pooled", 3U},
             {"fibers", 1U},
             {"fibers_pooled", 0U}},
        .stacks = {{"deep", 6144U}, {"flat", 512U}},
    };
    EXPECT_EQ(
        top_lines(&before, now, plain, 0, 0),
        (std::vector<std::string>{
            "worker: 51.0 % busy, 10.0 turns/s, 10.0 system calls/s, 2 tasks, 1 timer, 0 stalls",
            "memory: 12 frames (3 pooled), 1 stack (0 pooled), deepest stack 6.0 KiB (deep)",
            "TASK   ID  STATE              CPU %  POLLS/S  WAKES/S  STACK  AGE  WAITS AT",
            "main    1  waiting: children    1.0     2.00     1.50         2 s  main.cpp:1",
            "  new   2  waiting: sleep      50.0     1.50     1.00  800 B  1 s  new.cpp:7",
        })
    );
    EXPECT_EQ(top_lines(&before, now, plain, 2, 20).size(), 2U);
    const Json document = top_json(&before, now);
    EXPECT_EQ(document["worker"]["busy_percent"], 51.0);
    EXPECT_EQ(document["tasks"][1]["polls_per_second"], 1.5);
    EXPECT_EQ(document["tasks"][1]["wakes_per_second"], 1.0);
    EXPECT_EQ(document["stacks"]["deep"], 6144);
    // Without a first sample there is no rate, and none is made up.
    EXPECT_TRUE(top_json(nullptr, now)["worker"]["busy_percent"].is_null());
    EXPECT_TRUE(top_lines(nullptr, now, plain, 0, 0)[0].starts_with("worker: - % busy"));
}

namespace {

/// The names in the order that `look` shows them in.
std::vector<std::string> shown_names(const TopSample& now, const TopLook& look, std::size_t rows) {
    const auto lines = top_lines(nullptr, now, plain, rows, 0, look);
    std::vector<std::string> names;
    for (std::size_t n = top_head_lines; n < lines.size(); ++n) {
        names.push_back(lines[n].substr(0, lines[n].find(' ')));
    }
    return names;
}

TopSample three_tasks() {
    return {
        .tasks = Json::array(
            {task(1, 0, "b", "waiting: sleep", {"b.cpp:1", "b.cpp:2"}, 30'000'000),
             task(2, 1, "c", "waiting: sleep", {"c.cpp:1"}, 20'000'000),
             task(3, 1, "a", "waiting: sleep", {"a.cpp:1"}, 40'000'000)}
        ),
        .worker = Json::object(),
    };
}

} // namespace

TEST(Top, keys_sort_turn_and_scroll) {
    const TopSample now = three_tasks();
    using Names = std::vector<std::string>;
    TopLook look;
    look.key('n', 2);
    EXPECT_EQ(shown_names(now, look, 0), (Names{"a", "b", "c"}));
    look.key('r', 2);
    EXPECT_EQ(shown_names(now, look, 0), (Names{"c", "b", "a"}));
    look.key('a', 2);
    EXPECT_EQ(shown_names(now, look, 0), (Names{"a", "b", "c"}));
    EXPECT_TRUE(top_lines(nullptr, now, plain, 0, 0, look)[2].contains("AGE▼"));
    // Two rows fit: one line down shows the last two, and it goes no further.
    look.key(keys::down, 2);
    EXPECT_EQ(shown_names(now, look, top_head_lines + 2), (Names{"b", "c"}));
    look.key(keys::end, 2);
    EXPECT_EQ(shown_names(now, look, top_head_lines + 2), (Names{"b", "c"}));
    look.key(keys::home, 2);
    look.key(keys::up, 2);
    EXPECT_EQ(shown_names(now, look, top_head_lines + 2), (Names{"a", "b"}));
    look.key('e', 2);
    look.key('t', 2);
    const auto lines = top_lines(nullptr, now, plain, 0, 0, look);
    EXPECT_TRUE(lines[top_head_lines + 1].ends_with(" b.cpp:2")) << lines[top_head_lines + 1];
}

TEST(Top, a_narrow_screen_keeps_where_tasks_wait) {
    const auto lines = top_lines(nullptr, three_tasks(), plain, 0, 80);
    EXPECT_EQ(lines[2], "TASK  ID  STATE           CPU %  WAKES/S  WAITS AT");
    EXPECT_TRUE(lines[3].ends_with("b.cpp:1")) << lines[3];
}

TEST(Top, every_size_of_the_screen_is_kept_to) {
    const TopSample now = three_tasks();
    for (std::size_t rows = 1; rows < 8; ++rows) {
        for (std::size_t width = 1; width < 60; width += 7) {
            const auto lines = top_lines(nullptr, now, plain, rows, width);
            EXPECT_LE(lines.size(), rows);
            for (const std::string& line : lines) {
                EXPECT_LE(columns(line), width) << line;
            }
        }
    }
}

TEST(Top, orders_have_the_names_that_the_manual_gives) {
    for (const char* name : {"tree", "cpu", "polls", "wakes", "age", "name"}) {
        EXPECT_TRUE(top_order(name)) << name;
        EXPECT_TRUE(std::string(top_orders).contains(name)) << name;
    }
    EXPECT_FALSE(top_order("size"));
}

TEST(Keys, escape_sequences_are_taken_whole) {
    std::string_view typed = "\x1b[A\x1bOBx\x1b[15~\x1b[5~\x1b\xc3\xa4q";
    std::vector<char> taken;
    while (!typed.empty()) {
        taken.push_back(take_key(typed));
    }
    EXPECT_EQ(
        taken, (std::vector<char>{keys::up, keys::down, 'x', 0, keys::page_up, 0, 0, 0, 'q'})
    );
}

TEST(Jobs, progress_is_shown_in_percent) {
    const std::vector<JobView> jobs{
        {.id = 3,
         .kind = "load",
         .subject = "eth0",
         .state = "running",
         .path = "/org/zsync1/job/3",
         .progress = 0.25}
    };
    EXPECT_EQ(
        jobs_text(jobs, plain),
        "JOB  KIND  SUBJECT  STATE    DONE\n  3  load  eth0     running   25%\n"
    );
    EXPECT_EQ(
        jobs_json(jobs).dump(),
        R"([{"id":3,"kind":"load","subject":"eth0","state":"running","progress":0.25,"path":"/org/zsync1/job/3"}])"
    );
    EXPECT_EQ(jobs_text({}, plain), "no job is running\n");
    EXPECT_EQ(jobs_json({}).dump(), "[]");
}

TEST(Rules, document_has_rules_only_and_the_table_what_they_leave) {
    const RuleList list = rule_list(rules_answer());
    EXPECT_EQ(
        rules_json(list).dump(),
        R"([{"index":0,"text":"drop from @bad","name":"known bad","packets":17,"bytes":1700,"limited":0},)"
        R"({"index":1,"text":"drop vlan 42","name":"","packets":0,"bytes":0,"limited":0}])"
    );
    EXPECT_EQ(
        rules_text(list, counter_view(stats_answer()), plain),
        "#  PACKETS  BYTES  RULE                            NAME\n"
        "0       17   1700  drop from @bad                  known bad\n"
        "1        0      0  drop vlan 42\n"
        "        90   9000  default pass\n"
        "         3         malformed (see 'packet stats')\n"
    );
}

TEST(Rules, those_that_limit_show_what_they_dropped) {
    const RuleList list = rule_list(Json::array({Json::array(
        {Json::array({0U, "pass limit 5/s burst 5 proto udp", "few", 17U, 1700U, 12U}),
         Json::array({1U, "drop vlan 42", "", 0U, 0U, 0U}),
         Json::array({2U, "default pass", "", 90U, 9000U, 0U})}
    )}));
    EXPECT_EQ(rules_json(list)[0]["limited"], 12);
    EXPECT_EQ(
        rules_text(list, {}, plain),
        "#  PACKETS  BYTES  LIMITED  RULE                              NAME\n"
        "0       17   1700       12  pass limit 5/s burst 5 proto udp  few\n"
        "1        0      0           drop vlan 42\n"
        "        90   9000           default pass\n"
    );
}

TEST(Limits, keys_that_are_over_stand_under_their_rule) {
    const Json answer = Json::array({Json::array(
        {Json::array(
             {"in",
              "pass limit 5/s burst 9 by source",
              "a flood",
              "5/s burst 9",
              "5/s",
              40U,
              17U,
              3U,
              Json::array({Json::array({"192.0.2.1", 12U}), Json::array({"192.0.2.7", 5U})})}
         ),
         Json::array(
             {"out",
              "pass out limit 1mbit burst 64kb",
              "",
              "1mbit burst 64kb",
              "1mbit",
              7U,
              0U,
              1U,
              Json::array()}
         )}
    )});
    const std::vector<LimitView> limits = limit_views(answer);
    EXPECT_EQ(
        limits_text(limits, plain),
        "#  HOOK  RATE              NOW    PASSED  LIMITED  KEYS  RULE\n"
        "0  in    5/s burst 9       5/s        40       17     3  pass limit 5/s burst 9 by "
        "source\n"
        "                                               12          192.0.2.1\n"
        "                                                5          192.0.2.7\n"
        "1  out   1mbit burst 64kb  1mbit       7        0     1  pass out limit 1mbit burst 64kb\n"
    );
    EXPECT_EQ(
        limits_json(limits)[0].dump(),
        R"({"index":0,"hook":"in","rule":"pass limit 5/s burst 9 by source","name":"a flood",)"
        R"("rate":"5/s burst 9","rate_now":"5/s","passed":40,"limited":17,"keys":3,)"
        R"("most_limited":[{"key":"192.0.2.1","limited":12},{"key":"192.0.2.7","limited":5}]})"
    );
    EXPECT_EQ(limits_text({}, plain), "no rule limits\n");
    EXPECT_EQ(limits_json({}).dump(), "[]");
}

TEST(Classes, are_a_table_and_a_document) {
    const Json answer = Json::parse(R"([100000000, 50000, [
        ["default", 0, 5000000, 1, 60, 60, 0, 0],
        ["gold", 60000000, 100000000, 9000, 13626000, 26000, 12, 4200]]])");
    const ShapeView shape = shape_view(answer);
    EXPECT_EQ(
        shape_text(shape, plain),
        "100Mbit/s, a packet waits at most 50.0 ms\n"
        "CLASS    GUARANTEE        MAX  PACKETS     BYTES  BORROWED  DROPPED  BACKLOG\n"
        "default       none    5Mbit/s        1        60        60        0     0 us\n"
        "gold      60Mbit/s  100Mbit/s     9000  13626000     26000       12   4.2 ms\n"
    );
    EXPECT_EQ(
        shape_json(shape)["classes"][1].dump(),
        R"({"name":"gold","guarantee":60000000,"max":100000000,"packets":9000,"bytes":13626000,)"
        R"("borrowed_bytes":26000,"dropped":12,"backlog_us":4200})"
    );
    EXPECT_EQ(shape_text({}, plain), "no rules shape\n");
    EXPECT_EQ(shape_json({}).dump(), R"({"rate":0,"horizon_us":0,"classes":[]})");
}

TEST(Stats, document_has_the_fields_that_the_manual_promises) {
    const Json document =
        stats_json(interface_view(interface_properties()), counter_view(stats_answer()), {});
    EXPECT_EQ(
        document.dump(),
        R"({"ifname":"eth0","ifindex":7,"state":"attached","state_reason":"","mode":"native",)"
        R"("requested_mode":"auto","adopted":true,"program_id":55,"layout_version":1,"rules":2,)"
        R"("prefixes":10000,"default_verdict":"pass","malformed_verdict":"drop",)"
        R"("rules_source":"lab.rules","loaded_at_us":1700000000000000,"packets":110,"bytes":11000,)"
        R"("passed":90,"passed_bytes":9000,"dropped":20,"dropped_bytes":2000,)"
        R"("malformed":{"ipv4_short":3,"tcp_short":0},"hooks":[],"temporary":[],)"
        R"("sources_left_out":0,"alerts_left_out":0})"
    );
}

TEST(Stats, table_leaves_out_reasons_that_never_happened) {
    const std::string text =
        stats_text(interface_view(interface_properties()), counter_view(stats_answer()), plain);
    EXPECT_TRUE(text.contains("ipv4_short")) << text;
    EXPECT_FALSE(text.contains("tcp_short")) << text;
    EXPECT_TRUE(text.starts_with("eth0: attached, native, 2 rules from lab.rules\n")) << text;
}

TEST(Interfaces, are_sorted_and_other_objects_left_out) {
    Json second = interface_properties();
    second["Name"] = "br0";
    const Json objects{
        {"/org/zsync1/packet", {{"org.zsync1.Packet", Json::object()}}},
        {"/org/zsync1/packet/eth0", {{"org.zsync1.PacketInterface", interface_properties()}}},
        {"/org/zsync1/packet/br0", {{"org.zsync1.PacketInterface", second}}},
    };
    const auto views = interface_views(objects);
    ASSERT_EQ(views.size(), 2U);
    EXPECT_EQ(views[0].name, "br0");
    EXPECT_EQ(views[1].name, "eth0");
}

TEST(Diagnostics, summary_counts_errors_and_says_what_stays) {
    const Refusal two{.message = "r:1:1: error: a; hint: b\nr:2:5: error: c", .bus_error = "x"};
    EXPECT_EQ(
        with_summary(two, "r", "the rules in force on eth0 stay").message,
        two.message + "\nr: 2 errors; the rules in force on eth0 stay"
    );
    EXPECT_EQ(
        with_summary({.message = "r:1:1: error: a\n"}, "r", "").message,
        "r:1:1: error: a\nr: 1 error"
    );
    EXPECT_EQ(with_summary({.message = "odd"}, "r", "").message, "odd\nr: errors");
}

TEST(Views, flows_name_both_ends_and_what_they_carry) {
    const Json flow{
        {"protocol", "tcp"},
        {"source", "2001:db8::1"},
        {"source_port", 40000U},
        {"destination", "2001:db8::2"},
        {"destination_port", 443U},
        {"state", "established"},
        {"to_responder", {{"packets", 3U}, {"bytes", 300U}}},
        {"to_initiator", {{"packets", 2U}, {"bytes", 2000U}}},
        {"application", "tls"},
        {"server_name", "example.test"},
    };
    const Json ping{
        {"protocol", "icmp"},
        {"source", "192.0.2.1"},
        {"destination", "192.0.2.2"},
        {"icmp_type", 8U}
    };
    EXPECT_EQ(
        flows_text({{"flows", {{"list", Json::array({flow, ping})}}}}, plain),
        "PROTOCOL  FROM                 TO                 STATE        PACKETS  BYTES  CARRIES  "
        "NAME\n"
        "tcp       [2001:db8::1]:40000  [2001:db8::2]:443  established        5   2300  tls      "
        "example.test\n"
        "icmp      192.0.2.1            192.0.2.2                             0      0\n"
    );
    EXPECT_EQ(flows_text(Json::object(), plain), "no flow is going on\n");
}

TEST(Views, a_flow_of_questions_is_named_by_the_last_one) {
    const Json flow{
        {"id", 7U},
        {"protocol", "udp"},
        {"source", "192.0.2.1"},
        {"source_port", 40000U},
        {"destination", "192.0.2.2"},
        {"destination_port", 53U},
        {"state", "answered"},
        {"application", "dns"},
    };
    const auto message = [](std::uint64_t id, const char* name) {
        return Json{{"flow", id}, {"questions", Json::array({{{"name", name}}})}};
    };
    const Json dhcp{{"protocol", "dhcp"}};
    const Json messages =
        Json::array({message(7, "first.test"), message(7, "last.test"), message(8, "x.test"), dhcp}
        );
    EXPECT_EQ(
        flows_text(
            {{"flows", {{"list", Json::array({flow})}}}, {"messages", {{"list", messages}}}}, plain
        ),
        "PROTOCOL  FROM             TO            STATE     PACKETS  BYTES  CARRIES  NAME\n"
        "udp       192.0.2.1:40000  192.0.2.2:53  answered        0      0  dns      last.test\n"
    );
}

TEST(Views, alerts_say_when_where_and_why) {
    const Json alert{
        {"ifname", "eth0"}, {"kind", "port_scan"}, {"time_us", 0U}, {"reason", "many \x1b[2J ports"}
    };
    const std::string text = alerts_text(Json::array({alert}), plain);
    EXPECT_TRUE(text.contains("eth0       port_scan  many \\x1b[2J ports")) << text;
    EXPECT_EQ(alerts_text(Json::array(), plain), "no alert\n");
}

} // namespace
} // namespace zsyncctl
