// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a person writes who blocks addresses with ports by the kernel's own map type: read the source
 * address and port of a UDP packet, look them up in a BPF_MAP_TYPE_HASH, drop on a hit.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PROTOCOL_UDP 17

struct key {
	__u32 address[4];
	__u16 port;
	__u16 reserved;
};

/* Sized by user space for what is in it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct key);
	__type(value, __u64);
} endpoints_ipv6 SEC(".maps");

struct key_ipv4 {
	__u32 address;
	__u16 port;
	__u16 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct key_ipv4);
	__type(value, __u64);
} endpoints_ipv4 SEC(".maps");

SEC("xdp.frags")
int kernel_hash(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u8 *data_end = (__u8 *)(long)ctx->data_end;
	__u64 *hits = 0;

	if (data + 14 > data_end)
		return XDP_PASS;
	if (data[12] == 0x08 && data[13] == 0x00) {
		struct key_ipv4 key = {};

		if (data + 36 > data_end || data[14] != 0x45 || data[23] != PROTOCOL_UDP)
			return XDP_PASS;
		key.address = *(__u32 *)(data + 26);
		key.port = *(__u16 *)(data + 34);
		hits = bpf_map_lookup_elem(&endpoints_ipv4, &key);
	} else if (data[12] == 0x86 && data[13] == 0xdd) {
		struct key key = {};

		if (data + 56 > data_end || data[20] != PROTOCOL_UDP)
			return XDP_PASS;
		__builtin_memcpy(key.address, data + 22, 16);
		key.port = *(__u16 *)(data + 54);
		hits = bpf_map_lookup_elem(&endpoints_ipv6, &key);
	}
	if (!hits)
		return XDP_PASS;
	++*hits;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
