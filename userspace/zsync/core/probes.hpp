// USDT probes: places of this program that a tracer can stop at or count; one nop each.
#pragma once

/// A probe as SystemTap's sys/sdt.h makes it (`readelf -n`: stapsdt), for gdb, bpftrace, perf and
/// SystemTap; made here so that nobody who builds on libzsync needs that header. `name` has two
/// underscores where tools show a dash; `format` is `SIZE@%N` for each argument, SIZE negative
/// where it is signed. While nobody attaches, a probe costs its nop: `ZSYNC_PROBE_FIELD` hands over
/// where a field lies and loads nothing, `ZSYNC_PROBE_VALUE` is for what is at hand in a register.
/// docs/probes.md documents all of them.
#define ZSYNC_PROBE(name, format, ...)                                                             \
    asm volatile("990: nop\n"                                                                      \
                 ".pushsection .note.stapsdt,\"?\",\"note\"\n"                                     \
                 ".balign 4\n"                                                                     \
                 ".4byte 992f-991f, 994f-993f, 3\n"                                                \
                 "991: .asciz \"stapsdt\"\n"                                                       \
                 "992: .balign 4\n"                                                                \
                 "993: .8byte 990b\n"                                                              \
                 ".8byte _.stapsdt.base\n"                                                         \
                 ".8byte 0\n"                                                                      \
                 ".asciz \"zsync\"\n"                                                              \
                 ".asciz \"" #name "\"\n"                                                          \
                 ".asciz \"" format "\"\n"                                                         \
                 "994: .balign 4\n"                                                                \
                 ".popsection\n"                                                                   \
                 ".ifndef _.stapsdt.base\n"                                                        \
                 ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"           \
                 ".weak _.stapsdt.base\n"                                                          \
                 ".hidden _.stapsdt.base\n"                                                        \
                 "_.stapsdt.base: .space 1\n"                                                      \
                 ".size _.stapsdt.base, 1\n"                                                       \
                 ".popsection\n"                                                                   \
                 ".endif\n" ::__VA_ARGS__)

#define ZSYNC_PROBE_VALUE(value) "nr"(value)
#define ZSYNC_PROBE_FIELD(field) "o"(field)

/// A probe about a task: the record's address, and id, name and its length.
#define ZSYNC_PROBE_TASK(name, record)                                                             \
    ZSYNC_PROBE(                                                                                   \
        name,                                                                                      \
        "8@%0 8@%1 8@%2 4@%3",                                                                     \
        ZSYNC_PROBE_VALUE(&(record)),                                                              \
        ZSYNC_PROBE_FIELD((record).id_),                                                           \
        ZSYNC_PROBE_FIELD((record).name_.text_),                                                   \
        ZSYNC_PROBE_FIELD((record).name_.length_)                                                  \
    )

/// A request is handed to a queue: the request, its user_data, opcode (IORING_OP_*) and descriptor.
#define ZSYNC_PROBE_OPERATION(request)                                                             \
    ZSYNC_PROBE(                                                                                   \
        op__submit,                                                                                \
        "8@%0 8@%1 1@%2 -4@%3",                                                                    \
        ZSYNC_PROBE_VALUE(&(request)),                                                             \
        ZSYNC_PROBE_FIELD((request).target),                                                       \
        ZSYNC_PROBE_FIELD((request).opcode),                                                       \
        ZSYNC_PROBE_FIELD((request).fd)                                                            \
    )
