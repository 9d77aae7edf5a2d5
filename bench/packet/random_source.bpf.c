// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Gives each packet of a BPF_PROG_TEST_RUN another source address and then becomes the program under
 * test, so that lookups meet as many cache lines as they do in life.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Room for 1,048,576 IPv6 addresses, or four times as many IPv4 ones. */
#define WORDS_MAX (1U << 22)

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/*
 * Addresses in network order, shuffled by who writes them and given out one after the other: the
 * prefetcher brings them, so that what is measured is the lookup's own waiting. `address_words` is 1
 * for IPv4 and 4 for IPv6, `words` what is filled; 0: random IPv4 addresses.
 */
__u32 addresses[WORDS_MAX];
__u32 words;
__u32 address_words = 1;
__u32 at;
__u64 state = 88172645463325252ULL;
__u64 calls;

static __always_inline int become_target(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;

	if (data + 38 > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (!words) {
		__u64 random = state;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		state = random;
		*(__u32 *)(data + 26) = random >> 32;
	} else if (address_words == 1) {
		*(__u32 *)(data + 26) = addresses[at & (WORDS_MAX - 1)];
		at = at + 1 < words ? at + 1 : 0;
	} else {
		__u32 *source = (__u32 *)(data + 22);

		source[0] = addresses[at & (WORDS_MAX - 4)];
		source[1] = addresses[(at & (WORDS_MAX - 4)) + 1];
		source[2] = addresses[(at & (WORDS_MAX - 4)) + 2];
		source[3] = addresses[(at & (WORDS_MAX - 4)) + 3];
		at = at + 4 < words ? at + 4 : 0;
	}
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
