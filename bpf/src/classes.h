/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Address to class: the exact hash before the prefix trie. */
#pragma once

#include "abi.h"
#include "kernel.h"

#define CLASS_MAP(name, map_type, key_type, size)                                                  \
	struct {                                                                                   \
		MAP_NUMBER(type, map_type);                                                        \
		MAP_TYPE(key, key_type);                                                           \
		MAP_TYPE(value, struct class_value);                                               \
		MAP_NUMBER(max_entries, size);                                                     \
		MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);                                          \
		MAP_NUMBER(pinning, PINNED);                                                       \
	} name SEC(".maps")

CLASS_MAP(classes4, BPF_MAP_TYPE_HASH, __u32, 131072);
CLASS_MAP(classes6, BPF_MAP_TYPE_HASH, struct address, 131072);
CLASS_MAP(prefixes4, BPF_MAP_TYPE_LPM_TRIE, struct prefix4, 131072);
CLASS_MAP(prefixes6, BPF_MAP_TYPE_LPM_TRIE, struct prefix6, 131072);

INLINE __u32 class_of(const struct address *remote, int is_ipv4, __u32 lane)
{
	struct class_value *found;

	if (is_ipv4) {
		found = map_lookup(&classes4, &remote->words[3]);
		if (!found) {
			struct prefix4 key = {.length = 32, .word = remote->words[3]};
			found = map_lookup(&prefixes4, &key);
		}
	} else {
		found = map_lookup(&classes6, remote);
		if (!found) {
			struct prefix6 key = {.length = 128, .address = *remote};
			found = map_lookup(&prefixes6, &key);
		}
	}
	return found ? found->lane[lane & ENDPOINT_LANE] : CLASS_OUTSIDE;
}
