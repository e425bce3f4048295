/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The hooks of netfilter: where the node's routing and any translation of the destination have been
 * done, and where it is known whether a packet is for the host itself or goes through it.
 *
 * Three things are judged here: new flows of workloads (what is known already was settled at their
 * interface), what workloads send to their own host, and the two later stages of host endpoints.
 * Priority: after destination NAT and before source NAT, so both ends are the real ones. */
#pragma once

#include "abi.h"
#include "endpoints.h"
#include "flows.h"
#include "fragments.h"
#include "hosts.h"
#include "kernel.h"
#include "packet.h"
#include "wire.h"
#include "workload.h"

#define RELOCATED __attribute__((preserve_access_index))

struct net_device {
	int ifindex;
	char name[16];
} RELOCATED;

struct nf_hook_state {
	__u8 hook;
	__u8 pf;
	struct net_device *in;
	struct net_device *out;
} RELOCATED;

struct sk_buff {
	unsigned int len;
	unsigned int data_len;
	__u32 mark;
	unsigned long _nfct;
	unsigned char *data;
} RELOCATED;

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

#define NF_DROP 0
#define NF_ACCEPT 1
#define NF_IPV4 2
#define NF_IPV6 10
#define HOOK_LOCAL_IN 1
#define HOOK_FORWARD 2
#define HOOK_LOCAL_OUT 3

/* struct nf_conntrack_tuple, which stands in an nf_conn behind 16 bytes of counters and the 16 of a
 * list node. Whether it does is checked before it is believed. */
struct tuple {
	struct address src;
	__u16 src_port;
	__u16 family;
	struct address dst;
	__u16 dst_port;
	__u8 protocol;
	__u8 is_reply;
};
ASSERT_SIZE(struct tuple, 40);
#define CONNTRACK_ORIGINAL 32
#define CONNTRACK_INFO 7ul
#define CONNTRACK_IS_REPLY 3

/* A packet of which the headers are read. */
struct hooked {
	__u32 is_claimed;
	__u32 zero;
	struct packet packet;
	struct passage passage;
	__u32 in;
	__u32 out;
	__u32 mark;
	__u8 hook;
};

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct hooked);
	MAP_NUMBER(max_entries, CLAIMS_MAX);
	MAP_NUMBER(pinning, PINNED);
} hooked_packet SEC(".maps");

INLINE struct address address_in(const struct address *raw, int is_ipv4)
{
	struct address address = *raw;

	if (is_ipv4) {
		address.words[3] = raw->words[0];
		address.words[0] = address.words[1] = 0;
		address.words[2] = HOST32(0xffff);
	}
	return address;
}

/* The destination that the sender wrote, where the node has translated it since: the key of the flow
 * is what the workload's interface sees. */
SUBPROGRAM int look_behind(unsigned long conntrack, struct hooked *hooked)
{
	struct passage *passage = &hooked->passage;
	const char *at = (const char *)(conntrack & ~CONNTRACK_INFO);
	struct tuple tuple;

	if (!at || (conntrack & CONNTRACK_INFO) >= CONNTRACK_IS_REPLY)
		return 0;
	if (read_kernel(&tuple, sizeof(tuple), at + CONNTRACK_ORIGINAL))
		return 0;
	struct address src = address_in(&tuple.src, passage->is_ipv4);
	struct address dst = address_in(&tuple.dst, passage->is_ipv4);
	if (tuple.family != (passage->is_ipv4 ? NF_IPV4 : NF_IPV6) || tuple.is_reply ||
	    tuple.protocol != passage->key.protocol || !is_same(&src, &passage->key.local)) {
		count(REASON_NO_TRANSLATION);
		return 0;
	}
	__u16 port = passage->key.lane == LANE_CONNECTION ? HOST16(tuple.dst_port)
							  : passage->key.remote_port;
	if (is_same(&dst, &passage->key.remote) && port == passage->key.remote_port)
		return 0;
	passage->is_translated = 1;
	passage->real = passage->key.remote;
	passage->real_port = passage->key.remote_port;
	passage->key.remote = dst;
	passage->key.remote_port = port;
	return 1;
}

