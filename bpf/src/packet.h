/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Header facts of one packet. Every loop is bounded; whatever does not parse is malformed. */
#pragma once

#include "abi.h"
#include "judge.h"
#include "kernel.h"

enum fragment_part { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

struct packet {
	struct address src;
	struct address dst;
	__u32 l3;
	__u32 l4;
	__u32 fragment_id;
	__u16 src_port;
	__u16 dst_port;
	__u16 query_id;
	__u16 l4_header;
	__u8 protocol;
	__u8 is_ipv4;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 tcp_flags;
	__u8 fragment;
	__u8 hop_limit;
	__u8 zero;
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_IPV6 0x86dd

/* Where a packet's bytes are read from: a buffer of traffic control, or the linear part of one of
 * netfilter. The constant that is not used costs nothing: everything here is inlined. */
struct bytes {
	const struct __sk_buff *skb;
	const unsigned char *linear;
	__u32 linear_length;
	__u32 length;
};

INLINE long read_bytes(const struct bytes *bytes, __u32 at, void *to, __u32 n)
{
	if (bytes->skb)
		return load_bytes(bytes->skb, at, to, n);
	if (at > 0xffff || at + n > bytes->linear_length)
		return -1;
	return read_kernel(to, n, bytes->linear + at);
}

#define VLAN_TAGS_MAX 2
#define EXTENSION_HEADERS_MAX 8

struct ipv4_header {
	__u8 version_length;
	__u8 tos;
	__u16 total;
	__u16 id;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u32 src;
	__u32 dst;
};
ASSERT_SIZE(struct ipv4_header, 20);

struct ipv6_header {
	__u32 version_flow;
	__u16 payload;
	__u8 next;
	__u8 hop_limit;
	struct address src;
	struct address dst;
};
ASSERT_SIZE(struct ipv6_header, 40);

struct ethernet_header {
	__u8 dst[6];
	__u8 src[6];
	__u16 type;
};
ASSERT_SIZE(struct ethernet_header, 14);

/* Where the network header starts, and its ethertype in host order; 0 where there is none. `sender`
 * is the source of the frame in the shape of an endpoint's `mac`. */
INLINE __u16 link_header(const struct __sk_buff *skb, __u32 *l3, __u64 *sender)
{
	struct ethernet_header ethernet;
	__u16 type;
	__u32 at = sizeof(ethernet);

	*sender = 0;
	if (load_bytes(skb, 0, &ethernet, sizeof(ethernet)))
		return 0;
	__builtin_memcpy(sender, ethernet.src, sizeof(ethernet.src));
	type = ethernet.type;
	for (int tag = 0; tag < VLAN_TAGS_MAX; tag++) {
		if (HOST16(type) != ETHERTYPE_VLAN && HOST16(type) != ETHERTYPE_QINQ)
			break;
		if (load_bytes(skb, at + 2, &type, 2))
			return 0;
		at += 4;
	}
	*l3 = at;
	return HOST16(type);
}

/* `quoted`: the packet stands inside an ICMP error and may be cut short. */
INLINE int parse_ipv4(const struct bytes *bytes, struct packet *packet, int quoted)
{
	struct ipv4_header ip;

	if (read_bytes(bytes, packet->l3, &ip, sizeof(ip)))
		return REASON_MALFORMED;
	__u32 header = (ip.version_length & 0x0f) * 4;
	__u32 total = HOST16(ip.total);
	if (ip.version_length >> 4 != 4 || header < sizeof(ip))
		return REASON_MALFORMED;
	/* A super-packet of segmentation offload may say 0. */
	if (!quoted && total && (total < header || packet->l3 + total > bytes->length))
		return REASON_MALFORMED;
	packet->src.words[2] = packet->dst.words[2] = HOST32(0xffff);
	packet->src.words[3] = ip.src;
	packet->dst.words[3] = ip.dst;
	packet->is_ipv4 = 1;
	packet->protocol = ip.protocol;
	packet->hop_limit = ip.ttl;
	packet->fragment_id = ip.id;
	packet->l4 = packet->l3 + header;
	if (HOST16(ip.fragment) & 0x1fff)
		packet->fragment = FRAGMENT_LATER;
	else if (HOST16(ip.fragment) & 0x2000)
		packet->fragment = FRAGMENT_FIRST;
	return REASON_NONE;
}

INLINE int is_mapped(const struct address *address)
{
	return !address->words[0] && !address->words[1] && address->words[2] == HOST32(0xffff);
}

#define IPV6_HOP_BY_HOP 0
#define IPV6_ROUTING 43
#define IPV6_FRAGMENT 44
#define IPV6_AUTHENTICATION 51
#define IPV6_DESTINATION 60

INLINE int parse_ipv6(const struct bytes *bytes, struct packet *packet, int quoted)
{
	struct ipv6_header ip;

	if (read_bytes(bytes, packet->l3, &ip, sizeof(ip)))
		return REASON_MALFORMED;
	if ((HOST32(ip.version_flow) >> 28) != 6)
		return REASON_MALFORMED;
	__u32 payload = HOST16(ip.payload);
	if (!quoted && payload && packet->l3 + sizeof(ip) + payload > bytes->length)
		return REASON_MALFORMED;
	/* Mapped addresses stand for IPv4 in the maps and have no business on a wire. */
	if (is_mapped(&ip.src) || is_mapped(&ip.dst))
		return REASON_MALFORMED;
	packet->src = ip.src;
	packet->dst = ip.dst;
	packet->hop_limit = ip.hop_limit;

	__u8 next = ip.next;
	__u32 at = packet->l3 + sizeof(ip);
	for (int header = 0; header < EXTENSION_HEADERS_MAX; header++) {
		__u8 extension[8];

		if (next != IPV6_HOP_BY_HOP && next != IPV6_ROUTING && next != IPV6_FRAGMENT &&
		    next != IPV6_AUTHENTICATION && next != IPV6_DESTINATION)
			break;
		if (read_bytes(bytes, at, extension, sizeof(extension)))
			return REASON_MALFORMED;
		if (next == IPV6_FRAGMENT) {
			__u16 offset = (__u16)extension[2] << 8 | extension[3];

			packet->fragment_id = *(__u32 *)&extension[4];
			if (offset & 0xfff8)
				packet->fragment = FRAGMENT_LATER;
			else if (offset & 1)
				packet->fragment = FRAGMENT_FIRST;
			at += 8;
		} else if (next == IPV6_AUTHENTICATION) {
			at += ((__u32)extension[1] + 2) * 4;
		} else {
			at += ((__u32)extension[1] + 1) * 8;
		}
		next = extension[0];
		/* What follows in a later fragment is payload, not headers. */
		if (packet->fragment == FRAGMENT_LATER)
			break;
	}
	/* Too many headers to know what the packet is. */
	if (packet->fragment != FRAGMENT_LATER &&
	    (next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_FRAGMENT ||
	     next == IPV6_AUTHENTICATION || next == IPV6_DESTINATION))
		return REASON_MALFORMED;
	packet->protocol = next;
	packet->l4 = at;
	return REASON_NONE;
}

/* Queries and their answers share a flow: the type of the question. 0 for every other type. */
INLINE __u8 icmp_question(const struct packet *packet, int *is_answer)
{
	*is_answer = 0;
	if (packet->protocol == PROTOCOL_ICMP) {
		switch (packet->icmp_type) {
		case 0: /* echo */
			*is_answer = 1;
			return 8;
		case 14: /* timestamp */
		case 16: /* information */
		case 18: /* address mask */
			*is_answer = 1;
			return packet->icmp_type - 1;
		case 8:
		case 13:
		case 15:
		case 17:
			return packet->icmp_type;
		}
		return 0;
	}
	if (packet->icmp_type == 129)
		*is_answer = 1;
	return packet->icmp_type == 128 || packet->icmp_type == 129 ? 128 : 0;
}

INLINE int is_icmp_error(const struct packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->protocol == PROTOCOL_ICMP)
		return type == 3 || type == 11 || type == 12;
	return packet->protocol == PROTOCOL_ICMPV6 && type >= 1 && type <= 4;
}

/* Needs 8 bytes of the transport header, which is also what an ICMP error quotes at least. */
INLINE int parse_transport(const struct bytes *bytes, struct packet *packet, int quoted)
{
	__u8 first[16] = {};
	int has_ports = packet->protocol == PROTOCOL_TCP || packet->protocol == PROTOCOL_UDP ||
			packet->protocol == PROTOCOL_SCTP;
	int is_icmp = packet->protocol == PROTOCOL_ICMP || packet->protocol == PROTOCOL_ICMPV6;

	if (packet->fragment == FRAGMENT_LATER || (!has_ports && !is_icmp))
		return REASON_NONE;
	if (packet->protocol == PROTOCOL_TCP && !quoted) {
		if (read_bytes(bytes, packet->l4, first, 16))
			return REASON_MALFORMED;
		packet->l4_header = (first[12] >> 4) * 4;
		if (packet->l4_header < 20 || packet->l4 + packet->l4_header > bytes->length)
			return REASON_MALFORMED;
		packet->tcp_flags = first[13];
	} else if (read_bytes(bytes, packet->l4, first, 8)) {
		return REASON_MALFORMED;
	}
	if (packet->protocol == PROTOCOL_UDP)
		packet->l4_header = 8;
	if (has_ports) {
		packet->src_port = (__u16)first[0] << 8 | first[1];
		packet->dst_port = (__u16)first[2] << 8 | first[3];
	} else {
		packet->icmp_type = first[0];
		packet->icmp_code = first[1];
		packet->query_id = (__u16)first[4] << 8 | first[5];
	}
	return REASON_NONE;
}

/* `packet` is zeroed but for `l3`. */
INLINE int parse_ip(const struct bytes *bytes, struct packet *packet, int is_ipv4, int quoted)
{
	int reason = is_ipv4 ? parse_ipv4(bytes, packet, quoted) : parse_ipv6(bytes, packet, quoted);

	return reason ? reason : parse_transport(bytes, packet, quoted);
}

/* ND never crosses a router: hop limit 255. */
INLINE int is_neighbour_discovery(const struct packet *packet)
{
	return packet->protocol == PROTOCOL_ICMPV6 && !packet->is_ipv4 &&
	       packet->fragment == FRAGMENT_NONE && packet->hop_limit == 255 &&
	       packet->icmp_type >= 133 && packet->icmp_type <= 137;
}

/* Group membership reports to multicast addresses, which every host sends on its link. */
INLINE int is_link_noise(const struct packet *packet)
{
	if (packet->is_ipv4)
		return packet->protocol == 2 && (HOST32(packet->dst.words[3]) >> 28) == 0xe;
	return packet->protocol == PROTOCOL_ICMPV6 && packet->hop_limit == 1 &&
	       (HOST32(packet->dst.words[0]) >> 24) == 0xff &&
	       ((packet->icmp_type >= 130 && packet->icmp_type <= 132) ||
		packet->icmp_type == 143);
}
