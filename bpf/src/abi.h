/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What the kernel programs and the agent agree on: the shape of every key, value and event.
 *
 * The Rust twin is crates/enforce/abi; both sides assert the same sizes and offsets at compile time.
 * Invariant: no struct has padding, so that a key may be hashed and compared as bytes. Whoever
 * changes a shape raises BULKHEAD_LAYOUT on both sides. */
#pragma once

#include <linux/types.h>

#define BULKHEAD_LAYOUT 6

#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has moved")
#define ASSERT_AT(type, field, at)                                                                 \
	_Static_assert(__builtin_offsetof(type, field) == (at), #type "." #field " has moved")

/* IPv4 is mapped into IPv6 (::ffff:a.b.c.d). Network byte order. */
struct address {
	__u32 words[4];
};
ASSERT_SIZE(struct address, 16);

/* -- who is judged ------------------------------------------------------------------------------ */

struct endpoint_key {
	__u32 ifindex;
	struct address local;
};
ASSERT_SIZE(struct endpoint_key, 20);
ASSERT_AT(struct endpoint_key, local, 4);

/* The same of IPv4. */
struct endpoint4_key {
	__u32 ifindex;
	__u32 local;
};
ASSERT_SIZE(struct endpoint4_key, 8);

/* `lane` says which half of a class_value goes with these programs: one element is replaced at once,
 * so programs and classes change together. `mac`: the only link address that it may send from, in the
 * order of the wire with two zero bytes behind it; 0: any. */
struct judges {
	__u32 slot;
	__u32 ingress;
	__u32 egress;
	__u32 lane;
};
ASSERT_SIZE(struct judges, 16);
ASSERT_AT(struct judges, lane, 12);

struct endpoint {
	struct judges judges;
	__u64 mac;
};
ASSERT_SIZE(struct endpoint, 24);
ASSERT_AT(struct endpoint, mac, 16);

/* `lane` is a bit. Another one says that rules by DNS name judge what this endpoint sends. */
#define ENDPOINT_LANE 1u
#define ENDPOINT_NAMES 2u

/* And one, for host endpoints, that the programs are not known beforehand: `ingress` and `egress` are
 * tables of programs by the near address, see `locals`. */
#define ENDPOINT_BY_NEAR 4u

/* An interface of workloads. `mac` is where a workload sends what the node shall route: the address of
 * the interface itself or of the bridge that it is a port of. */
struct interface {
	__u32 flags;
	__u8 mac[6];
	__u16 zero;
};
ASSERT_SIZE(struct interface, 12);

#define INTERFACE_JUDGED 1u /* some endpoint is on it */
#define INTERFACE_ROUTED 2u /* what goes to `mac` comes by the hooks of netfilter */

/* The beginning of the names of interfaces that carry workloads: where the bits of `mask` are those of
 * `value`. A mask of 0 ends the list. */
struct name_prefix {
	__u64 value[2];
	__u64 mask[2];
};
ASSERT_SIZE(struct name_prefix, 32);
#define NAME_PREFIXES_MAX 16

/* A host endpoint, by interface; key 0 is every interface that no other key and no workload has.
 * `locals` 0: the stage has no say in that direction. `failsafe` 0: no ports. */
enum stage { STAGE_UNTRACKED, STAGE_PRE_DNAT, STAGE_NORMAL, STAGE_FORWARD, STAGES };

struct host {
	__u32 slots[STAGES];
	__u32 locals[STAGES][2]; /* [0] ingress, [1] egress */
	__u32 failsafe[2];
	__u32 lane;
	__u32 zero;
};
ASSERT_SIZE(struct host, 64);
ASSERT_AT(struct host, locals, 16);
ASSERT_AT(struct host, failsafe, 48);
ASSERT_AT(struct host, lane, 56);

struct local_key {
	__u32 length; /* 32 and the prefix's length */
	__u32 locals;
	struct address address;
};
ASSERT_SIZE(struct local_key, 24);

struct failsafe_key {
	__u32 length; /* 64 and the prefix's length */
	__u32 set;
	__u8 protocol;
	__u8 zero;
	__u16 port;
	struct address address;
};
ASSERT_SIZE(struct failsafe_key, 28);
ASSERT_AT(struct failsafe_key, port, 10);

/* -- what they are judged by -------------------------------------------------------------------- */

struct prefix4 {
	__u32 length;
	__u32 word;
};
ASSERT_SIZE(struct prefix4, 8);

struct prefix6 {
	__u32 length;
	struct address address;
};
ASSERT_SIZE(struct prefix6, 20);

/* Both lanes are equal except while an update is under way. */
struct class_value {
	__u32 lane[2];
};
ASSERT_SIZE(struct class_value, 8);

#define CLASS_OUTSIDE 0

struct entry_key {
	__u32 program;
	__u32 class;
};
ASSERT_SIZE(struct entry_key, 8);

/* What an endpoint looked up: the address, and what its egress program sees of the names. */
struct name_key {
	__u32 endpoint;
	__u32 program;
	struct address remote;
};
ASSERT_SIZE(struct name_key, 24);

/* Slots of name sets, in two lanes like a class. */
struct name_value {
	__u32 lane[2];
};
ASSERT_SIZE(struct name_value, 8);

#define NAME_SET_NONE 0u
/* A set that the program has no row for. */
#define NAME_SET_CUT 0xffffffffu

struct name_entry_key {
	__u32 program;
	__u32 class;
	__u32 set;
};
ASSERT_SIZE(struct name_entry_key, 12);

/* A leaf: the decision in the top bit, the rule's slot in the others. */
#define LEAF_ALLOW 0x80000000u
/* An allow that only means: ask the next stage. */
#define LEAF_NO_SAY 0x40000000u
/* Fail-closed: nothing could say. */
#define LEAF_UNKNOWN 0u

/* Slots of what decides where no written rule does. */
#define RULE_FAILSAFE 0x3ffffff1u
#define RULE_STAGE_DEFAULT 0x3ffffff2u
#define RULE_WORKLOAD_TO_HOST 0x3ffffff3u
#define RULE_HOST_TO_WORKLOAD 0x3ffffff4u

enum part {
	PART_TCP,
	PART_UDP,
	PART_SCTP,
	PART_ICMP,
	PART_ICMPV6,
	PART_OTHER,
	PARTS = 8,
};

/* Without spans `value` is the leaf itself; else the index of the first span. */
struct row_part {
	__u32 value;
	__u32 n_spans;
};
ASSERT_SIZE(struct row_part, 8);

struct row {
	struct row_part parts[PARTS];
};
ASSERT_SIZE(struct row, 64);

/* Without sources `value` is a leaf; else the index of the first span by source port. */
struct span {
	__u16 start;
	__u16 n_sources;
	__u32 value;
};
ASSERT_SIZE(struct span, 8);
ASSERT_AT(struct span, value, 4);

/* log2 of the spans that one part may have, plus one. */
#define SPAN_STEPS_MAX 17

/* -- what was seen ------------------------------------------------------------------------------ */

enum opener {
	OPENER_LOCAL,  /* judged as egress */
	OPENER_REMOTE, /* judged as ingress */
};

/* A flow as one endpoint sees it. `lane` keeps apart what may not answer for each other: 0 is a
 * connection; 1 + opener is a denied attempt, or a query (ICMP echo and the like) of that opener. */
struct flow_key {
	__u32 endpoint;
	struct address local;
	struct address remote;
	__u16 local_port;
	__u16 remote_port;
	__u8 protocol;
	__u8 lane;
	__u16 zero;
};
ASSERT_SIZE(struct flow_key, 44);
ASSERT_AT(struct flow_key, local_port, 36);
ASSERT_AT(struct flow_key, lane, 41);

/* The same of IPv4. A short key is quicker to hash and to compare, which is most of what a known packet
 * costs. */
struct flow4_key {
	__u32 endpoint;
	__u32 local;
	__u32 remote;
	__u16 local_port;
	__u16 remote_port;
	__u8 protocol;
	__u8 lane;
	__u16 zero;
};
ASSERT_SIZE(struct flow4_key, 20);
ASSERT_AT(struct flow4_key, local_port, 12);
ASSERT_AT(struct flow4_key, lane, 17);

#define LANE_CONNECTION 0
#define LANE_QUERY(opener) (1 + (opener))
#define LANE_DENIED(opener) (3 + (opener))

#define STATE_OPENER_FIN 1u
#define STATE_REPLIER_FIN 2u
#define STATE_RESET 4u
#define STATE_REPLIED 8u
#define STATE_CONFIRMED 16u /* TCP: the opener answered the reply */
#define STATE_SYN 32u       /* TCP: seen from its first packet */

/* `judged` is the epoch in the upper half and the leaf in the lower one, so that both are read and
 * replaced at once. Counters: [0] from the opener, [1] to it. Times are CLOCK_MONOTONIC of the last
 * tick. Where the node has translated the destination, `real` is the one that policy judged; the key has
 * the one that the workload sees. `tally` is what `packets` (upper 24 bits) and `bytes` do not have yet,
 * so that a packet is counted by one atomic addition. */
struct flow {
	__u64 judged;
	__u64 revision;
	__u64 started_ns;
	__u64 seen_ns;
	__u64 packets[2];
	__u64 bytes[2];
	__u32 state;
	__u8 opener;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 is_translated;
	struct address real;
	__u16 real_port;
	__u16 zero;
	__u32 zero2;
	__u64 tally[2];
};
ASSERT_SIZE(struct flow, 112);
ASSERT_AT(struct flow, packets, 32);
ASSERT_AT(struct flow, state, 64);
ASSERT_AT(struct flow, opener, 68);
ASSERT_AT(struct flow, real, 72);
ASSERT_AT(struct flow, tally, 96);

#define TALLY_PACKET (1ull << 40)
/* As many packets, or more, go from `tally` to the wide counters. */
#define TALLY_MAX (1ull << 60)

struct fragment_key {
	__u32 endpoint;
	struct address src;
	struct address dst;
	__u32 id;
	__u32 protocol; /* 0 for IPv6, where the id is enough */
};
ASSERT_SIZE(struct fragment_key, 44);

/* What the first fragment said. */
struct fragment {
	__u16 src_port;
	__u16 dst_port;
	__u16 query_id;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 protocol;
	__u8 zero[3];
};
ASSERT_SIZE(struct fragment, 12);

enum event_kind {
	EVENT_NEW = 1,
	EVENT_DENIED,
	EVENT_LATE_DENIED,
	EVENT_ENDED,
	EVENT_DROPPED, /* not by policy: see `reason` */
	EVENT_CUT,     /* the packet at which a connection was cut, for who resets it */
};

/* Why a packet was dropped that no policy judged, and what else is counted. */
enum reason {
	REASON_NONE,
	REASON_MALFORMED,
	REASON_NO_PROGRAM,   /* the interface has no endpoint yet */
	REASON_NOT_ITS_ADDRESS,
	REASON_FRAGMENT,     /* a later fragment whose first one was not seen */
	REASON_NOT_IP,
	REASON_LINK_NOISE,   /* multicast of the link itself; counted, never reported */
	REASON_STRAY_RESET,  /* a TCP reset of no known flow that policy denies; never reported */
	REASON_LOST_EVENT,   /* not a drop: the ring buffer was full */
	REASON_FLOWS_FULL,   /* not a drop: judged, but not remembered */
	REASON_NOT_ITS_MAC,
	REASON_NO_TRANSLATION, /* not a drop: conntrack's own tuple could not be understood */
	REASON_BUSY, /* too many contexts at work on one CPU */
	REASON_DENY_SET,
	REASONS = 16,
};

/* Of EVENT_CUT, `number` is the packet's sequence number, `flow.zero2` the one that it acknowledges, and
 * `flow.real` begins with the frame's two link addresses. */
struct event {
	__u8 kind;
	__u8 reason;
	__u8 from_workload;
	__u8 zero;
	__u32 ifindex;
	struct flow_key key;
	__u32 number;
	struct flow flow;
};
ASSERT_SIZE(struct event, 168);
ASSERT_AT(struct event, key, 8);
ASSERT_AT(struct event, flow, 56);

/* A bit for each /24. */
#define DENY_WORDS 262144

/* Contexts that may be at work on one CPU at the same time. */
#define CLAIMS_MAX 4

/* Bits of a packet's mark, which never leave the node: the sender's side has been judged at its
 * interface; and an early stage of the host endpoint by which it came had the last word. */
#define MARK_JUDGED 0x10000000u
#define MARK_EARLY 0x20000000u

/* Elements of the map `config`. The epoch counts changes of what is enforced on this node; flows that
 * were judged at another epoch are judged again. */
enum config_index {
	CONFIG_EPOCH,
	CONFIG_REVISION,
	CONFIG_NEXT_SLOT, /* one for each slot kind */
	CONFIG_LISTENED = 23, /* when the agent last gave a sign that it listens to resolvers */
	CONFIG_NETFILTER, /* 1: the hooks of netfilter are in place */
	CONFIG_TO_HOST,	  /* 1: what workloads send to their own host is denied */
	CONFIG_HOSTS,	  /* 1: there are host endpoints */
	CONFIG_DENY6,	  /* 1: a deny set has IPv6 prefixes */
	CONFIG_RESETS,	  /* 1: somebody resets connections that are cut */
	CONFIGS = 32,
};

struct slot_key {
	__u32 kind;
	__u32 slot;
};
ASSERT_SIZE(struct slot_key, 8);
