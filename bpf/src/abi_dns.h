/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel programs tell the agent about resolvers; a part of abi.h with the same rules. Its Rust
 * twin is crates/enforce/abi/src/dns.rs. */
#pragma once

#include "abi.h"

enum heard_kind {
	HEARD_QUESTION = 1, /* a copy: the packet went on */
	HEARD_OPENED,       /* a copy of a resolver's SYN+ACK */
	HEARD_ANSWER,       /* the packet itself: it is gone unless the agent sends it on */
};

/* Before a packet to or from a resolver; the frame follows. The offsets count from its start. */
struct heard {
	struct flow_key key;
	__u32 ifindex;
	__u64 seen_ns;
	__u32 length;
	__u16 l3;
	__u16 l4;
	__u16 payload;
	__u16 gso_size;
	__u8 kind;
	__u8 is_ipv4;
	__u8 zero[2];
};
ASSERT_SIZE(struct heard, 72);
ASSERT_AT(struct heard, seen_ns, 48);
ASSERT_AT(struct heard, payload, 64);

/* Elements of the map `dns_counts`. */
enum dns_count {
	DNS_HELD,
	DNS_NOBODY,   /* passed: no agent listens */
	DNS_FULL,     /* passed: the ring buffer had no room */
	DNS_SHAPE,    /* passed: a fragment, or too big */
	DNS_UNCOPIED, /* a question that the agent will not know of */
	DNS_COUNTS = 8,
};

/* The longest frame that is held. */
#define HEARD_BYTES_MAX 65536
/* So long after its last sign the agent is taken for dead. */
#define LISTENED_MAX_NS 2000000000ull
