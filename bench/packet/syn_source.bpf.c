// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Makes each packet of a BPF_PROG_TEST_RUN a new SYN, from another address and port, and then becomes the
 * program under test: what that made of the one before is gone.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Ethernet, IPv4, TCP with the options that Linux offers. */
#define SYN_BYTES 74
#define SOURCE_AT 26
#define SOURCE_PORT_AT 34
#define NUMBER_AT 38

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

__u8 syn[SYN_BYTES];
__u64 state = 88172645463325252ULL;
__u64 calls;

SEC("xdp.frags")
int syn_source(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u64 random = state;

	if (data + SYN_BYTES > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(data, syn, SYN_BYTES);
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	state = random;
	*(__u32 *)(data + SOURCE_AT) = random >> 32;
	*(__u16 *)(data + SOURCE_PORT_AT) = random >> 16;
	*(__u32 *)(data + NUMBER_AT) = random;
	calls++;
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int bare_send(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
