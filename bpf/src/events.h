/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The ring buffer of what user space must know soon, and the counters of what it need not. */
#pragma once

#include "abi.h"
#include "kernel.h"
#include "packet.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_RINGBUF);
	MAP_NUMBER(max_entries, 4194304);
	MAP_NUMBER(pinning, PINNED);
} events SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_NUMBER(max_entries, REASONS);
	MAP_NUMBER(pinning, PINNED);
} drops SEC(".maps");

/* When a drop that is not policy's was last reported, by interface and reason, so that a flood of
 * spoofed packets cannot crowd out verdicts. */
struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, __u64);
	MAP_TYPE(value, __u64);
	MAP_NUMBER(max_entries, 1024);
	MAP_NUMBER(pinning, PINNED);
} reported SEC(".maps");

#define REPORT_GAP_NS 100000000ull

/* User space looks every few milliseconds anyway (node/worker/drains.rs). It is only woken when
 * much has come together: a wake-up for each new flow would cost more than the flow. */
#define EVENTS_WAKE_BYTES 1048576ull

#define EVENTS_WAKE_SPAN 65536ull

/* Not again for every event beyond: there may be nobody to wake. */
INLINE __u64 wake_if_many(void)
{
	__u64 waiting = ring_query(&events, BPF_RB_AVAIL_DATA);

	return waiting >= EVENTS_WAKE_BYTES && waiting < EVENTS_WAKE_BYTES + EVENTS_WAKE_SPAN
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

INLINE void count(__u32 reason)
{
	__u64 *counter = map_lookup(&drops, &reason);

	if (counter)
		*counter += 1;
}

struct occasion {
	__u64 now_ns;
	__u32 ifindex;
	__u8 from_workload;
};

INLINE void fill_event(struct event *event, __u8 kind, const struct occasion *occasion,
		       const struct flow_key *key)
{
	event->kind = kind;
	event->reason = REASON_NONE;
	event->from_workload = occasion->from_workload;
	event->zero = 0;
	event->ifindex = occasion->ifindex;
	event->key = *key;
	event->number = 0;
}

INLINE void report(__u8 kind, const struct occasion *occasion, const struct flow_key *key,
		   const struct flow *flow)
{
	struct event *event = ring_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(REASON_LOST_EVENT);
		return;
	}
	fill_event(event, kind, occasion, key);
	event->flow = *flow;
	ring_submit(event, wake_if_many());
}

/* Counts a packet that no policy judged, and reports it unless one like it was just reported. */
SUBPROGRAM int drop(__u32 reason, const struct occasion *occasion, const struct packet *packet)
{
	__u64 like = (__u64)occasion->ifindex << 32 | reason;
	__u64 now = occasion->now_ns;

	count(reason);
	if (reason == REASON_LINK_NOISE || reason == REASON_STRAY_RESET)
		return VERDICT_DROP;
	__u64 *last = map_lookup(&reported, &like);
	if (last && now - *last < REPORT_GAP_NS)
		return VERDICT_DROP;
	map_update(&reported, &like, &now, BPF_ANY);

	struct event *event = ring_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(REASON_LOST_EVENT);
		return VERDICT_DROP;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = EVENT_DROPPED;
	event->reason = reason;
	event->from_workload = occasion->from_workload;
	event->ifindex = occasion->ifindex;
	event->key.local = occasion->from_workload ? packet->src : packet->dst;
	event->key.remote = occasion->from_workload ? packet->dst : packet->src;
	event->key.local_port = occasion->from_workload ? packet->src_port : packet->dst_port;
	event->key.remote_port = occasion->from_workload ? packet->dst_port : packet->src_port;
	event->key.protocol = packet->protocol;
	event->flow.opener = occasion->from_workload ? OPENER_LOCAL : OPENER_REMOTE;
	event->flow.icmp_type = packet->icmp_type;
	event->flow.icmp_code = packet->icmp_code;
	event->flow.started_ns = event->flow.seen_ns = now;
	event->flow.packets[0] = 1;
	ring_submit(event, wake_if_many());
	return VERDICT_DROP;
}
