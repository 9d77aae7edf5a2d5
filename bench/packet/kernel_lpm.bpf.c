// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a person writes who blocks prefixes with the kernel's own map type: read the source address,
 * look it up in a BPF_MAP_TYPE_LPM_TRIE, drop on a hit.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct key {
	__u32 length;
	__u32 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct key);
	__type(value, __u64);
} prefixes_ipv6 SEC(".maps");

struct key_ipv4 {
	__u32 length;
	__u32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct key_ipv4);
	__type(value, __u64);
} prefixes_ipv4 SEC(".maps");

SEC("xdp.frags")
int kernel_lpm(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u8 *data_end = (__u8 *)(long)ctx->data_end;
	__u64 *hits = 0;

	if (data + 14 > data_end)
		return XDP_PASS;
	if (data[12] == 0x08 && data[13] == 0x00) {
		struct key_ipv4 key = { .length = 32 };

		if (data + 34 > data_end)
			return XDP_PASS;
		key.address = *(__u32 *)(data + 26);
		hits = bpf_map_lookup_elem(&prefixes_ipv4, &key);
	} else if (data[12] == 0x86 && data[13] == 0xdd) {
		struct key key = { .length = 128 };

		if (data + 54 > data_end)
			return XDP_PASS;
		__builtin_memcpy(key.address, data + 22, 16);
		hits = bpf_map_lookup_elem(&prefixes_ipv6, &key);
	}
	if (!hits)
		return XDP_PASS;
	++*hits;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
