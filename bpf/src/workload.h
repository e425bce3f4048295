/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* One packet at the host side of a workload's interface, either way. */
#pragma once

#include "abi.h"
#include "arp.h"
#include "dns.h"
#include "endpoints.h"
#include "flows.h"
#include "fragments.h"
#include "kernel.h"
#include "packet.h"

/* Turns the packet to the endpoint: local and remote instead of source and destination. */
INLINE void orient(struct passage *passage, const struct packet *packet, int from_local)
{
	struct flow_key *key = &passage->key;
	int is_icmp = packet->protocol == PROTOCOL_ICMP || packet->protocol == PROTOCOL_ICMPV6;

	key->endpoint = passage->endpoint.slot;
	key->local = from_local ? packet->src : packet->dst;
	key->remote = from_local ? packet->dst : packet->src;
	key->protocol = packet->protocol;
	passage->sender = from_local ? OPENER_LOCAL : OPENER_REMOTE;
	passage->is_ipv4 = packet->is_ipv4;
	passage->icmp_type = packet->icmp_type;
	passage->icmp_code = packet->icmp_code;
	passage->tcp_flags = packet->tcp_flags;
	if (is_icmp) {
		int is_answer;
		__u8 question = icmp_question(packet, &is_answer);
		__u8 opener = is_answer ? !passage->sender : passage->sender;

		passage->is_answer = is_answer;
		key->lane = LANE_QUERY(opener & 1);
		key->local_port = question ? packet->query_id : 0;
		key->remote_port = question ? (__u16)question << 8
					    : (__u16)packet->icmp_type << 8 | packet->icmp_code;
	} else {
		key->lane = LANE_CONNECTION;
		key->local_port = from_local ? packet->src_port : packet->dst_port;
		key->remote_port = from_local ? packet->dst_port : packet->src_port;
	}
}

INLINE int is_same(const struct address *a, const struct address *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
	       a->words[2] == b->words[2] && a->words[3] == b->words[3];
}

/* `packet` is zeroed but for `l3`. */
GLOBAL int read_packet(struct __sk_buff *skb, struct packet *packet, int is_ipv4, int quoted)
{
	if (!packet)
		return REASON_MALFORMED;
	struct bytes bytes = {.skb = skb, .length = skb->len};

	return parse_ip(&bytes, packet, is_ipv4, quoted);
}

/* Whether the error speaks of a flow that is allowed: then the stack needs it, whatever the rules say
 * about ICMP. The quoted packet went the other way, and must be of the very address that the error
 * comes from or goes to. Overwrites both arguments, for want of stack. */
INLINE int quoted_is_allowed(struct __sk_buff *skb, struct packet *packet,
			     struct passage *passage)
{
	int is_ipv4 = packet->is_ipv4, from_local = !passage->occasion.from_workload;
	__u32 at = packet->l4 + 8;

	__builtin_memset(packet, 0, sizeof(*packet));
	packet->l3 = at;
	if (read_packet(skb, packet, is_ipv4, 1) || packet->fragment == FRAGMENT_LATER)
		return 0;
	if (!is_same(&passage->key.local, from_local ? &packet->src : &packet->dst))
		return 0;
	orient(passage, packet, from_local);
	return flow_is_allowed(passage);
}

/* What an error changes in the passage that it shares with the packet it quotes. */
struct error {
	struct address remote;
	__u32 l4;
	__u16 local_port;
	__u16 remote_port;
	__u8 protocol;
	__u8 lane;
	__u8 zero[2];
};

/* Bytes and packets as they are on a wire: a super-packet counts as its segments. */
INLINE void measure(const struct __sk_buff *skb, const struct packet *packet,
		    struct passage *passage)
{
	__u32 segments = skb->gso_segs;
	__u32 header = packet->l4 - packet->l3 + packet->l4_header;

	passage->packets = segments > 1 ? segments : 1;
	passage->bytes = skb->len - packet->l3;
	if (segments > 1)
		passage->bytes += (__u64)(segments - 1) * header;
}

/* Whether the node's own IP stack takes the packet from here on, so that the hooks of netfilter will
 * see it, and behind any translation of its destination. Makes its headers readable there. */
INLINE int goes_to_the_stack(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 ifindex = skb->ifindex;
	struct interface *interface = map_lookup(&interfaces, &ifindex);
	__u8 to[6];

	if (!interface || !(interface->flags & INTERFACE_ROUTED) || !config_at(CONFIG_NETFILTER))
		return 0;
	if (load_bytes(skb, 0, to, sizeof(to)))
		return 0;
	for (int i = 0; i < 6; i++)
		if (to[i] != interface->mac[i])
			return 0;
	return !pull_data(skb, packet->l4 + 20 < skb->len ? packet->l4 + 20 : skb->len);
}

/* The sender's side is done with: the hooks of netfilter need not look. */
INLINE int settled(struct __sk_buff *skb, const struct passage *passage, int verdict)
{
	if (verdict == VERDICT_NEXT && passage->occasion.from_workload)
		skb->mark |= MARK_JUDGED;
	return verdict;
}

