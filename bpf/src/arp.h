/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* ARP from a workload speaks of the workload alone: whoever may claim another's address on a shared
 * link gets that address's packets. */
#pragma once

#include "abi.h"
#include "endpoints.h"
#include "kernel.h"

/* Where the sender's addresses lie, for Ethernet and IPv4. */
#define ARP_SENDER 8

struct arp_sender {
	__u8 mac[6];
	__u8 address[4];
};
ASSERT_SIZE(struct arp_sender, 10);

/* Whether the workload behind the interface may send this; else the reason why not. What an interface
 * without an endpoint says is let through, as neighbour discovery is: nothing reaches it anyway. */
SUBPROGRAM int arp_fault(const struct __sk_buff *skb, __u32 l3, __u64 frame_mac)
{
	struct endpoint_key key = { .ifindex = skb->ifindex };
	struct arp_sender sender;
	__u64 mac = 0;

	if (load_bytes(skb, l3 + ARP_SENDER, &sender, sizeof(sender)))
		return REASON_MALFORMED;
	__builtin_memcpy(&mac, sender.mac, sizeof(sender.mac));
	__builtin_memcpy(&key.local.words[3], sender.address, sizeof(sender.address));
	/* A probe asks whether an address is free, in nobody's name. */
	if (!key.local.words[3])
		return REASON_NONE;
	key.local.words[2] = HOST32(0xffff);

	const struct endpoint *endpoint = endpoint_at(&key);
	if (!endpoint)
		return map_lookup(&interfaces, &key.ifindex) ? REASON_NOT_ITS_ADDRESS : REASON_NONE;
	if (endpoint->mac && (endpoint->mac != mac || endpoint->mac != frame_mac))
		return REASON_NOT_ITS_MAC;
	return REASON_NONE;
}
