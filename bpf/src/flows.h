/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The flow table. A flow keeps its verdict, who opened it, and the epoch at which it was judged; when
 * the node's epoch has moved, its next packet is judged again by the flow's own first packet.
 *
 * Invariants: what is denied never becomes allowed by an answer from the other side. Verdict and
 * epoch are one word, replaced at once. Counters are added atomically, so they are exact whatever
 * the number of CPUs. */
#pragma once

#include "abi.h"
#include "config.h"
#include "events.h"
#include "flow_table.h"
#include "hosts.h"
#include "judge.h"
#include "kernel.h"
#include "packet.h"

#define SECOND_NS 1000000000ull

/* Idle for longer than this, an entry says nothing any more. The sweep of user space uses the same
 * numbers (crates/enforce/src/limits.rs); the kernel's are what holds when there is no agent. */
INLINE __u64 idle_max_ns(const struct flow_key *key, const struct flow *flow)
{
	__u32 state = flow->state;

	if (!((__u32)flow->judged & LEAF_ALLOW))
		/* A connection that was cut must stay cut while its other end still tries. */
		return (key->lane == LANE_CONNECTION && key->protocol == PROTOCOL_TCP ? 600 : 30) *
		       SECOND_NS;
	switch (key->protocol) {
	case PROTOCOL_TCP:
		if (state & STATE_RESET ||
		    (state & (STATE_OPENER_FIN | STATE_REPLIER_FIN)) ==
			    (STATE_OPENER_FIN | STATE_REPLIER_FIN))
			return 10 * SECOND_NS;
		return (state & STATE_REPLIED ? 86400 : 60) * SECOND_NS;
	case PROTOCOL_UDP:
		return (state & STATE_REPLIED ? 180 : 60) * SECOND_NS;
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6:
		return 30 * SECOND_NS;
	}
	return 600 * SECOND_NS;
}

INLINE int is_closed(const struct flow *flow)
{
	__u32 fins = STATE_OPENER_FIN | STATE_REPLIER_FIN;

	return flow->state & STATE_RESET || (flow->state & fins) == fins;
}

#define RULE_MASK 0x3fffffffu

INLINE __u32 leaf_of(__u64 judged)
{
	return (__u32)judged;
}

/* A new flow is made here, for want of stack. Hooks of local processes may be interrupted by others on
 * the same CPU, so a place is claimed first; there are more than contexts that nest. */
struct fresh_flow {
	__u32 is_claimed;
	__u32 zero;
	struct flow flow;
};

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct fresh_flow);
	MAP_NUMBER(max_entries, CLAIMS_MAX);
	MAP_NUMBER(pinning, PINNED);
} fresh_flows SEC(".maps");

INLINE struct fresh_flow *claim_fresh(void)
{
	for (__u32 i = 0; i < CLAIMS_MAX; i++) {
		__u32 place = i;
		struct fresh_flow *fresh = map_lookup(&fresh_flows, &place);

		if (fresh && !__sync_lock_test_and_set(&fresh->is_claimed, 1))
			return fresh;
	}
	count(REASON_BUSY);
	return 0;
}

/* A packet on its way into the flow table. */
struct passage {
	struct flow_key key;
	struct judges endpoint;
	__u32 failsafe[2];
	struct occasion occasion;
	struct address real;
	__u64 epoch;
	__u64 bytes;
	__u32 packets;
	__u8 sender; /* enum opener */
	__u8 is_ipv4;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 tcp_flags;
	__u8 is_answer;
	__u16 real_port;
	__u8 is_translated;
	__u8 is_from_host; /* a process of this node has sent it to a workload */
	__u8 is_cut;	   /* with this packet */
	__u8 is_deferred;  /* a new flow is judged by netfilter's hooks, behind translation */
};