/* Tells what a reset of the connection needs to be believed by both ends. */
SUBPROGRAM int report_cut(struct __sk_buff *skb, const struct passage *passage, __u32 l4)
{
	struct event *event;
	__u32 numbers[2];
	__u8 macs[12];

	if (!config_at(CONFIG_RESETS) || load_bytes(skb, l4 + 4, numbers, sizeof(numbers)) ||
	    load_bytes(skb, 0, macs, sizeof(macs)))
		return 0;
	event = ring_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(REASON_LOST_EVENT);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = EVENT_CUT;
	event->from_workload = passage->occasion.from_workload;
	event->ifindex = passage->occasion.ifindex;
	event->key = passage->key;
	event->number = HOST32(numbers[0]);
	event->flow.zero2 = HOST32(numbers[1]);
	__builtin_memcpy(&event->flow.real, macs, sizeof(macs));
	ring_submit(event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* A new flow of a workload is judged here only if the hooks of netfilter will not see it. */
INLINE int pass(struct __sk_buff *skb, const struct packet *packet, struct passage *passage)
{
	int verdict = flow_pass(passage);

	if (passage->is_cut && passage->key.protocol == PROTOCOL_TCP)
		report_cut(skb, passage, packet->l4);
	if (verdict != VERDICT_DEFER)
		return hear(skb, packet, passage, settled(skb, passage, verdict));
	if (goes_to_the_stack(skb, packet))
		return hear(skb, packet, passage, VERDICT_NEXT);
	passage->is_deferred = 0;
	return hear(skb, packet, passage, settled(skb, passage, flow_pass(passage)));
}

INLINE int judge_packet(struct __sk_buff *skb, int from_workload)
{
	struct packet packet = {};
	struct passage passage = {};
	struct occasion *occasion = &passage.occasion;
	int reason;

	occasion->now_ns = tick_ns();
	occasion->ifindex = skb->ifindex;
	occasion->from_workload = from_workload;
	/* Before anything that decides, so that a flow is never marked newer than it was judged. */
	passage.epoch = config_at(CONFIG_EPOCH);
	if (from_workload)
		skb->mark &= ~(MARK_JUDGED | MARK_EARLY);

	__u64 sender_mac;
	__u16 type = link_header(skb, &packet.l3, &sender_mac);
	if (type == ETHERTYPE_ARP) {
		reason = from_workload ? arp_fault(skb, packet.l3, sender_mac) : REASON_NONE;
		return reason ? drop(reason, occasion, &packet) : VERDICT_NEXT;
	}
	if (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6)
		return drop(REASON_NOT_IP, occasion, &packet);
	reason = read_packet(skb, &packet, type == ETHERTYPE_IPV4, 0);
	if (reason)
		return drop(reason, occasion, &packet);
	if (is_neighbour_discovery(&packet))
		return settled(skb, &passage, VERDICT_NEXT);
	if (is_link_noise(&packet))
		return drop(REASON_LINK_NOISE, occasion, &packet);

	struct endpoint_key key = {
		.ifindex = occasion->ifindex,
		.local = from_workload ? packet.src : packet.dst,
	};
	const struct endpoint *endpoint = endpoint_at(&key);
	if (!endpoint) {
		struct interface *known = map_lookup(&interfaces, &key.ifindex);

		reason = known && known->flags & INTERFACE_JUDGED ? REASON_NOT_ITS_ADDRESS
								  : REASON_NO_PROGRAM;
		return drop(reason, occasion, &packet);
	}
	if (from_workload && endpoint->mac && endpoint->mac != sender_mac)
		return drop(REASON_NOT_ITS_MAC, occasion, &packet);
	passage.endpoint = endpoint->judges;
	if (packet.fragment != FRAGMENT_NONE) {
		reason = recall_fragment(passage.endpoint.slot, &packet);
		if (reason)
			return drop(reason, occasion, &packet);
	}
	passage.is_deferred = from_workload;
	passage.is_from_host = !from_workload && !skb->ingress_ifindex;
	orient(&passage, &packet, from_workload);
	measure(skb, &packet, &passage);
	if (!is_icmp_error(&packet))
		return pass(skb, &packet, &passage);
	struct error error = {
		.remote = passage.key.remote,
		.l4 = packet.l4,
		.local_port = passage.key.local_port,
		.remote_port = passage.key.remote_port,
		.protocol = passage.key.protocol,
		.lane = passage.key.lane,
	};
	if (quoted_is_allowed(skb, &packet, &passage))
		return settled(skb, &passage, VERDICT_NEXT);
	/* An error about nothing that we know is a packet like any other. */
	passage.key.remote = error.remote;
	passage.key.local_port = error.local_port;
	passage.key.remote_port = error.remote_port;
	passage.key.protocol = error.protocol;
	passage.key.lane = error.lane;
	passage.icmp_type = error.remote_port >> 8;
	passage.icmp_code = error.remote_port & 0xff;
	passage.sender = from_workload ? OPENER_LOCAL : OPENER_REMOTE;
	passage.tcp_flags = 0;
	passage.is_answer = 0;
	passage.is_translated = 0;
	passage.is_from_host = !from_workload && !skb->ingress_ifindex;
	packet.l4 = error.l4;
	return pass(skb, &packet, &passage);
}
