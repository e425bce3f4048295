/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Addresses from which nothing comes in, dropped by the driver before the kernel makes a packet of it:
 * the deny sets of untracked policy. A bit for each /24 keeps the trie out of the way of everybody
 * else's packets. */
#pragma once

#include "abi.h"
#include "config.h"
#include "events.h"
#include "hosts.h"
#include "kernel.h"
#include "packet.h"

/* The value is the content id of the rule; 0 in a hole of a wider prefix. */
#define DENY_TRIE(name, key_type)                                                                  \
	struct {                                                                                   \
		MAP_NUMBER(type, BPF_MAP_TYPE_LPM_TRIE);                                           \
		MAP_TYPE(key, key_type);                                                           \
		MAP_TYPE(value, __u64);                                                            \
		MAP_NUMBER(max_entries, 2097152);                                                  \
		MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);                                          \
		MAP_NUMBER(pinning, PINNED);                                                       \
	} name SEC(".maps")

DENY_TRIE(deny4, struct prefix4);
DENY_TRIE(deny6, struct prefix6);

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_NUMBER(max_entries, DENY_WORDS);
	MAP_NUMBER(pinning, PINNED);
} deny_bits SEC(".maps");

#define BEYOND(at, end) ((void *)((at) + 1) > (end))

INLINE int is_listed(__u32 network)
{
	__u32 host = HOST32(network), word = host >> 14;
	__u64 *bits = map_lookup(&deny_bits, &word);

	return bits && *bits >> (host >> 8 & 63) & 1;
}

INLINE __u64 deny_rule4(__u32 src)
{
	struct prefix4 key = {.length = 32, .word = src};
	__u64 *rule;

	if (!is_listed(src))
		return 0;
	rule = map_lookup(&deny4, &key);
	return rule ? *rule : 0;
}

INLINE __u64 deny_rule6(const struct address *src)
{
	struct prefix6 key = {.length = 128, .address = *src};
	__u64 *rule = map_lookup(&deny6, &key);

	return rule ? *rule : 0;
}

SUBPROGRAM int report_denied(const struct occasion *occasion, const struct packet *packet,
			     __u64 rule)
{
	__u64 like = (__u64)occasion->ifindex << 32 | REASON_DENY_SET;
	__u64 now = occasion->now_ns;

	count(REASON_DENY_SET);
	__u64 *last = map_lookup(&reported, &like);
	if (last && now - *last < REPORT_GAP_NS)
		return 0;
	map_update(&reported, &like, &now, BPF_ANY);
	struct event *event = ring_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(REASON_LOST_EVENT);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = EVENT_DROPPED;
	event->reason = REASON_DENY_SET;
	event->ifindex = occasion->ifindex;
	event->key.local = packet->dst;
	event->key.remote = packet->src;
	event->key.local_port = packet->dst_port;
	event->key.remote_port = packet->src_port;
	event->key.protocol = packet->protocol;
	event->flow.opener = OPENER_REMOTE;
	event->flow.judged = rule;
	event->flow.started_ns = event->flow.seen_ns = now;
	event->flow.packets[0] = 1;
	ring_submit(event, wake_if_many());
	return 0;
}

/* What stays open whatever policies say, and what no policy is asked about. */
INLINE int is_exempt(const struct packet *packet, __u32 ifindex)
{
	struct host *host = host_at(ifindex);

	if (is_neighbour_discovery(packet) || !host)
		return 1;
	return (host->failsafe[0] && is_failsafe(host->failsafe[0], packet->protocol,
						 packet->dst_port, &packet->src)) ||
	       (host->failsafe[1] && is_failsafe(host->failsafe[1], packet->protocol,
						 packet->src_port, &packet->src));
}

INLINE void read_ports(const __u8 *at, void *end, struct packet *packet)
{
	if (packet->protocol == PROTOCOL_ICMP || packet->protocol == PROTOCOL_ICMPV6) {
		if ((void *)(at + 2) <= end) {
			packet->icmp_type = at[0];
			packet->icmp_code = at[1];
		}
	} else if ((void *)(at + 4) <= end) {
		packet->src_port = (__u16)at[0] << 8 | at[1];
		packet->dst_port = (__u16)at[2] << 8 | at[3];
	}
}

INLINE __u64 deny_ipv4(const struct ipv4_header *ip, void *end, struct packet *packet)
{
	if (BEYOND(ip, end))
		return 0;
	__u64 rule = deny_rule4(ip->src);
	/* Later fragments are nothing without the first. */
	if (!rule || HOST16(ip->fragment) & 0x1fff)
		return 0;
	packet->is_ipv4 = 1;
	packet->src.words[2] = packet->dst.words[2] = HOST32(0xffff);
	packet->src.words[3] = ip->src;
	packet->dst.words[3] = ip->dst;
	packet->protocol = ip->protocol;
	read_ports((const __u8 *)ip + (ip->version_length & 0x0f) * 4, end, packet);
	return rule;
}

INLINE __u64 deny_ipv6(const struct ipv6_header *ip, void *end, struct packet *packet)
{
	if (!config_at(CONFIG_DENY6) || BEYOND(ip, end))
		return 0;
	packet->src = ip->src;
	__u64 rule = deny_rule6(&packet->src);
	if (!rule)
		return 0;
	packet->dst = ip->dst;
	packet->protocol = ip->next;
	packet->hop_limit = ip->hop_limit;
	read_ports((const __u8 *)(ip + 1), end, packet);
	return rule;
}

INLINE int judge_frame(struct xdp_md *frame)
{
	void *start = (void *)(long)frame->data, *end = (void *)(long)frame->data_end;
	const struct ethernet_header *ethernet = start;
	struct packet packet = {};

	if (BEYOND(ethernet, end))
		return XDP_PASS;
	__u16 type = ethernet->type;
	const __u8 *at = (const __u8 *)(ethernet + 1);
	for (int tag = 0; tag < VLAN_TAGS_MAX; tag++) {
		if (type != HOST16(ETHERTYPE_VLAN) && type != HOST16(ETHERTYPE_QINQ))
			break;
		if ((void *)(at + 4) > end)
			return XDP_PASS;
		type = (__u16)at[3] << 8 | at[2];
		at += 4;
	}
	__u64 rule = 0;
	if (type == HOST16(ETHERTYPE_IPV4))
		rule = deny_ipv4((const struct ipv4_header *)at, end, &packet);
	else if (type == HOST16(ETHERTYPE_IPV6))
		rule = deny_ipv6((const struct ipv6_header *)at, end, &packet);
	if (!rule || is_exempt(&packet, frame->ingress_ifindex))
		return XDP_PASS;
	struct occasion occasion = {.now_ns = tick_ns(), .ifindex = frame->ingress_ifindex};
	report_denied(&occasion, &packet, rule);
	return XDP_DROP;
}