/* The verdict about the flow whose first packet `opener` sent. */
INLINE __u32 judge_flow(const struct passage *passage, __u8 opener, __u8 icmp_type, __u8 icmp_code)
{
	const struct flow_key *key = &passage->key;
	__u16 remote_port = passage->is_translated ? passage->real_port : key->remote_port;
	int is_sent = opener == OPENER_LOCAL;
	struct question question = {
		.remote = passage->is_translated ? passage->real : key->remote,
		.program = is_sent ? passage->endpoint.egress : passage->endpoint.ingress,
		.lane = passage->endpoint.lane,
		.src_port = is_sent ? key->local_port : remote_port,
		.dst_port = is_sent ? remote_port : key->local_port,
		.protocol = key->protocol,
		.icmp_type = icmp_type,
		.icmp_code = icmp_code,
		.is_ipv4 = passage->is_ipv4,
	};

	if (passage->is_from_host && !is_sent && config_at(CONFIG_NETFILTER))
		return LEAF_ALLOW | RULE_HOST_TO_WORKLOAD;
	if (passage->endpoint.lane & ENDPOINT_BY_NEAR) {
		__u32 set = passage->failsafe[is_sent];

		if (set && is_failsafe(set, key->protocol, question.dst_port, &question.remote))
			return LEAF_ALLOW | RULE_FAILSAFE;
		if (!question.program)
			return LEAF_ALLOW | LEAF_NO_SAY | RULE_STAGE_DEFAULT;
		question.program = program_near(question.program, &key->local);
		if (!question.program)
			return LEAF_UNKNOWN;
	}
	/* Names belong to the address that was looked up, which is the one that was dialled. */
	if (is_sent && passage->endpoint.lane & ENDPOINT_NAMES)
		question.set = name_set_of(passage->endpoint.slot, question.program, &key->remote,
					   question.lane);
	return judge(&question);
}

INLINE void flow_init(struct flow *flow, const struct passage *passage, __u32 leaf)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->judged = passage->epoch << 32 | leaf;
	flow->revision = config_at(CONFIG_REVISION);
	flow->started_ns = flow->seen_ns = passage->occasion.now_ns;
	flow->packets[0] = passage->packets;
	flow->bytes[0] = passage->bytes;
	flow->opener = passage->sender;
	flow->icmp_type = passage->icmp_type;
	flow->icmp_code = passage->icmp_code;
	if (passage->is_translated) {
		flow->is_translated = 1;
		flow->real = passage->real;
		flow->real_port = passage->real_port;
	}
	if (passage->tcp_flags & TCP_SYN)
		flow->state |= STATE_SYN;
	if (passage->tcp_flags & TCP_FIN)
		flow->state |= STATE_OPENER_FIN;
	if (passage->tcp_flags & TCP_RST)
		flow->state |= STATE_RESET;
}

/* Where nobody had a word there is nothing to tell; a stage without a say may have logged. */
INLINE int is_worth_telling(__u32 leaf)
{
	return leaf != (LEAF_ALLOW | LEAF_NO_SAY | RULE_STAGE_DEFAULT);
}

INLINE void report_flow(__u8 kind, const struct passage *passage, const struct flow *flow)
{
	if (is_worth_telling(leaf_of(flow->judged)))
		report(kind, &passage->occasion, &passage->key, flow);
}

INLINE void flow_mark(struct flow *flow, __u32 bits)
{
	if ((flow->state & bits) != bits)
		__sync_fetch_and_or(&flow->state, bits);
}

/* Exact on any number of CPUs: each addition is one atomic, and what is moved is first taken. */
SUBPROGRAM int tally_move(struct flow *flow, __u32 side)
{
	__u64 *tally = side ? &flow->tally[1] : &flow->tally[0];
	__u64 taken = __sync_lock_test_and_set(tally, 0);

	__sync_fetch_and_add(side ? &flow->packets[1] : &flow->packets[0], taken / TALLY_PACKET);
	__sync_fetch_and_add(side ? &flow->bytes[1] : &flow->bytes[0], taken % TALLY_PACKET);
	return 0;
}

/* At most 2^16 packets of 2^16 bytes at once; far fewer than the room above TALLY_MAX. */
INLINE void tally(struct flow *flow, __u32 side, __u32 packets, __u64 bytes)
{
	__u64 *tally = side ? &flow->tally[1] : &flow->tally[0];

	__sync_fetch_and_add(tally, packets * TALLY_PACKET + bytes);
	if (*(volatile __u64 *)tally >= TALLY_MAX)
		tally_move(flow, side);
}

/* Never back: the first packet may have been stamped by a clock that is ahead of the last tick. */
INLINE void flow_seen(struct flow *flow, __u64 now)
{
	if (now > flow->seen_ns)
		flow->seen_ns = now;
}

