// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Counts the system calls of one process, all its threads. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u32 process;
__u64 calls;

SEC("tp_btf/sys_enter")
int count_call(void *ctx)
{
	(void)ctx;
	if (bpf_get_current_pid_tgid() >> 32 == process)
		__sync_fetch_and_add(&calls, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
