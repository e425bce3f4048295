/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The verdict about the first packet of a flow: the kernel's twin of NodeProgram::decide. */
#pragma once

#include "abi.h"
#include "classes.h"
#include "kernel.h"
#include "names.h"
#include "rows.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_SCTP 132

/* The flow's first packet, turned to the judged endpoint. */
struct question {
	struct address remote;
	__u32 program;
	__u32 lane;
	__u32 set; /* what the program sees of the names of the remote address */
	__u16 src_port;
	__u16 dst_port;
	__u8 protocol;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 is_ipv4;
};

SUBPROGRAM __u32 judge(const struct question *question)
{
	__u32 part = PART_OTHER;
	__u16 key = question->protocol;
	__u16 src_port = 0;

	switch (question->protocol) {
	case PROTOCOL_TCP:
		part = PART_TCP;
		break;
	case PROTOCOL_UDP:
		part = PART_UDP;
		break;
	case PROTOCOL_SCTP:
		part = PART_SCTP;
		break;
	case PROTOCOL_ICMP:
		part = PART_ICMP;
		break;
	case PROTOCOL_ICMPV6:
		part = PART_ICMPV6;
		break;
	}
	if (part <= PART_SCTP) {
		key = question->dst_port;
		src_port = question->src_port;
	} else if (part <= PART_ICMPV6) {
		key = (__u16)question->icmp_type << 8 | question->icmp_code;
	}

	struct entry_key entry = {
		.program = question->program,
		.class = class_of(&question->remote, question->is_ipv4, question->lane),
	};
	__u32 *row;
	if (question->set != NAME_SET_NONE) {
		row = name_row(entry.program, entry.class, question->set);
	} else {
		row = map_lookup(&entries, &entry);
		if (!row && entry.class != CLASS_OUTSIDE) {
			entry.class = CLASS_OUTSIDE;
			row = map_lookup(&entries, &entry);
		}
	}
	return row ? row_leaf(*row, part, key, src_port) : LEAF_UNKNOWN;
}
