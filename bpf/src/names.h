/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What an endpoint knows an address by: (endpoint, program, address) to name set, and (program, class,
 * name set) to row. The kernel's twin of NameTables. */
#pragma once

#include "abi.h"
#include "kernel.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, struct name_key);
	MAP_TYPE(value, struct name_value);
	MAP_NUMBER(max_entries, 131072);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_NUMBER(pinning, PINNED);
} names SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, struct name_entry_key);
	MAP_TYPE(value, __u32);
	MAP_NUMBER(max_entries, 131072);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_NUMBER(pinning, PINNED);
} name_entries SEC(".maps");

INLINE __u32 name_set_of(__u32 endpoint, __u32 program, const struct address *remote, __u32 lane)
{
	struct name_key key = {.endpoint = endpoint, .program = program, .remote = *remote};
	struct name_value *found = map_lookup(&names, &key);

	return found ? found->lane[lane & ENDPOINT_LANE] : NAME_SET_NONE;
}

/* A class that the program cannot tell from the outside has no entry of its own. */
INLINE __u32 *name_row(__u32 program, __u32 class, __u32 set)
{
	struct name_entry_key key = {.program = program, .class = class, .set = set};
	__u32 *row = map_lookup(&name_entries, &key);

	if (!row && class != CLASS_OUTSIDE) {
		key.class = CLASS_OUTSIDE;
		row = map_lookup(&name_entries, &key);
	}
	return row;
}
