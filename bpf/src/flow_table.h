/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Where flows are kept: a table for each family, because a short key is quicker to find. Everybody but the
 * short way (known.h) asks by the long key. */
#pragma once

#include "abi.h"
#include "kernel.h"
#include "packet.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct flow4_key);
	MAP_TYPE(value, struct flow);
	MAP_NUMBER(max_entries, 131072);
	MAP_NUMBER(pinning, PINNED);
} flows4 SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct flow_key);
	MAP_TYPE(value, struct flow);
	MAP_NUMBER(max_entries, 131072);
	MAP_NUMBER(pinning, PINNED);
} flows6 SEC(".maps");

/* Every flow's addresses are of one family. */
INLINE int is_of_ipv4(const struct flow_key *key)
{
	return is_mapped(&key->local);
}

INLINE struct flow4_key shortened(const struct flow_key *key)
{
	struct flow4_key key4 = {
		.endpoint = key->endpoint,
		.local = key->local.words[3],
		.remote = key->remote.words[3],
		.local_port = key->local_port,
		.remote_port = key->remote_port,
		.protocol = key->protocol,
		.lane = key->lane,
	};

	return key4;
}

SUBPROGRAM struct flow *flow_at(const struct flow_key *key)
{
	struct flow4_key key4 = shortened(key);

	return is_of_ipv4(key) ? map_lookup(&flows4, &key4) : map_lookup(&flows6, key);
}

/* How many entries were made, by family (0: IPv4), so that user space need not look through a table into
 * which nothing came. */
struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_NUMBER(max_entries, 2);
	MAP_NUMBER(pinning, PINNED);
} made SEC(".maps");

SUBPROGRAM long flow_put(const struct flow_key *key, const struct flow *flow, __u64 flags)
{
	struct flow4_key key4 = shortened(key);
	__u32 family = !is_of_ipv4(key);
	__u64 *n_made = map_lookup(&made, &family);
	long failed = is_of_ipv4(key) ? map_update(&flows4, &key4, flow, flags)
				      : map_update(&flows6, key, flow, flags);

	/* Afterwards: whoever looked in between and found nothing sees that the number has moved. */
	if (n_made)
		*n_made += 1;
	return failed;
}

INLINE long flow_delete(const struct flow_key *key)
{
	struct flow4_key key4 = shortened(key);

	return is_of_ipv4(key) ? map_delete(&flows4, &key4) : map_delete(&flows6, key);
}
