/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What rules do beyond their verdicts. A rule's cell has a bit for each action, and each action one
 * argument a rule, in a table that is there while some rule has the action. Where none has it, the
 * verifier removes the action's code, and its maps are not made.
 *
 * A challenge is not done here, but behind this by the XDP program: challenge.h. Nor is a class,
 * which says how a packet leaves that all else lets pass: judge_skb.h, shaper.h.
 *
 * A new action is a place in enum zsync_action, a step in zsync_act(), a member of Actions
 * (rule_set.hpp) that Compiler::compile_actions (engine.cpp) makes an argument, a word in
 * action_words (rules_names.hpp) that Parser::action reads and canonical_text writes, and its maps
 * in load_program and Filter::pin_generation.
 *
 * The includer defines ZSYNC_CONFIG and ZSYNC_CELL(i) as for match.h, ZSYNC_LIMIT_AT(i) as for
 * limiter.h; ZSYNC_CONTEXT, the type of its context; ZSYNC_COPY(ctx, to, bytes), which copies the
 * packet's first bytes, of as many as the hit says, and is 0 when it could;
 * ZSYNC_STARTS_AT_NETWORK, whether those are of the network header; ZSYNC_PACKETS(hit) and
 * ZSYNC_COUNTED_BYTES(hit), as how much the packet counts; ZSYNC_SET_MARK(ctx, hit, mark).
 */
#ifndef ZSYNC_ACT_H
#define ZSYNC_ACT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "limiter.h"
#include "parse.h"
#include "zsync_xdp.h"

/* Shared by generations; resized before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} samples SEC(".maps");

#ifdef ZSYNC_HAS_REDIRECT
/* The devices that rules redirect to. A device that goes away leaves its place empty. Only there while
 * a rule redirects; resized before the load, filled before the program runs.
 */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");
#endif

ZSYNC_INLINE int zsync_does(const struct zsync_hit *hit, int action)
{
	return ZSYNC_CONFIG.actions >> action & 1 && hit->cell >> (ZSYNC_ACTION_SHIFT + action) & 1;
}

ZSYNC_INLINE __u32 zsync_argument(const struct zsync_hit *hit, int action)
{
	return ZSYNC_CELL(ZSYNC_CONFIG.arguments[action] + hit->rule);
}

/* `room` is a constant, as the ring buffer wants it; so each size is a copy of this. */
ZSYNC_INLINE void zsync_copy_sample(ZSYNC_CONTEXT *ctx, struct zsync_stats *stats,
				    const struct zsync_hit *hit, const __u32 room)
{
	struct zsync_sample *sample = bpf_ringbuf_reserve(&samples, sizeof(*sample) + room, 0);
	__u32 bytes = hit->bytes > room ? room : hit->bytes;

	if (!sample) {
		ZSYNC_ADD(&stats->samples_lost, 1);
		return;
	}
	/* Two comparisons, which the compiler must not make one: the verifier would not see that it leaves
	 * out zero.
	 */
	asm volatile("" : "+r"(bytes));
	if (bytes == 0)
		goto lose;
	asm volatile("" : "+r"(bytes));
	if (bytes > room)
		goto lose;
	if (ZSYNC_COPY(ctx, sample->data, bytes))
		goto lose;
	sample->time_ns = bpf_ktime_get_ns();
	sample->wire_bytes = hit->bytes;
	sample->captured_bytes = bytes;
	sample->slot = hit->cell & ZSYNC_SLOT_MASK;
	sample->drop = hit->drop != 0;
	sample->starts_at_network = ZSYNC_STARTS_AT_NETWORK;
	__builtin_memset(sample->reserved, 0, sizeof(sample->reserved));
	bpf_ringbuf_submit(sample, 0);
	return;
lose:
	bpf_ringbuf_discard(sample, 0);
	ZSYNC_ADD(&stats->samples_lost, 1);
}

/* Of all packets one in `every`, at random, so that no pattern in the traffic decides which. */
ZSYNC_INLINE void zsync_sample(ZSYNC_CONTEXT *ctx, struct zsync_stats *stats,
			       const struct zsync_hit *hit)
{
	__u32 every = zsync_argument(hit, ZSYNC_SAMPLE);

	if ((__u64)bpf_get_prandom_u32() * every >> 32)
		return;
	ZSYNC_ADD(&stats->sampled, 1);
	if (hit->bytes <= ZSYNC_SAMPLE_HEAD_BYTES)
		zsync_copy_sample(ctx, stats, hit, ZSYNC_SAMPLE_HEAD_BYTES);
	else
		zsync_copy_sample(ctx, stats, hit, ZSYNC_SAMPLE_BYTES_MAX);
}

/* Where the packet is, for a limit that asks; only skbs know. */
ZSYNC_INLINE __u64 zsync_place_of(ZSYNC_CONTEXT *ctx, const volatile struct zsync_limit *limit)
{
#ifdef ZSYNC_IFINDEX
	if (ZSYNC_CONFIG.limit_parts & ZSYNC_LIMIT_BY_CGROUP &&
	    limit->key & ZSYNC_LIMIT_BY_CGROUP)
		return bpf_skb_cgroup_id(ctx);
	if (ZSYNC_CONFIG.limit_parts & ZSYNC_LIMIT_BY_INTERFACE &&
	    limit->key & ZSYNC_LIMIT_BY_INTERFACE)
		return ZSYNC_IFINDEX(ctx);
#else
	(void)ctx;
	(void)limit;
#endif
	return 0;
}

/* Does what the rule says, what may change the verdict first. */
ZSYNC_INLINE void zsync_act(ZSYNC_CONTEXT *ctx, struct zsync_stats *stats,
			    struct zsync_rule_counter *counter, const struct zsync_packet *packet,
			    struct zsync_hit *hit)
{
	if (zsync_does(hit, ZSYNC_LIMIT)) {
		const volatile struct zsync_limit *limit =
			ZSYNC_LIMIT_AT(zsync_argument(hit, ZSYNC_LIMIT));

		if (zsync_limit_over(limit, packet, zsync_place_of(ctx, limit),
				     ZSYNC_PACKETS(hit), ZSYNC_COUNTED_BYTES(hit),
				     hit->cell & ZSYNC_SLOT_MASK)) {
			ZSYNC_ADD(&counter->limited, ZSYNC_PACKETS(hit));
			hit->drop = 1;
		}
	}
	if (zsync_does(hit, ZSYNC_MARK))
		ZSYNC_SET_MARK(ctx, hit, zsync_argument(hit, ZSYNC_MARK));
	if (zsync_does(hit, ZSYNC_SAMPLE))
		zsync_sample(ctx, stats, hit);
#ifdef ZSYNC_HAS_REDIRECT
	if (zsync_does(hit, ZSYNC_REDIRECT) && !hit->drop) {
		if (bpf_redirect_map(&targets, zsync_argument(hit, ZSYNC_REDIRECT), XDP_DROP) ==
		    XDP_REDIRECT)
			hit->redirected = 1;
		else
			hit->drop = 1;
	}
#endif
}

#endif