/* What a packet of the flow leaves in its state; `tcp_flags` is 0 for other protocols. Bits are moved
 * rather than asked for: FIN to the one of its sender, an opener's ACK of a reply to CONFIRMED. */
INLINE void flow_advance(struct flow *flow, int from_opener, __u8 tcp_flags)
{
	__u32 flags = tcp_flags, is_answer = !from_opener;
	__u32 replied = flow->state & STATE_REPLIED;
	__u32 bits = is_answer * STATE_REPLIED | (flags & TCP_FIN) << is_answer | (flags & TCP_RST);

	if (from_opener)
		bits |= flags & TCP_ACK & replied << 1;
	flow_mark(flow, bits);
}
_Static_assert(STATE_OPENER_FIN == TCP_FIN && STATE_REPLIER_FIN == TCP_FIN << 1 &&
		       STATE_RESET == TCP_RST && STATE_CONFIRMED == TCP_ACK &&
		       STATE_CONFIRMED == STATE_REPLIED << 1,
	       "bits of the state are made from those of packets");

INLINE void flow_count(struct flow *flow, const struct passage *passage)
{
	int from_opener = passage->sender == flow->opener;
	__u8 flags = passage->key.protocol == PROTOCOL_TCP ? passage->tcp_flags : 0;

	flow_seen(flow, passage->occasion.now_ns);
	tally(flow, !from_opener, passage->packets, passage->bytes);
	flow_advance(flow, from_opener, flags);
}

INLINE int verdict_of(__u32 leaf)
{
	return leaf & LEAF_ALLOW ? VERDICT_NEXT : VERDICT_DROP;
}

/* Holds the flow to what is enforced now. Returns the leaf that answers for this packet. */
INLINE __u32 flow_rejudge(struct flow *flow, struct passage *passage)
{
	__u64 before = *(volatile __u64 *)&flow->judged;

	if (flow->is_translated) {
		passage->is_translated = 1;
		passage->real = flow->real;
		passage->real_port = flow->real_port;
	}
	/* Who opened it is a matter of its first packet. */
	passage->is_from_host = (leaf_of(before) & RULE_MASK) == RULE_HOST_TO_WORKLOAD;
	__u32 leaf = judge_flow(passage, flow->opener, flow->icmp_type, flow->icmp_code);
	__u64 after = passage->epoch << 32 | leaf;

	if (after == before || __sync_val_compare_and_swap(&flow->judged, before, after) != before)
		return leaf;
	flow->revision = config_at(CONFIG_REVISION);
	if (passage->key.lane >= LANE_DENIED(0))
		return leaf;
	passage->is_cut = leaf_of(before) & LEAF_ALLOW && !(leaf & LEAF_ALLOW);
	if (passage->is_cut)
		report_flow(EVENT_LATE_DENIED, passage, flow);
	else if (!(leaf_of(before) & LEAF_ALLOW) && leaf & LEAF_ALLOW)
		report_flow(EVENT_NEW, passage, flow);
	return leaf;
}

/* A denied first packet: remembered apart from connections, so that it neither ends one nor is
 * answered by one; reported once, then counted. */
SUBPROGRAM int flow_denied(struct passage *passage, __u32 leaf)
{
	__u8 lane = passage->key.lane;

	if (passage->key.protocol == PROTOCOL_TCP && passage->tcp_flags & TCP_RST) {
		count(REASON_STRAY_RESET);
		return VERDICT_DROP;
	}
	passage->key.lane = LANE_DENIED(passage->sender & 1);
	struct flow *flow = flow_at(&passage->key);
	__u64 now = passage->occasion.now_ns;
	if (flow && (now <= flow->seen_ns ||
		     now - flow->seen_ns <= idle_max_ns(&passage->key, flow))) {
		__u64 before = flow->judged;

		flow_count(flow, passage);
		flow->judged = passage->epoch << 32 | leaf;
		if (leaf_of(before) != leaf) {
			flow->revision = config_at(CONFIG_REVISION);
			report_flow(EVENT_DENIED, passage, flow);
		}
	} else {
		struct fresh_flow *fresh = claim_fresh();

		if (!fresh)
			return VERDICT_DROP;
		flow_init(&fresh->flow, passage, leaf);
		if (flow_put(&passage->key, &fresh->flow, BPF_ANY))
			count(REASON_FLOWS_FULL);
		report_flow(EVENT_DENIED, passage, &fresh->flow);
		fresh->is_claimed = 0;
	}
	passage->key.lane = lane;
	return VERDICT_DROP;
}

