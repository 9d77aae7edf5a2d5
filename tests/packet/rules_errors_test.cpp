#include <zsync/packet/limits.hpp>

#include <gtest/gtest.h>

#include <array>
#include <format>
#include <tests/packet/rules_parse.hpp>

using namespace zsync;
using namespace zsync::packet;

namespace {

struct Case {
    std::string_view text;
    std::string_view message;
};

} // namespace

TEST(RulesErrors, each_says_where_and_what_to_write) {
    constexpr std::array cases{
        // statements
        Case{"dorp vlan 1", "r:1:1: error: unknown word 'dorp'; hint: did you mean drop"},
        Case{"accept", "r:1:1: error: unknown word 'accept'; hint: the verdict is called pass"},
        Case{"block", "r:1:1: error: unknown word 'block'; hint: the verdict is called drop"},
        Case{
            "qwertyuiop",
            "r:1:1: error: unknown word 'qwertyuiop'; hint: a line starts with pass, drop, set, "
            "cgroup, shape, default or malformed"
        },
        Case{
            "\n  { }",
            "r:2:3: error: '{' where a statement should be; hint: a line starts with pass, drop, "
            "set, cgroup, shape, default or malformed"
        },
        Case{"default", "r:1:8: error: the end of the file where pass or drop should be"},
        Case{"default\n", "r:1:8: error: the end of the line where pass or drop should be"},
        Case{
            "default dropp",
            "r:1:9: error: 'dropp' where pass or drop should be; hint: did you mean drop"
        },
        Case{
            "default drop pass",
            "r:1:14: error: 'pass' where the end of the line should be; hint: one statement a line"
        },
        Case{
            "default drop\ndefault drop",
            "r:2:1: error: default is given twice; hint: it stands on line 1 already"
        },
        Case{
            "malformed drop\n\nmalformed pass",
            "r:3:1: error: malformed is given twice; hint: it stands on line 1 already"
        },
        // sets
        Case{"set", "r:1:4: error: the end of the file where the name of a set should be"},
        Case{
            "set @bad { }",
            "r:1:5: error: '@bad' is no name of a set; hint: write it without @ here"
        },
        Case{
            "set 9 { }",
            "r:1:5: error: '9' is no name of a set; hint: a name is a letter, then letters, "
            "digits, _ . or -, at most 63 bytes"
        },
        Case{
            "set a = { }", "r:1:7: error: '=' where { or file should be; hint: there is no = here"
        },
        Case{"set a", "r:1:6: error: the end of the file where { or file should be"},
        Case{
            "set a { }\nset a { }",
            "r:2:5: error: the set 'a' is defined twice; hint: it stands on line 1 already"
        },
        Case{
            "set a { 10.0.0.0/8, 80 }",
            "r:1:21: error: '80' is a port in a set of addresses; hint: make two sets"
        },
        Case{
            "set a { 80, 10.0.0.0/8 }",
            "r:1:13: error: '10.0.0.0/8' is an address in a set of ports; hint: make two sets"
        },
        Case{
            "set a { 80, ssh }",
            "r:1:13: error: 'ssh' is no port or range of ports; hint: ssh is port 22"
        },
        Case{
            "set a { 10.1.0.0/8 }",
            "r:1:9: error: '10.1.0.0/8' has host bits set; hint: use 10.0.0.0/8"
        },
        Case{
            "set a { 80, 10.0.0.1:80 }",
            "r:1:13: error: '10.0.0.1:80' is an address in a set of ports; hint: make two sets"
        },
        Case{
            "drop from 10.0.0.1:65536",
            "r:1:11: error: '10.0.0.1:65536' has no port from 0 to 65535"
        },
        Case{"drop to [::1]:", "r:1:9: error: '[::1]:' has no port from 0 to 65535"},
        Case{
            "drop from 10.0.0.1:20-30",
            "r:1:11: error: '10.0.0.1:20-30' has no port from 0 to 65535; hint: a range of ports "
            "is written with sport or dport"
        },
        Case{
            "drop from 10.0.0.0/8:53",
            "r:1:11: error: '10.0.0.0/8:53' is a prefix with a port; hint: only a single address "
            "has a port here: write from PREFIX sport PORT, or to PREFIX dport PORT"
        },
        Case{
            "drop from [::1]",
            "r:1:11: error: '[::1]' is no address with a port; hint: write [ADDRESS]:PORT, or the "
            "address without brackets"
        },
        Case{
            "drop from [10.0.0.1]:53",
            "r:1:11: error: '[10.0.0.1]:53' is no address with a port; hint: brackets are for IPv6 "
            "addresses"
        },
        Case{
            "drop from 10.0.0.1:53 proto icmp",
            "r:1:6: error: icmp has no ports; hint: addresses with ports go with proto tcp, udp or "
            "sctp, or without proto"
        },
        Case{
            "drop from 10.0.0.1:53 to [::1]:5",
            "r:1:26: error: no packet goes from an IPv4 to an IPv6 address; hint: write a rule for "
            "each family"
        },
        Case{
            "drop proto tcp dport { 10.0.0.1:53 }",
            "r:1:24: error: '10.0.0.1:53' is an address; hint: sport and dport take ports"
        },
        Case{"set a { 1.1.1.1 2.2.2.2 }", "r:1:17: error: '2.2.2.2' where , or } should be"},
        Case{
            "set a { 1.1.1.1,, 2.2.2.2 }",
            "r:1:17: error: a comma where an address or a port should be"
        },
        Case{"set a { @b }", "r:1:9: error: a set inside a list; hint: write a rule for each set"},
        Case{"set a { \"x\" }", "r:1:9: error: 'x' where an address or a port should be"},
        Case{"set a {\n1.1.1.1,", "r:1:7: error: the { is not closed; hint: close it with }"},
        Case{
            "set a {\n1.1.1.1\ndrop from @a\n",
            "r:3:1: error: 'drop' inside a list; hint: close the { of line 1 first"
        },
        Case{
            "set a {\n}\n}",
            "r:3:1: error: '}' where a statement should be; hint: a line starts with pass, drop, "
            "set, cgroup, shape, default or malformed"
        },
        // set files
        Case{
            "set a file /x",
            "r:1:12: error: '/x' where the path of a file should be; hint: write it in quotes: "
            "\"/etc/zsync/list\""
        },
        Case{"set a file \"x\"", "r:1:12: error: 'x' is no absolute path; hint: start it with /"},
        Case{"set a file \"/no\"", "r:1:12: error: cannot read /no: No such file or directory"},
        Case{"set a file \"/a\\n\"", "r:1:12: error: '/a\\n' is no path of a file"},
        Case{
            "set a file \"/x",
            "r:1:12: error: the string is not closed; hint: close it with \" on the same line"
        },
        // conditions
        Case{"drop fro 10.0.0.1", "r:1:6: error: unknown condition 'fro'; hint: did you mean from"},
        Case{
            "drop saddr 10.0.0.1",
            "r:1:6: error: unknown condition 'saddr'; hint: the source is called from"
        },
        Case{"drop tcp dport 22", "r:1:6: error: unknown condition 'tcp'; hint: write proto tcp"},
        Case{
            "drop from 1.1.1.1 from 2.2.2.2",
            "r:1:19: error: from is given twice; hint: each condition once a rule; put several "
            "values in { }"
        },
        Case{
            "drop sample 1/9 sample 1/9",
            "r:1:17: error: sample is given twice; hint: each action once a rule"
        },
        Case{
            "drop sample 1/0",
            "r:1:13: error: '1/0' where a share of the packets should be; hint: 1/N, one packet of "
            "N, with N from 1 to 1048576"
        },
        Case{
            "drop sample 5 vlan 1",
            "r:1:13: error: '5' where a share of the packets should be; hint: 1/N, one packet of "
            "N, with N from 1 to 1048576"
        },
        Case{
            "pass limit",
            "r:1:11: error: the end of the file where a rate should be; hint: N/s, N/m, N/h or N/d "
            "for packets, Nkbit, Nmbit or Ngbit for bits a second"
        },
        Case{
            "pass limit 1000 by source",
            "r:1:12: error: '1000' where a rate should be; hint: N/s, N/m, N/h or N/d for packets, "
            "Nkbit, Nmbit or Ngbit for bits a second"
        },
        Case{
            "pass limit 5/s burst by source",
            "r:1:22: error: 'by' where a burst should be; hint: a number of packets"
        },
        Case{
            "pass limit 5mbit burst 9",
            "r:1:24: error: '9' where a burst should be; hint: Nb, Nkb or Nmb, of at least 1600 "
            "bytes"
        },
        Case{
            "pass limit 5/s by sport",
            "r:1:19: error: 'sport' where what to limit by should be; hint: rule, source, "
            "source/N, source/N/M (N bits of IPv4, M of IPv6), destination, dport, flow, cgroup or "
            "interface"
        },
        Case{
            "pass limit 5/s by source/40/64",
            "r:1:19: error: 'source/40/64' where what to limit by should be; hint: rule, source, "
            "source/N, source/N/M (N bits of IPv4, M of IPv6), destination, dport, flow, cgroup or "
            "interface"
        },
        Case{
            "pass limit 5/s burst 3 sliding",
            "r:1:6: error: a sliding window has no burst; hint: leave burst out, or use gcra"
        },
        Case{
            "drop limit 5/s",
            "r:1:6: error: drop with a limit; hint: pass limit ...: what is over the limit is "
            "dropped"
        },
        Case{
            "pass limit 5/s adaptive 6/s on drops",
            "r:1:25: error: '6/s' where a lowest rate should be; hint: in the unit of the limit's "
            "rate, and no higher"
        },
        Case{
            "pass limit 5/s adaptive 1/s on load",
            "r:1:32: error: 'load' where a signal should be; hint: on drops, on cpu PERCENT or on "
            "queue PACKETS"
        },
        Case{
            "pass limit 5/s adaptive 1/s on cpu 101",
            "r:1:36: error: '101' where a threshold should be; hint: a number from 1 to 100"
        },
        Case{
            "pass limit 5/s sliding adaptive 1/s on drops",
            "r:1:6: error: a sliding window does not adapt; hint: use gcra"
        },
        Case{
            "pass limit 5/s by cgroup",
            "r:1:6: error: a limit by cgroup or interface in a rule for what this interface "
            "receives; "
            "hint: write it with out, or in a cgroup block"
        },
        Case{
            "pass limit 1/d burst 400",
            "r:1:6: error: that burst takes longer than 366 days to fill"
        },
        Case{
            "drop smaple 1/5", "r:1:6: error: unknown condition 'smaple'; hint: did you mean sample"
        },
        Case{
            "drop redirect lan0",
            "r:1:6: error: redirect in a rule that drops; hint: write pass redirect"
        },
        Case{
            "drop challenge",
            "r:1:6: error: challenge in a rule that drops; hint: write pass challenge"
        },
        Case{
            "pass challenge proto udp",
            "r:1:6: error: challenge in a rule that TCP does not match; hint: write proto tcp"
        },
        Case{
            "pass challenge redirect lan0",
            "r:1:6: error: challenge in a rule that redirects: it is for sockets of this host; "
            "hint: write one of them"
        },
        Case{
            "cgroup /a {\n pass challenge\n}",
            "r:2:7: error: challenge in a rule for what is not received by this interface; hint: "
            "write it without out, outside of a cgroup block"
        },
        Case{
            "pass out redirect lan0",
            "r:1:10: error: redirect in a rule for what is not received by this interface; hint: "
            "write it without out, outside of a cgroup block"
        },
        Case{"drop in out", "r:1:9: error: out is given twice; hint: a rule is for in or for out"},
        Case{
            "drop out mark 0x100000000",
            "r:1:15: error: '0x100000000' where a mark should be; hint: a number of 32 bits: 7 or "
            "0x10"
        },
        Case{
            "pass mark 1 redirect eth1",
            "r:1:6: error: mark in a rule that redirects: what leaves by another interface has "
            "none; hint: write one of them"
        },
        Case{
            "drop cgroup /a",
            "r:1:6: error: cgroup in a rule for what this interface receives, which has no socket "
            "yet; hint: write it with out, or in a cgroup block"
        },
        Case{
            "drop in interface eth0",
            "r:1:9: error: interface in a rule for what this interface receives; hint: write it "
            "with out, or in a cgroup block"
        },
        Case{"drop out interface a/b", "r:1:20: error: 'a/b' cannot be an interface's name"},
        Case{
            "drop out cgroup a/b",
            "r:1:17: error: 'a/b' is no path of a cgroup; hint: as /proc/PID/cgroup has it: "
            "/system.slice/nginx.service"
        },
        Case{
            "cgroup /a/../b {\n}",
            "r:1:8: error: '/a/../b' is no path of a cgroup; hint: as /proc/PID/cgroup has it: "
            "/system.slice/nginx.service"
        },
        Case{
            "cgroup /a\n",
            "r:1:10: error: the end of the line where { should be; hint: cgroup PATH {, then its "
            "rules, then }"
        },
        Case{
            "cgroup /a {\ndrop vlan 1\n}",
            "r:2:6: error: vlan in a cgroup block: the packets of sockets have no tags; hint: "
            "write "
            "the rule outside of the block"
        },
        Case{
            "cgroup /a {\nmalformed drop\n}",
            "r:2:1: error: malformed inside a cgroup block; hint: it stands once, outside, for all"
        },
        Case{
            "cgroup /a {\n}\ncgroup /a {\n}",
            "r:3:11: error: the cgroup '/a' is given twice; hint: it stands on line 1 already"
        },
        Case{
            "cgroup /a {\ncgroup /b {\n}\n}",
            "r:2:11: error: a cgroup block inside another; hint: close that first"
        },
        Case{
            "cgroup /a {\ndrop",
            "r:1:11: error: the { is not closed; hint: close it with } on a line of its own"
        },
        Case{
            "default out drop\ndefault out drop",
            "r:2:1: error: default out is given twice; hint: it stands on line 1 already"
        },
        Case{
            "drop from 1.1.1.1, 2.2.2.2",
            "r:1:18: error: ',' where a condition should be; hint: put several in { }; "
            "conditions have no comma between them"
        },
        Case{
            "drop from",
            "r:1:10: error: the end of the file where an address, a prefix, ADDRESS:PORT, @set or "
            "{ list } "
            "should be"
        },
        Case{
            "drop from proto tcp",
            "r:1:11: error: from has no value; hint: give it an address, a prefix, ADDRESS:PORT, "
            "@set or { list }"
        },
        Case{"drop from 80", "r:1:11: error: '80' is a port; hint: from and to take addresses"},
        Case{
            "drop from { }",
            "r:1:11: error: an empty list matches nothing; hint: leave the rule out"
        },
        Case{
            "drop from { 1.1.1.1\n}",
            "r:1:11: error: the { is not closed; hint: close it with } on the same line\n"
            "r:2:1: error: '}' where a statement should be; hint: a line starts with pass, drop, "
            "set, cgroup, shape, default or malformed"
        },
        Case{"drop from @", "r:1:11: error: '' is no name of a set"},
        Case{
            "drop from @bd\nset bad { 1.1.1.1 }",
            "r:1:11: error: there is no set 'bd'; hint: did you mean bad"
        },
        Case{
            "drop from @bad\nset bad { 1.1.1.1 }",
            "r:1:11: error: the set 'bad' is used before it is defined; hint: move it up from "
            "line 2"
        },
        Case{
            "set p { 22 }\ndrop from @p",
            "r:2:11: error: the set 'p' has ports, not addresses; hint: from and to take "
            "addresses"
        },
        Case{
            "set a { 1.1.1.1 }\ndrop proto tcp dport @a",
            "r:2:22: error: the set 'a' has addresses, not ports; hint: sport and dport take "
            "ports"
        },
        Case{
            "set a { }\ndrop proto tcp dport @a",
            "r:2:22: error: the set 'a' is empty; hint: sport and dport take ports"
        },
        Case{
            "drop from 10.0.0.1 to ::1",
            "r:1:23: error: no packet goes from an IPv4 to an IPv6 address; hint: write a rule "
            "for each family"
        },
        Case{
            "drop to 10.0.0.1 from { ::1, ::2 }",
            "r:1:9: error: no packet goes from an IPv6 to an IPv4 address; hint: write a rule "
            "for each family"
        },
        Case{"drop proto", "r:1:11: error: the end of the file where a protocol should be"},
        Case{"drop proto tpc", "r:1:12: error: 'tpc' is no protocol; hint: did you mean tcp"},
        Case{"drop proto gre", "r:1:12: error: 'gre' is no protocol; hint: gre is proto 47"},
        Case{
            "drop proto icmp6", "r:1:12: error: 'icmp6' is no protocol; hint: icmp6 is proto icmpv6"
        },
        Case{
            "drop proto 256",
            "r:1:12: error: '256' is no protocol; hint: tcp, udp, icmp, icmpv6, sctp or a number "
            "from 0 to 255"
        },
        Case{
            "drop proto 99999999999999999999",
            "r:1:12: error: '99999999999999999999' is no protocol; hint: tcp, udp, icmp, icmpv6, "
            "sctp or a number from 0 to 255"
        },
        Case{
            "drop proto { tcp, udp }",
            "r:1:12: error: a list of protocols; hint: write a rule for each protocol"
        },
        Case{
            "drop dport 22",
            "r:1:6: error: dport without a protocol; hint: add proto tcp, proto udp or proto sctp"
        },
        Case{
            "drop proto icmp sport 22",
            "r:1:17: error: icmp has no ports; hint: sport goes with proto tcp, udp or sctp"
        },
        Case{
            "drop icmp echo-request",
            "r:1:6: error: icmp without its protocol; hint: add proto icmp or proto icmpv6"
        },
        Case{
            "drop proto icmp icmp echo-requst",
            "r:1:22: error: 'echo-requst' is no type of icmp; hint: did you mean echo-request"
        },
        Case{
            "drop proto icmpv6 icmp { 1, 256 }",
            "r:1:29: error: '256' is no type of icmpv6; hint: a number from 0 to 255, or a name "
            "such as echo-request"
        },
        Case{
            "drop proto icmp icmp 3/256",
            "r:1:22: error: '256' is no code; hint: TYPE/CODE, the code a number from 0 to 255"
        },
        Case{
            "drop proto icmp icmp { }",
            "r:1:22: error: an empty list matches nothing; hint: leave the rule out"
        },
        Case{
            "drop length name \"x\"",
            "r:1:13: error: length has no value; hint: give it a number of bytes, a range or { "
            "list }"
        },
        Case{
            "drop length 65536",
            "r:1:13: error: '65536' is no length; hint: bytes of the IP packet from 0 to 65535, or "
            "a range: 0-100"
        },
        Case{"drop length { 1 2 }", "r:1:17: error: '2' where , or } should be"},
        Case{
            "drop proto tcp dport 65536",
            "r:1:22: error: '65536' is over the largest port; hint: ports are 0 to 65535"
        },
        Case{
            "drop proto tcp dport 1-99999999999999999999",
            "r:1:22: error: '1-99999999999999999999' is over the largest port; hint: ports are 0 "
            "to 65535"
        },
        Case{
            "drop proto tcp dport 20-10",
            "r:1:22: error: '20-10' ends before it starts; hint: write 10-20"
        },
        Case{"drop proto tcp dport 20-", "r:1:22: error: '20-' is no port or range of ports"},
        Case{
            "drop proto tcp dport 20:30",
            "r:1:22: error: '20:30' is an address; hint: sport and dport take ports"
        },
        Case{
            "drop proto tcp dport ssh",
            "r:1:22: error: 'ssh' is no port or range of ports; hint: ssh is port 22"
        },
        Case{
            "drop proto tcp dport any",
            "r:1:22: error: 'any' is no port or range of ports; hint: leave the condition out to "
            "match every port"
        },
        Case{
            "drop proto tcp dport 10.0.0.1",
            "r:1:22: error: '10.0.0.1' is an address; hint: sport and dport take ports"
        },
        Case{"drop flags syn", "r:1:6: error: flags without proto tcp; hint: add proto tcp"},
        Case{
            "drop proto udp flags syn",
            "r:1:16: error: flags without proto tcp; hint: add proto tcp"
        },
        Case{
            "drop proto tcp flags sny",
            "r:1:22: error: 'sny' is no TCP flag; hint: did you mean syn"
        },
        Case{"drop proto tcp flags syn,,ack", "r:1:26: error: ',' where a TCP flag should be"},
        Case{"drop proto tcp flags syn,!syn", "r:1:26: error: the flag syn is given twice"},
        Case{
            "drop proto tcp flags syn/ack",
            "r:1:22: error: 'syn/ack' is no TCP flag; hint: fin, syn, rst, psh, ack, urg, ece or "
            "cwr"
        },
        Case{"drop vlan 4096", "r:1:11: error: '4096' where a VLAN id from 0 to 4095 should be"},
        Case{"drop vlan -1", "r:1:11: error: '-1' where a VLAN id from 0 to 4095 should be"},
        Case{
            "drop name x",
            "r:1:11: error: 'x' where a name in quotes should be; hint: write name \"text\""
        },
        Case{
            "drop name \"x",
            "r:1:11: error: the string is not closed; hint: close it with \" on the same line"
        },
        Case{
            "drop name \"x\\\"",
            "r:1:11: error: the string is not closed; hint: close it with \" on the same line"
        },
        Case{
            "drop name \"\"",
            "r:1:11: error: the name is 0 bytes long; hint: a name has 1 to 63 bytes"
        },
        Case{
            "drop name \"a\\tb\"",
            "r:1:11: error: an unknown escape in the name; hint: only \\\" and \\\\ are known"
        },
        Case{"drop name \"a\tb\"", "r:1:11: error: the name has unprintable characters"},
        Case{"drop name \"a\xe2\x80\xae\"", "r:1:11: error: the name has unprintable characters"},
        Case{
            "drop vlan 1 name \"a\"\npass name \"a\"",
            "r:2:6: error: the name 'a' is taken; hint: the rule on line 1 has it"
        },
        // text
        Case{
            "\xff\xfe"
            "d",
            "r:1:1: error: the text is UTF-16; hint: save it as UTF-8"
        },
        Case{
            "drop # \xc3\xa9 \xff",
            "r:1:10: error: the byte 0xff is no UTF-8; hint: save the file as UTF-8"
        },
        Case{
            "pass \xe9t\xe9",
            "r:1:6: error: the byte 0xe9 is no UTF-8; hint: save the file as UTF-8\n"
            "r:1:6: error: unknown condition '\\xe9t\\xe9'"
        },
        Case{
            "# \xc3\xa9\xc3\xa9\ndrop name \"\xc3\xa9\" vlan x",
            "r:2:20: error: 'x' where a VLAN id from 0 to 4095 should be"
        },
        Case{
            "drop\rpass\n",
            "r:1:5: error: a carriage return without a newline; hint: end lines with \\n"
        },
        Case{"drop \x1b[31m", "r:1:6: error: control character 0x1b"},
        Case{
            "drop \x1b[31m\x7f\npass \x01",
            "r:1:6: error: control character 0x1b\nr:2:6: error: control character 0x01"
        },
    };
    for (const Case& bad : cases) {
        EXPECT_EQ(errors_of(bad.text), bad.message) << bad.text;
    }
}

