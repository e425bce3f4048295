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

/* The bytes of a frame that are looked at. */
#define IP_AT sizeof(struct ethernet_header)
#define TCP4_BYTES (IP_AT + sizeof(struct ipv4_header) + sizeof(struct transport))
#define UDP4_BYTES (IP_AT + sizeof(struct ipv4_header) + UDP_HEADER)
#define TCP6_BYTES (IP_AT + sizeof(struct ipv6_header) + sizeof(struct transport))
#define UDP6_BYTES (IP_AT + sizeof(struct ipv6_header) + UDP_HEADER)

/* What a packet says at a glance. Between the packets of a connection everything else runs on the same
 * CPU, so what this costs is mostly fetching the code and guessing its branches: conditions are gathered
 * and asked at once. */
struct glance {
	__u32 header; /* of network and transport */
	__u32 total;
	__u32 ports; /* as a key has them: the local one in the lower half, both in host order */
	__u8 tcp_flags; /* 0 for UDP */
};

/* Of a whole TCP header. 0 where it begins a connection, or is malformed. */
INLINE int glance_tcp(struct glance *glance, const struct transport *tcp)
{
	__u32 header = (tcp->offset >> 4) * 4;

	glance->tcp_flags = tcp->flags;
	glance->header += header;
	return header >= sizeof(*tcp) && (tcp->flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

/* The two ports, turned to the workload's end. */
INLINE __u32 turned_ports(const struct transport *transport, int from_workload)
{
	/* Read as one number, their order is that of a received packet. */
	__u32 ports = HOST32(*(const __u32 *)&transport->src_port);

	return from_workload ? ports >> 16 | ports << 16 : ports;
}

/* Whether the workload at this end is one of which nothing more needs to be asked. */
INLINE int is_plain(const struct endpoint *endpoint, const char *frame, const struct glance *glance,
		    int from_workload)
{
	if (!endpoint)
		return 0;
	if (endpoint->judges.lane & ENDPOINT_NAMES && glance->ports >> 16 == DNS_PORT)
		return 0;
	/* The six bytes of the sender and two of what is behind them, as `mac` has them. */
	__u64 sender = *(const __u64 *)(frame + 6) & 0xffffffffffffull;
	return !from_workload || !endpoint->mac || endpoint->mac == sender;
}

INLINE struct flow *known_ipv4(const struct __sk_buff *skb, const char *frame, const char *end,
			       struct glance *glance, int from_workload)
{
	const struct ipv4_header *ip = (const void *)(frame + IP_AT);
	const struct transport *transport = (const void *)(ip + 1);

	if ((ip->version_length ^ 0x45) | (ip->fragment & HOST16(0x3fff)))
		return 0;
	glance->header = sizeof(*ip);
	glance->total = HOST16(ip->total);
	if (ip->protocol == PROTOCOL_TCP) {
		if (frame + TCP4_BYTES > end || !glance_tcp(glance, transport))
			return 0;
	} else {
		if (ip->protocol != PROTOCOL_UDP)
			return 0;
		glance->tcp_flags = 0;
		glance->header += UDP_HEADER;
	}
	struct endpoint4_key at = {
		.ifindex = skb->ifindex,
		.local = from_workload ? ip->src : ip->dst,
	};
	const struct endpoint *endpoint = map_lookup(&endpoints4, &at);
	glance->ports = turned_ports(transport, from_workload);
	if (!is_plain(endpoint, frame, glance, from_workload))
		return 0;
	struct flow4_key key = {
		.endpoint = endpoint->judges.slot,
		.local = at.local,
		.remote = from_workload ? ip->dst : ip->src,
		.protocol = ip->protocol,
	};
	__builtin_memcpy(&key.local_port, &glance->ports, sizeof(glance->ports));
	return map_lookup(&flows4, &key);
}

INLINE struct flow *known_ipv6(const struct __sk_buff *skb, const char *frame, const char *end,
			       struct glance *glance, int from_workload)
{
	const struct ipv6_header *ip = (const void *)(frame + IP_AT);
	const struct transport *transport = (const void *)(ip + 1);

	if (frame + UDP6_BYTES > end ||
	    (ip->version_flow & HOST32(0xf0000000)) != HOST32(0x60000000) || is_mapped(&ip->src) ||
	    is_mapped(&ip->dst))
		return 0;
	glance->header = sizeof(*ip);
	glance->total = ip->payload ? sizeof(*ip) + HOST16(ip->payload) : 0;
	if (ip->next == PROTOCOL_TCP) {
		if (frame + TCP6_BYTES > end || !glance_tcp(glance, transport))
			return 0;
	} else {
		if (ip->next != PROTOCOL_UDP)
			return 0;
		glance->tcp_flags = 0;
		glance->header += UDP_HEADER;
	}
	struct endpoint_key at = {
		.ifindex = skb->ifindex,
		.local = from_workload ? ip->src : ip->dst,
	};
	const struct endpoint *endpoint = map_lookup(&endpoints6, &at);
	glance->ports = turned_ports(transport, from_workload);
	if (!is_plain(endpoint, frame, glance, from_workload))
		return 0;
	struct flow_key key = {
		.endpoint = endpoint->judges.slot,
		.local = at.local,
		.remote = from_workload ? ip->dst : ip->src,
		.protocol = ip->next,
	};
	__builtin_memcpy(&key.local_port, &glance->ports, sizeof(glance->ports));
	return map_lookup(&flows6, &key);
}

/* Whether the flow is allowed by what is enforced now, and was not idle. */
INLINE int stands(const struct flow *flow, __u64 now)
{
	__u64 judged = *(volatile __u64 *)&flow->judged;
	/* Epoch and decision stand side by side. Negative: stamped by a clock that is ahead of the tick. */
	__u64 wanted = config_at(CONFIG_EPOCH) << 32 | LEAF_ALLOW;
	__s64 idle_ns = now - flow->seen_ns;

	return judged >> 31 == wanted >> 31 && idle_ns <= (__s64)KNOWN_IDLE_NS;
}

/* Whether the packet has passed: all is done. */
INLINE int pass_known(struct __sk_buff *skb, int from_workload)
{
	const char *frame = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;
	const struct ethernet_header *ethernet = (const void *)frame;
	__u32 length = skb->len;
	struct glance glance;
	struct flow *flow;

	if (frame + UDP4_BYTES > end)
		return 0;
	if (ethernet->type == HOST16(ETHERTYPE_IPV4))
		flow = known_ipv4(skb, frame, end, &glance, from_workload);
	else if (ethernet->type == HOST16(ETHERTYPE_IPV6))
		flow = known_ipv6(skb, frame, end, &glance, from_workload);
	else
		return 0;
	__u64 now = tick_ns();
	if (!flow || glance.total < glance.header || IP_AT + glance.total > length ||
	    !stands(flow, now))
		return 0;
	int from_opener = flow->opener == (from_workload ? OPENER_LOCAL : OPENER_REMOTE);
	__u32 segments = skb->gso_segs;
	segments = segments > 1 ? segments : 1;
	flow_seen(flow, now);
	tally(flow, !from_opener, segments,
	      length - IP_AT + (__u64)(segments - 1) * glance.header);
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
