/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Holds back what trusted resolvers answer, until user space has learned from it and sends it on: so
 * the workload never knows an address before the kernel does.
 *
 * Nothing is held that nobody would send on: without a sign of the agent, or without room, an answer
 * passes and teaches nothing. */
#pragma once

#include "abi.h"
#include "abi_dns.h"
#include "config.h"
#include "flows.h"
#include "kernel.h"
#include "packet.h"

/* Whose answers count. */
struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, struct address);
	MAP_TYPE(value, __u32);
	MAP_NUMBER(max_entries, 64);
	MAP_NUMBER(pinning, PINNED);
} resolvers SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_RINGBUF);
	MAP_NUMBER(max_entries, 4194304);
	MAP_NUMBER(pinning, PINNED);
} heard SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_NUMBER(max_entries, DNS_COUNTS);
	MAP_NUMBER(pinning, PINNED);
} dns_counts SEC(".maps");

#define DNS_PORT 53

INLINE void dns_count(__u32 what)
{
	__u64 *counter = map_lookup(&dns_counts, &what);

	if (counter)
		*counter += 1;
}

/* Copies the frame behind `head`. The verifier wants the size of a record to be a constant. */
#define COPY_WITHIN(size)                                                                          \
	SUBPROGRAM int copy_within_##size(struct __sk_buff *skb, const struct heard *head)         \
	{                                                                                          \
		__u32 length = head->length;                                                       \
		struct {                                                                           \
			struct heard head;                                                         \
			__u8 frame[size];                                                          \
		} *record = ring_reserve(&heard, sizeof(*record), 0);                              \
                                                                                                   \
		if (!record)                                                                       \
			return 0;                                                                  \
		record->head = *head;                                                              \
		if (length < 1 || length > size ||                                                 \
		    load_bytes(skb, 0, record->frame, length)) {                                   \
			ring_discard(record, 0);                                                   \
			return 0;                                                                  \
		}                                                                                  \
		ring_submit(record, 0);                                                            \
		return 1;                                                                          \
	}

COPY_WITHIN(256)
COPY_WITHIN(1536)
COPY_WITHIN(HEARD_BYTES_MAX)

INLINE int copy_frame(struct __sk_buff *skb, const struct heard *head)
{
	if (head->length <= 256)
		return copy_within_256(skb, head);
	if (head->length <= 1536)
		return copy_within_1536(skb, head);
	return copy_within_HEARD_BYTES_MAX(skb, head);
}

/* An allowed packet between an endpoint and port 53 of somebody. */
SUBPROGRAM int hear_resolver(struct __sk_buff *skb, const struct packet *packet,
			     const struct passage *passage)
{
	int is_tcp = packet->protocol == PROTOCOL_TCP;
	int is_answer = passage->sender == OPENER_REMOTE;
	struct heard head = {
		.key = passage->key,
		.ifindex = passage->occasion.ifindex,
		.seen_ns = boot_ns(),
		.length = skb->len,
		.l3 = packet->l3,
		.l4 = packet->l4,
		.payload = packet->l4 + (is_tcp ? packet->l4_header : 8),
		.gso_size = skb->gso_size,
		.kind = is_answer ? HEARD_ANSWER : HEARD_QUESTION,
		.is_ipv4 = packet->is_ipv4,
	};

	if (!map_lookup(&resolvers, &passage->key.remote))
		return VERDICT_NEXT;
	struct flow *flow = flow_at(&passage->key);
	/* A question may be on its way to be judged; an answer without a flow is nobody's. */
	if (flow ? flow->opener != OPENER_LOCAL : is_answer)
		return VERDICT_NEXT;
	if (is_tcp) {
		int is_opened = (passage->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);

		if (!is_answer || (!is_opened && head.length <= head.payload))
			return VERDICT_NEXT;
		if (is_opened)
			head.kind = HEARD_OPENED;
	}
	if (config_at(CONFIG_LISTENED) + LISTENED_MAX_NS < head.seen_ns) {
		dns_count(is_answer ? DNS_NOBODY : DNS_UNCOPIED);
		return VERDICT_NEXT;
	}
	if (packet->fragment != FRAGMENT_NONE || skb->vlan_present ||
	    head.length > HEARD_BYTES_MAX) {
		dns_count(is_answer ? DNS_SHAPE : DNS_UNCOPIED);
		return VERDICT_NEXT;
	}
	if (!copy_frame(skb, &head)) {
		dns_count(is_answer ? DNS_FULL : DNS_UNCOPIED);
		return VERDICT_NEXT;
	}
	if (head.kind != HEARD_ANSWER)
		return VERDICT_NEXT;
	dns_count(DNS_HELD);
	return VERDICT_DROP;
}

/* The verdict again, unless the packet is held back. */
INLINE int hear(struct __sk_buff *skb, const struct packet *packet, const struct passage *passage,
		int verdict)
{
	if (!(passage->endpoint.lane & ENDPOINT_NAMES) || verdict != VERDICT_NEXT ||
	    passage->key.remote_port != DNS_PORT)
		return verdict;
	if (packet->protocol != PROTOCOL_UDP && packet->protocol != PROTOCOL_TCP)
		return verdict;
	return hear_resolver(skb, packet, passage);
}
