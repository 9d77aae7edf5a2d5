// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Run on a frame with BPF_F_TEST_XDP_LIVE_FRAMES: sends it out of an interface as often as it is
 * repeated, each time from another address: one of `addresses`, or of 10.0.0.0/8 when there are none.
 * With `interval_ns` no sooner than so long after the one before.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ADDRESSES_MAX (1U << 18)
/* Looks at the clock for one frame: some 50 microseconds of them. */
#define LOOKS_MAX 2048
/* Time that was lost to others, and that is not caught up with. */
#define LATE_NS_MAX 50000

__u32 ifindex;
__u32 addresses[ADDRESSES_MAX]; /* in network order */
__u32 addresses_count;
__u64 state = 88172645463325252ULL;
__u64 interval_ns;
__u64 due_ns;

static void wait_until_due(void)
{
	__u64 now = bpf_ktime_get_ns();

	for (int i = 0; i < LOOKS_MAX && now < due_ns; i++)
		now = bpf_ktime_get_ns();
	if (now > due_ns + LATE_NS_MAX)
		due_ns = now;
	due_ns += interval_ns;
}

SEC("xdp")
int live_source(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u64 random = state;

	if (data + 34 > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (interval_ns)
		wait_until_due();
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	state = random;
	if (addresses_count) {
		*(__u32 *)(data + 26) = addresses[(random >> 32) % addresses_count & (ADDRESSES_MAX - 1)];
	} else {
		data[27] = random >> 32;
		data[28] = random >> 40;
		data[29] = random >> 48;
	}
	return bpf_redirect(ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
