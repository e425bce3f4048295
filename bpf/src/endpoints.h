/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* (interface, local address) to who is judged and by which programs. Absence is the default-closed
 * state and the anti-spoofing in one. `interfaces` tells the two apart for the evidence only. */
#pragma once

#include "abi.h"
#include "kernel.h"
#include "packet.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, struct endpoint4_key);
	MAP_TYPE(value, struct endpoint);
	MAP_NUMBER(max_entries, 4096);
	MAP_NUMBER(pinning, PINNED);
} endpoints4 SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, struct endpoint_key);
	MAP_TYPE(value, struct endpoint);
	MAP_NUMBER(max_entries, 4096);
	MAP_NUMBER(pinning, PINNED);
} endpoints6 SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct interface);
	MAP_NUMBER(max_entries, 1024);
	MAP_NUMBER(pinning, PINNED);
} interfaces SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct name_prefix);
	MAP_NUMBER(max_entries, NAME_PREFIXES_MAX);
	MAP_NUMBER(pinning, PINNED);
} name_prefixes SEC(".maps");

INLINE const struct endpoint *endpoint_at(const struct endpoint_key *key)
{
	struct endpoint4_key key4 = {.ifindex = key->ifindex, .local = key->local.words[3]};

	return is_mapped(&key->local) ? map_lookup(&endpoints4, &key4)
				      : map_lookup(&endpoints6, key);
}