/* A new flow of a workload: its egress program, and what its own host says to it. */
SUBPROGRAM int hooked_workload(struct hooked *hooked, unsigned long conntrack)
{
	struct passage *passage = &hooked->passage;
	struct packet *packet = &hooked->packet;
	struct endpoint_key key = {.ifindex = hooked->in, .local = packet->src};
	const struct endpoint *endpoint = endpoint_at(&key);

	passage->occasion.from_workload = 1;
	if (!endpoint)
		return drop(REASON_NOT_ITS_ADDRESS, &passage->occasion, packet);
	passage->endpoint = endpoint->judges;
	if (packet->fragment != FRAGMENT_NONE && recall_fragment(passage->endpoint.slot, packet))
		return drop(REASON_FRAGMENT, &passage->occasion, packet);
	orient(passage, packet, 1);
	if (hooked->hook != HOOK_LOCAL_IN || !config_at(CONFIG_TO_HOST)) {
		if (hooked->mark & MARK_JUDGED)
			return VERDICT_NEXT;
		look_behind(conntrack, hooked);
		return flow_pass(passage);
	}
	struct flow *flow = flow_at(&passage->key);
	if (hooked->mark & MARK_JUDGED && (!flow || flow->opener == OPENER_REMOTE))
		return VERDICT_NEXT;
	look_behind(conntrack, hooked);
	/* It is denied; by the setting of the node unless the workload's own program denies it. */
	__u32 leaf = judge_flow(passage, OPENER_LOCAL, passage->icmp_type, passage->icmp_code);
	if (flow)
		flow_delete(&passage->key);
	return flow_denied(passage, leaf & LEAF_ALLOW ? RULE_WORKLOAD_TO_HOST : leaf);
}

/* One stage of a host endpoint, of which the flows are remembered. */
SUBPROGRAM int hooked_host(struct hooked *hooked, __u32 ifindex, __u32 stage, __u32 from_local)
{
	struct passage *passage = &hooked->passage;
	struct host *host = host_at(ifindex);

	if (!host || !host_stage(host, stage, passage))
		return VERDICT_NEXT;
	passage->occasion.ifindex = ifindex;
	passage->occasion.from_workload = 0;
	passage->is_translated = 0;
	orient(passage, &hooked->packet, from_local);
	return flow_pass(passage);
}

INLINE int is_workload(__u32 ifindex)
{
	return map_lookup(&interfaces, &ifindex) != 0;
}

