/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What the figures of a bench are compared with: a program that does nothing, and one that only finds
 * the class of the source address. Never part of the agent. */
#include "src/classes.h"

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

char bulkhead_license[] SEC("license") = "Dual MIT/GPL";
