/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Node-wide numbers, see enum config_index; and `slots`, which no kernel program reads: it keeps the
 * content id behind every slot, exactly as long as the maps that use the slot live. */
#pragma once

#include "abi.h"
#include "kernel.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_NUMBER(max_entries, CONFIGS);
	MAP_NUMBER(pinning, PINNED);
} config SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, struct slot_key);
	MAP_TYPE(value, __u64);
	MAP_NUMBER(max_entries, 262144);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_NUMBER(pinning, PINNED);
} slots SEC(".maps");

INLINE __u64 config_at(__u32 index)
{
	__u64 *value = map_lookup(&config, &index);
	return value ? *(volatile __u64 *)value : 0;
}
