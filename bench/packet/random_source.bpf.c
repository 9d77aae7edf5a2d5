// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Gives each packet of a BPF_PROG_TEST_RUN another IPv4 source address and then becomes the program
 * under test, so that lookups meet as many cache lines as they do in life.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ADDRESSES_MAX 16384

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/* In network order; the first `address_count` are drawn from, or any address at all when it is 0. */
__u32 addresses[ADDRESSES_MAX];
__u32 address_count;
__u64 state = 88172645463325252ULL;
__u64 calls;

static __always_inline int become_target(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u64 random = state;
	__u32 address;

	if (data + 34 > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	state = random;
	address = random >> 32;
	if (address_count)
		address = addresses[((random >> 32) * address_count >> 32) & (ADDRESSES_MAX - 1)];
	*(__u32 *)(data + 26) = address;
	calls++;
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

/* A tail call only goes to a program of the same kind: with or without multi-buffer frames. */
SEC("xdp.frags")
int random_source_frags(struct xdp_md *ctx)
{
	return become_target(ctx);
}

SEC("xdp")
int random_source(struct xdp_md *ctx)
{
	return become_target(ctx);
}

SEC("xdp.frags")
int bare_drop_frags(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

SEC("xdp")
int bare_drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
