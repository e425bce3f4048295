/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* One packet at an interface of the node itself: the two early stages of its host endpoint. */
#pragma once

#include "abi.h"
#include "flows.h"
#include "fragments.h"
#include "hosts.h"
#include "kernel.h"
#include "packet.h"
#include "workload.h"

/* The programs of one stage as an endpoint; 0 where it has no say in either direction. */
INLINE int host_stage(const struct host *host, __u32 stage, struct passage *passage)
{
	stage &= STAGES - 1;
	if (!host->slots[stage])
		return 0;
	passage->endpoint.slot = host->slots[stage];
	passage->endpoint.ingress = host->locals[stage][0];
	passage->endpoint.egress = host->locals[stage][1];
	passage->endpoint.lane = (host->lane & ENDPOINT_LANE) | ENDPOINT_BY_NEAR;
	passage->failsafe[0] = passage->failsafe[1] = 0;
	if (stage == STAGE_PRE_DNAT || stage == STAGE_NORMAL)
		passage->failsafe[0] = host->failsafe[0];
	if (stage == STAGE_NORMAL)
		passage->failsafe[1] = host->failsafe[1];
	return 1;
}

/* Without memory of flows: a port that is open must be open for its answers too. */
INLINE int is_untracked_failsafe(const struct host *host, const struct passage *passage,
				 int from_local)
{
	const struct flow_key *key = &passage->key;
	__u32 own = host->failsafe[from_local], reverse = host->failsafe[!from_local];
	__u16 to = from_local ? key->remote_port : key->local_port;
	__u16 from = from_local ? key->local_port : key->remote_port;

	return (own && is_failsafe(own, key->protocol, to, &key->remote)) ||
	       (reverse && is_failsafe(reverse, key->protocol, from, &key->remote));
}

/* VERDICT_DEFER: the next stage is asked. VERDICT_NEXT: that was the host's last word. */
SUBPROGRAM int untracked(struct passage *passage, const struct packet *packet, __u32 ifindex,
			 __u32 from_local)
{
	struct host *host = host_at(ifindex);

	from_local &= 1;
	if (!host || !host->locals[STAGE_UNTRACKED][from_local])
		return VERDICT_DEFER;
	host_stage(host, STAGE_UNTRACKED, passage);
	orient(passage, packet, from_local);
	if (is_untracked_failsafe(host, passage, from_local))
		return VERDICT_DEFER;
	__u32 leaf =
		judge_flow(passage, passage->sender, passage->icmp_type, passage->icmp_code);
	if (!(leaf & LEAF_ALLOW))
		return flow_denied(passage, leaf);
	return leaf & LEAF_NO_SAY ? VERDICT_DEFER : VERDICT_NEXT;
}

/* Before translation. What was opened from inside is remembered as it leaves, so that its answers are
 * not taken for something new. */
INLINE int pre_dnat(struct passage *passage, const struct packet *packet, const struct host *host,
		    int from_local)
{
	if (!host_stage(host, STAGE_PRE_DNAT, passage))
		return VERDICT_DEFER;
	orient(passage, packet, from_local);
	int verdict = flow_pass(passage);
	if (verdict != VERDICT_NEXT)
		return verdict;
	struct flow *flow = flow_at(&passage->key);
	__u32 leaf = flow ? leaf_of(flow->judged) : LEAF_NO_SAY;
	int is_said = !(leaf & LEAF_NO_SAY) && (leaf & RULE_MASK) != RULE_FAILSAFE;

	return is_said && flow->opener == OPENER_REMOTE ? VERDICT_NEXT : VERDICT_DEFER;
}

INLINE int judge_wire(struct __sk_buff *skb, int from_local)
{
	struct packet packet = {};
	struct passage passage = {};
	struct occasion *occasion = &passage.occasion;
	__u32 ifindex = skb->ifindex;
	int reason, verdict = VERDICT_DEFER;
	__u64 sender_mac;

	struct host *host = host_at(ifindex);
	if (!host)
		return VERDICT_NEXT;
	if (!from_local)
		skb->mark &= ~(MARK_JUDGED | MARK_EARLY);
	int asks_untracked = !from_local && host->locals[STAGE_UNTRACKED][0];
	if (!asks_untracked && !host->slots[STAGE_PRE_DNAT])
		return VERDICT_NEXT;
	__u16 type = link_header(skb, &packet.l3, &sender_mac);
	if (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6)
		return VERDICT_NEXT;
	occasion->now_ns = tick_ns();
	occasion->ifindex = ifindex;
	passage.epoch = config_at(CONFIG_EPOCH);
	reason = read_packet(skb, &packet, type == ETHERTYPE_IPV4, 0);
	if (!reason && is_neighbour_discovery(&packet))
		return VERDICT_NEXT;
	if (!reason && packet.fragment != FRAGMENT_NONE)
		reason = recall_fragment(ifindex | 0x80000000u, &packet);
	if (reason)
		return drop(reason, occasion, &packet);
	measure(skb, &packet, &passage);
	if (asks_untracked)
		verdict = untracked(&passage, &packet, ifindex, 0);
	if (verdict == VERDICT_DEFER)
		verdict = pre_dnat(&passage, &packet, host, from_local);
	if (verdict == VERDICT_NEXT && !from_local)
		skb->mark |= MARK_EARLY;
	return verdict == VERDICT_DEFER ? VERDICT_NEXT : verdict;
}
