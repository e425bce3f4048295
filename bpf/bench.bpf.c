/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What the figures of a bench are compared with: a program that does nothing, one that only finds the class
 * of the source address, and those that make every run another flow. Never part of the agent. */
#include "src/known.h"
#include "src/workload.h"

#define IPV4_SOURCE (14 + 12)

SEC("classifier") int empty(struct __sk_buff *skb)
{
	(void)skb;
	return VERDICT_NEXT;
}

SEC("classifier") int classify(struct __sk_buff *skb)
{
	struct address remote = {};

	if (load_bytes(skb, IPV4_SOURCE, &remote.words[3], 4))
		return VERDICT_DROP;
	return class_of(&remote, 1, 0) == CLASS_OUTSIDE ? VERDICT_DROP : VERDICT_NEXT;
}

/* The next flow: another port of the same peer, or another peer. */
INLINE int next_flow(struct __sk_buff *skb, int is_of_new_peer)
{
	__u8 *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u16 *port = (void *)(frame + 34);
	__u32 *peer = (void *)(frame + IPV4_SOURCE);

	if (frame + 38 > end)
		return 0;
	if (is_of_new_peer)
		*peer = HOST32(HOST32(*peer) + 1);
	else
		*port = HOST16(HOST16(*port) + 1);
	return 1;
}

GLOBAL int receive(struct __sk_buff *skb)
{
	return known_to_workload(skb) ? VERDICT_NEXT : judge_packet(skb, 0);
}

SEC("classifier") int next_port(struct __sk_buff *skb)
{
	return next_flow(skb, 0) ? VERDICT_NEXT : VERDICT_DROP;
}

SEC("classifier") int new_flow(struct __sk_buff *skb)
{
	return next_flow(skb, 0) ? receive(skb) : VERDICT_DROP;
}

SEC("classifier") int new_flow_of_new_peer(struct __sk_buff *skb)
{
	return next_flow(skb, 1) ? receive(skb) : VERDICT_DROP;
}

char bulkhead_license[] SEC("license") = "Dual MIT/GPL";
