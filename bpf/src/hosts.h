/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Who stands for an interface of the node itself, which of its programs judges about a near address,
 * and which ports are open whatever the programs say. */
#pragma once

#include "abi.h"
#include "kernel.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct host);
	MAP_NUMBER(max_entries, 256);
	MAP_NUMBER(pinning, PINNED);
} hosts SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LPM_TRIE);
	MAP_TYPE(key, struct local_key);
	MAP_TYPE(value, __u32);
	MAP_NUMBER(max_entries, 131072);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_NUMBER(pinning, PINNED);
} locals SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LPM_TRIE);
	MAP_TYPE(key, struct failsafe_key);
	MAP_TYPE(value, __u32);
	MAP_NUMBER(max_entries, 4096);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_NUMBER(pinning, PINNED);
} failsafes SEC(".maps");

#define LOOPBACK_IFINDEX 1

/* Whoever stands at an interface of the node itself. Not to be asked about one of a workload. */
INLINE struct host *host_at(__u32 ifindex)
{
	struct host *named = map_lookup(&hosts, &ifindex);
	__u32 any = 0;

	if (named || ifindex == LOOPBACK_IFINDEX)
		return named;
	return map_lookup(&hosts, &any);
}

SUBPROGRAM int is_failsafe(__u32 set, __u8 protocol, __u16 port, const struct address *remote)
{
	struct failsafe_key key = {
		.length = 64 + 128,
		.set = set,
		.protocol = protocol,
		.port = port,
		.address = *remote,
	};

	return map_lookup(&failsafes, &key) != 0;
}

/* 0: no program. */
SUBPROGRAM __u32 program_near(__u32 table, const struct address *near)
{
	struct local_key key = {.length = 32 + 128, .locals = table, .address = *near};
	__u32 *found = map_lookup(&locals, &key);

	return found ? *found : 0;
}
