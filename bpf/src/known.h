/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The common case, before anything else: a packet of a TCP or UDP flow that is known and allowed by what is
 * enforced now. It is read in place, found by two looks, and counted by one addition.
 *
 * Invariant: what passes here would pass the whole way (workload.h), with the same marks on the packet and
 * in the flow. Whatever is not plainly the common case goes that way: tags, options, fragments, what
 * begins a connection, what goes between a workload and its resolver, another epoch. */
#pragma once

#include "abi.h"
#include "config.h"
#include "dns.h"
#include "endpoints.h"
#include "flows.h"
#include "kernel.h"
#include "packet.h"
#include "wire.h"

/* Idle for longer than this, whether the flow still stands is decided the whole way. Not above any of
 * `idle_max_ns`. */
#define KNOWN_IDLE_NS (10 * SECOND_NS)

/* The part of a transport header that is looked at; of UDP only the ports. */
struct transport {
	__u16 src_port;
	__u16 dst_port;
	__u32 sequence;
	__u32 acknowledged;
	__u8 offset;
	__u8 flags;
	__u8 rest[6];
};
ASSERT_SIZE(struct transport, 20);
#define UDP_HEADER 8

/* What a packet says at a glance. */
struct glance {
	const struct transport *transport;
	const struct endpoint *endpoint;
	__u32 header; /* of network and transport */
	__u32 total;
	__u16 local_port;
	__u16 remote_port;
	__u8 protocol;
	__u8 tcp_flags; /* 0 for UDP */
};

/* The part that TCP and UDP have in common with either family; `glance` has network header and total. */
INLINE int glance_transport(struct glance *glance, const char *end, int from_workload)
{
	const struct transport *transport = glance->transport;

	if ((const char *)transport + UDP_HEADER > end)
		return 0;
	glance->local_port = HOST16(from_workload ? transport->src_port : transport->dst_port);
	glance->remote_port = HOST16(from_workload ? transport->dst_port : transport->src_port);
	glance->tcp_flags = 0;
	if (glance->protocol == PROTOCOL_UDP) {
		glance->header += UDP_HEADER;
		return 1;
	}
	if (glance->protocol != PROTOCOL_TCP || (const char *)(transport + 1) > end ||
	    (transport->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return 0;
	glance->tcp_flags = transport->flags;
	__u32 header = (transport->offset >> 4) * 4;
	glance->header += header;
	return header >= sizeof(*transport);
}

/* Whether the workload at this end is one of which nothing more needs to be asked. */
INLINE int is_plain(const struct endpoint *endpoint, const struct ethernet_header *ethernet,
		    const struct glance *glance, int from_workload)
{
	__u64 sender = 0;

	if (!endpoint)
		return 0;
	if (endpoint->judges.lane & ENDPOINT_NAMES && glance->remote_port == DNS_PORT)
		return 0;
	if (!from_workload || !endpoint->mac)
		return 1;
	__builtin_memcpy(&sender, ethernet->src, sizeof(ethernet->src));
	return endpoint->mac == sender;
}

INLINE struct flow *known_ipv4(struct __sk_buff *skb, const struct ipv4_header *ip,
			       struct glance *glance, int from_workload)
{
	const char *end = (const char *)(long)skb->data_end;

	if ((const char *)(ip + 1) > end || ip->version_length != 0x45 ||
	    ip->fragment & HOST16(0x3fff))
		return 0;
	glance->transport = (const void *)(ip + 1);
	glance->header = sizeof(*ip);
	glance->total = HOST16(ip->total);
	glance->protocol = ip->protocol;
	if (!glance_transport(glance, end, from_workload))
		return 0;
	struct endpoint4_key at = {
		.ifindex = skb->ifindex,
		.local = from_workload ? ip->src : ip->dst,
	};
	struct flow4_key key = {
		.local = at.local,
		.remote = from_workload ? ip->dst : ip->src,
		.local_port = glance->local_port,
		.remote_port = glance->remote_port,
		.protocol = glance->protocol,
	};
	const struct endpoint *endpoint = map_lookup(&endpoints4, &at);
	if (!is_plain(endpoint, (const struct ethernet_header *)ip - 1, glance, from_workload))
		return 0;
	key.endpoint = endpoint->judges.slot;
	return map_lookup(&flows4, &key);
}

INLINE struct flow *known_ipv6(struct __sk_buff *skb, const struct ipv6_header *ip,
			       struct glance *glance, int from_workload)
{
	const char *end = (const char *)(long)skb->data_end;

	if ((const char *)(ip + 1) > end ||
	    (ip->version_flow & HOST32(0xf0000000)) != HOST32(0x60000000) || is_mapped(&ip->src) ||
	    is_mapped(&ip->dst))
		return 0;
	glance->transport = (const void *)(ip + 1);
	glance->header = sizeof(*ip);
	glance->total = ip->payload ? sizeof(*ip) + HOST16(ip->payload) : 0;
	glance->protocol = ip->next;
	if (!glance_transport(glance, end, from_workload))
		return 0;
	struct endpoint_key at = {
		.ifindex = skb->ifindex,
		.local = from_workload ? ip->src : ip->dst,
	};
	struct flow_key key = {
		.local = at.local,
		.remote = from_workload ? ip->dst : ip->src,
		.local_port = glance->local_port,
		.remote_port = glance->remote_port,
		.protocol = glance->protocol,
	};
	const struct endpoint *endpoint = map_lookup(&endpoints6, &at);
	if (!is_plain(endpoint, (const struct ethernet_header *)ip - 1, glance, from_workload))
		return 0;
	key.endpoint = endpoint->judges.slot;
	return map_lookup(&flows6, &key);
}

/* Whether the packet has passed: all is done. */
INLINE int pass_known(struct __sk_buff *skb, int from_workload)
{
	const struct ethernet_header *ethernet = (const void *)(long)skb->data;
	__u32 length = skb->len;
	struct glance glance;
	struct flow *flow;

	if ((const char *)(ethernet + 1) > (const char *)(long)skb->data_end)
		return 0;
	if (ethernet->type == HOST16(ETHERTYPE_IPV4))
		flow = known_ipv4(skb, (const void *)(ethernet + 1), &glance, from_workload);
	else if (ethernet->type == HOST16(ETHERTYPE_IPV6))
		flow = known_ipv6(skb, (const void *)(ethernet + 1), &glance, from_workload);
	else
		return 0;
	if (!flow || glance.total < glance.header || sizeof(*ethernet) + glance.total > length)
		return 0;
	__u64 judged = *(volatile __u64 *)&flow->judged, now = tick_ns();
	int from_opener = flow->opener == (from_workload ? OPENER_LOCAL : OPENER_REMOTE);
	if (judged >> 32 != config_at(CONFIG_EPOCH) || !(judged & LEAF_ALLOW) ||
	    (now > flow->seen_ns && now - flow->seen_ns > KNOWN_IDLE_NS))
		return 0;
	__u32 segments = skb->gso_segs;
	segments = segments > 1 ? segments : 1;
	flow_seen(flow, now);
	tally(flow, !from_opener, segments,
	      length - sizeof(*ethernet) + (__u64)(segments - 1) * glance.header);
	flow_advance(flow, from_opener, glance.tcp_flags);
	if (from_workload)
		skb->mark = (skb->mark & ~MARK_EARLY) | MARK_JUDGED;
	return 1;
}

GLOBAL int known_from_workload(struct __sk_buff *skb)
{
	return pass_known(skb, 1);
}

GLOBAL int known_to_workload(struct __sk_buff *skb)
{
	return pass_known(skb, 0);
}