INLINE int judge_hooked(struct hooked *hooked, unsigned long conntrack)
{
	__u32 mark = hooked->mark;
	int verdict;

	if (hooked->hook == HOOK_LOCAL_OUT) {
		if (is_workload(hooked->out))
			return VERDICT_NEXT;
		verdict = untracked(&hooked->passage, &hooked->packet, hooked->out, 1);
		if (verdict != VERDICT_DEFER)
			return verdict;
		return hooked_host(hooked, hooked->out, STAGE_NORMAL, 1);
	}
	int from_workload = is_workload(hooked->in);
	if (from_workload && (hooked->hook == HOOK_LOCAL_IN || !(mark & MARK_JUDGED))) {
		verdict = hooked_workload(hooked, conntrack);
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	if (hooked->hook == HOOK_LOCAL_IN) {
		if (from_workload || mark & MARK_EARLY)
			return VERDICT_NEXT;
		return hooked_host(hooked, hooked->in, STAGE_NORMAL, 0);
	}
	int to_workload = is_workload(hooked->out);
	if (from_workload && to_workload)
		return VERDICT_NEXT;
	if (!from_workload && !(mark & MARK_EARLY)) {
		verdict = hooked_host(hooked, hooked->in, STAGE_FORWARD, 0);
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	return to_workload ? VERDICT_NEXT : hooked_host(hooked, hooked->out, STAGE_FORWARD, 1);
}

/* An interface that is to carry a workload, by its name, and that nobody judges yet: the agent has not
 * seen it. What is routed does not pass it, from its first packet on. */
SUBPROGRAM int is_unjudged(__u32 ifindex, const void *name_at)
{
	__u64 name[2] = {};

	if (is_workload(ifindex) || read_kernel(name, sizeof(name), name_at))
		return 0;
	for (__u32 i = 0; i < NAME_PREFIXES_MAX; i++) {
		__u32 place = i;
		struct name_prefix *prefix = map_lookup(&name_prefixes, &place);

		if (!prefix || !prefix->mask[0])
			return 0;
		if ((name[0] & prefix->mask[0]) == prefix->value[0] &&
		    (name[1] & prefix->mask[1]) == prefix->value[1])
			return 1;
	}
	return 0;
}

/* Nothing to look at: the sender is settled and no host endpoint has a say. */
INLINE int is_quiet(__u8 hook, __u32 mark, __u32 in)
{
	if (config_at(CONFIG_HOSTS))
		return 0;
	if (hook == HOOK_LOCAL_OUT)
		return 1;
	if (mark & MARK_JUDGED)
		return hook == HOOK_FORWARD || !config_at(CONFIG_TO_HOST);
	return !is_workload(in);
}

/* Reads the headers. A reason where they cannot be read. */
INLINE int hooked_read(struct hooked *hooked, const struct bytes *bytes, int is_ipv4)
{
	struct passage *passage = &hooked->passage;

	__builtin_memset(&hooked->packet, 0, sizeof(hooked->packet));
	__builtin_memset(passage, 0, sizeof(*passage));
	/* The clock at the last tick is not to be had here. */
	passage->occasion.now_ns = monotonic_ns();
	passage->occasion.ifindex = hooked->hook == HOOK_LOCAL_OUT ? hooked->out : hooked->in;
	passage->epoch = config_at(CONFIG_EPOCH);
	passage->packets = 1;
	passage->bytes = bytes->length;
	return parse_ip(bytes, &hooked->packet, is_ipv4, 0);
}

INLINE struct hooked *claim_hooked(void)
{
	for (__u32 i = 0; i < CLAIMS_MAX; i++) {
		__u32 place = i;
		struct hooked *hooked = map_lookup(&hooked_packet, &place);

		if (hooked && !__sync_lock_test_and_set(&hooked->is_claimed, 1))
			return hooked;
	}
	count(REASON_BUSY);
	return 0;
}

INLINE int judge_hook(const struct bpf_nf_ctx *context)
{
	const struct nf_hook_state *state = context->state;
	struct sk_buff *skb = context->skb;
	struct net_device *in = state->in, *out = state->out;
	__u32 in_index = in ? in->ifindex : 0, out_index = out ? out->ifindex : 0;
	struct bytes bytes = {
		.linear = skb->data,
		.linear_length = skb->len - skb->data_len,
		.length = skb->len,
	};

	if (in_index == LOOPBACK_IFINDEX || out_index == LOOPBACK_IFINDEX)
		return NF_ACCEPT;
	/* What was judged came by an interface that is known. */
	int is_in_known = !in || skb->mark & MARK_JUDGED;
	int is_unknown = state->hook != HOOK_LOCAL_OUT &&
			 ((!is_in_known && is_unjudged(in_index, &in->name)) ||
			  (out && is_unjudged(out_index, &out->name)));
	if (!is_unknown && is_quiet(state->hook, skb->mark, in_index))
		return NF_ACCEPT;
	struct hooked *hooked = claim_hooked();
	if (!hooked)
		return NF_DROP;
	hooked->hook = state->hook;
	hooked->in = in_index;
	hooked->out = out_index;
	hooked->mark = skb->mark;
	int verdict, reason = hooked_read(hooked, &bytes, state->pf == NF_IPV4);
	if (reason)
		verdict = drop(reason, &hooked->passage.occasion, &hooked->packet);
	else if (is_neighbour_discovery(&hooked->packet) || is_link_noise(&hooked->packet))
		verdict = VERDICT_NEXT;
	else if (is_unknown)
		verdict = drop(REASON_NO_PROGRAM, &hooked->passage.occasion, &hooked->packet);
	else
		verdict = judge_hooked(hooked, skb->_nfct);
	hooked->is_claimed = 0;
	return verdict == VERDICT_NEXT ? NF_ACCEPT : NF_DROP;
}