TEST(RulesErrors, a_hint_repeats_nothing_that_a_terminal_obeys) {
    EXPECT_EQ(
        errors_of("drop from 10/8\xc2\x9b"
                  "31m"),
        "r:1:11: error: '10/8\\xc2\\x9b31m' is no address or prefix; hint: write all four numbers: "
        "10.0.0.0/8\\xc2\\x9b..."
    );
}

TEST(RulesErrors, a_nul_byte_is_no_text) {
    using namespace std::string_view_literals;
    EXPECT_EQ(errors_of("pass\ndr\0op\n"sv), "r:2:3: error: a NUL byte: this is no text");
}

TEST(RulesErrors, several_are_reported_in_the_order_of_the_text) {
    EXPECT_EQ(
        errors_of("drop from @later vlan 1\nset a {\n 10.0.0.1/8,\n 300.1.1.1,\n 10.0.0.1\n}\n"
                  "drop from @a vlan 9999\npass proto tcp\n"),
        "r:1:11: error: there is no set 'later'\n"
        "r:3:2: error: '10.0.0.1/8' has host bits set; hint: use 10.0.0.0/8\n"
        "r:4:2: error: '300.1.1.1' is no address or prefix; hint: an IPv4 address is four numbers "
        "from 0 to 255\n"
        "r:7:19: error: '9999' where a VLAN id from 0 to 4095 should be"
    );
}

