/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The first fragment of a packet speaks for the later ones, which have no ports. A later fragment
 * whose first one was not seen does not pass. */
#pragma once

#include "abi.h"
#include "kernel.h"
#include "packet.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct fragment_key);
	MAP_TYPE(value, struct fragment);
	MAP_NUMBER(max_entries, 8192);
	MAP_NUMBER(pinning, PINNED);
} fragments SEC(".maps");

SUBPROGRAM int recall_fragment(__u32 endpoint, struct packet *packet)
{
	struct fragment_key key = {
		.endpoint = endpoint,
		.src = packet->src,
		.dst = packet->dst,
		.id = packet->fragment_id,
		.protocol = packet->is_ipv4 ? packet->protocol : 0,
	};

	if (packet->fragment == FRAGMENT_LATER) {
		struct fragment *first = map_lookup(&fragments, &key);
		if (!first)
			return REASON_FRAGMENT;
		packet->src_port = first->src_port;
		packet->dst_port = first->dst_port;
		packet->query_id = first->query_id;
		packet->icmp_type = first->icmp_type;
		packet->icmp_code = first->icmp_code;
		packet->protocol = first->protocol;
		packet->tcp_flags = TCP_ACK;
		return REASON_NONE;
	}
	struct fragment first = {
		.src_port = packet->src_port,
		.dst_port = packet->dst_port,
		.query_id = packet->query_id,
		.icmp_type = packet->icmp_type,
		.icmp_code = packet->icmp_code,
		.protocol = packet->protocol,
	};
	map_update(&fragments, &key, &first, BPF_ANY);
	return REASON_NONE;
}