/* Remembers an allowed flow, in the place of `old` if there is one. 0 where another CPU has opened the
 * same flow just now. */
INLINE int flow_remember(struct passage *passage, struct flow *old, struct flow *fresh, __u32 leaf)
{
	flow_init(fresh, passage, leaf);
	if (!flow_put(&passage->key, fresh, old ? BPF_ANY : BPF_NOEXIST))
		return 1;
	if (flow_at(&passage->key))
		return 0;
	count(REASON_FLOWS_FULL);
	return 1;
}

/* The packet belongs to the flow that another CPU has opened. */
SUBPROGRAM int flow_join(struct passage *passage, __u32 leaf)
{
	struct flow *twin = flow_at(&passage->key);

	if (!twin)
		return verdict_of(leaf);
	flow_count(twin, passage);
	return verdict_of(leaf_of(twin->judged));
}

/* The first packet of a flow, or of one that takes the place of `old`. */
INLINE int flow_open(struct passage *passage, struct flow *old)
{
	if (passage->is_deferred)
		return VERDICT_DEFER;
	__u32 leaf = judge_flow(passage, passage->sender, passage->icmp_type, passage->icmp_code);

	if (!(leaf & LEAF_ALLOW))
		return flow_denied(passage, leaf);
	if (passage->key.protocol == PROTOCOL_TCP && passage->tcp_flags & TCP_RST && !old)
		return VERDICT_NEXT;
	if (old && leaf_of(old->judged) & LEAF_ALLOW)
		report_flow(EVENT_ENDED, passage, old);
	/* The flow is made in what tells of it, where there is something to tell and room for it. */
	int is_told = is_worth_telling(leaf);
	struct event *event = is_told ? ring_reserve(&events, sizeof(*event), 0) : 0;
	if (event) {
		int is_new = flow_remember(passage, old, &event->flow, leaf);

		fill_event(event, EVENT_NEW, &passage->occasion, &passage->key);
		if (is_new)
			ring_submit(event, wake_if_many());
		else
			ring_discard(event, BPF_RB_NO_WAKEUP);
		return is_new ? VERDICT_NEXT : flow_join(passage, leaf);
	}
	if (is_told)
		count(REASON_LOST_EVENT);
	struct fresh_flow *fresh = claim_fresh();
	if (!fresh)
		return VERDICT_DROP;
	int is_new = flow_remember(passage, old, &fresh->flow, leaf);
	fresh->is_claimed = 0;
	return is_new ? VERDICT_NEXT : flow_join(passage, leaf);
}

/* Whether the packet begins a new flow although there is an entry for its addresses and ports. */
INLINE int supersedes(const struct passage *passage, const struct flow *flow)
{
	int is_syn = passage->key.protocol == PROTOCOL_TCP &&
		     (passage->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
	__u64 now = passage->occasion.now_ns, seen = flow->seen_ns;

	if (now > seen && now - seen > idle_max_ns(&passage->key, flow))
		return 1;
	if (!is_syn)
		return 0;
	return flow->opener != passage->sender || is_closed(flow) ||
	       flow->state & STATE_CONFIRMED || !(flow->state & STATE_SYN);
}

GLOBAL int flow_pass(struct passage *passage)
{
	if (!passage)
		return VERDICT_DROP;
	int is_syn = (passage->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	struct flow *flow = flow_at(&passage->key);

	if (!flow || supersedes(passage, flow))
		return flow_open(passage, flow);

	__u64 judged = *(volatile __u64 *)&flow->judged;
	__u32 leaf = leaf_of(judged);
	if (is_syn || judged >> 32 != passage->epoch)
		leaf = flow_rejudge(flow, passage);
	flow_count(flow, passage);
	return verdict_of(leaf);
}

/* Whether the packet that an ICMP error quotes belongs to a flow that is allowed now. */
GLOBAL int flow_is_allowed(struct passage *passage)
{
	if (!passage)
		return 0;
	struct flow *flow = flow_at(&passage->key);

	if (!flow)
		return 0;
	if (flow->judged >> 32 == passage->epoch)
		return (leaf_of(flow->judged) & LEAF_ALLOW) != 0;
	return (flow_rejudge(flow, passage) & LEAF_ALLOW) != 0;
}