TEST(RulesErrors, a_statement_in_an_open_list_is_parsed_on_its_own) {
    EXPECT_EQ(
        errors_of("set a {\n1.1.1.1,\ndrop vlan 9999\nset b { 9.9.9.9 }\npass from @a to @b\n"),
        "r:3:1: error: 'drop' inside a list; hint: close the { of line 1 first\n"
        "r:3:11: error: '9999' where a VLAN id from 0 to 4095 should be"
    );
}

TEST(RulesErrors, a_bad_head_of_a_set_hides_no_error_behind_it_and_makes_no_other) {
    EXPECT_EQ(
        errors_of("set 9bad {\n1.1.1.1,\n2.2.2.2\n}\ndrop vlan 9999\n"),
        "r:1:5: error: '9bad' is no name of a set; hint: a name is a letter, then letters, "
        "digits, _ . or -, at most 63 bytes\n"
        "r:5:11: error: '9999' where a VLAN id from 0 to 4095 should be"
    );
}

TEST(RulesErrors, a_set_files_errors_name_the_file) {
    const Files files{
        {"/list", "10.0.0.0/8\n  10.0.0.1/8 # no\n\n1.1.1.1, 2.2.2.2\n80\n5.5.5.5 ; x\n"}
    };
    EXPECT_EQ(
        errors_of("set a file \"/list\"\ndrop from @a\ndrop vlan 9999", files),
        "/list:2:3: error: '10.0.0.1/8' has host bits set; hint: use 10.0.0.0/8\n"
        "/list:4:1: error: the line is no prefix; hint: one prefix a line, without commas\n"
        "/list:5:1: error: the line is no prefix; hint: one prefix a line\n"
        "/list:6:1: error: the line is no prefix; hint: comments start with #\n"
        "r:3:11: error: '9999' where a VLAN id from 0 to 4095 should be"
    );
}

TEST(RulesErrors, a_file_that_is_no_list_is_never_quoted) {
    const Files files{{"/shadow", "root:$y$j9T$secret:19000:0:99999:7:::\n"}};
    EXPECT_EQ(
        errors_of("set a file \"/shadow\"\n", files),
        "/shadow:1:1: error: the line is no prefix; hint: one prefix a line"
    );
}

TEST(RulesErrors, a_hostile_source_name_cannot_forge_lines) {
    const auto rules = parse_rules("dorp", "a\nb\x1b[1m", reading({}));
    ASSERT_FALSE(rules);
    EXPECT_TRUE(join_messages(rules.error()).starts_with("a\\x0ab\\x1b[1m:1:1: error: "));
}
