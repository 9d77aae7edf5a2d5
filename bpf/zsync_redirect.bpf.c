// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Hands all packets of an interface to AF_XDP sockets, for programs that use these without a filter.
 * What arrives at a queue without a socket goes on to the kernel.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A socket a queue. Resized before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp.frags")
int zsync_redirect(struct xdp_md *ctx)
{
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
