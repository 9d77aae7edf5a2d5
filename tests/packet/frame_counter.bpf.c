// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Counts the frames of an interface and drops them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 frames;

SEC("xdp.frags")
int frame_counter(struct xdp_md *ctx)
{
	(void)ctx;
	__sync_fetch_and_add(&frames, 1);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
