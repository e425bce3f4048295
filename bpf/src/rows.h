/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* (program, class) to row, row and port to leaf. The cost is the same for 1 rule and 100,000: three
 * lookups and a search of at most SPAN_STEPS_MAX steps. */
#pragma once

#include "abi.h"
#include "kernel.h"

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_TYPE(key, struct entry_key);
	MAP_TYPE(value, __u32);
	MAP_NUMBER(max_entries, 262144);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_NUMBER(pinning, PINNED);
} entries SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct row);
	MAP_NUMBER(max_entries, 65536);
	MAP_NUMBER(pinning, PINNED);
} rows SEC(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct span);
	MAP_NUMBER(max_entries, 1048576);
	MAP_NUMBER(pinning, PINNED);
} spans SEC(".maps");

/* The last of `n` spans from `first` that starts at or before `key`. The first one starts at 0, so
 * there always is one. */
INLINE struct span *span_at(__u32 first, __u32 n, __u16 key)
{
	for (int step = 0; step < SPAN_STEPS_MAX && n > 1; step++) {
		__u32 half = n >> 1;
		__u32 middle = first + half;
		struct span *at = map_lookup(&spans, &middle);

		if (!at)
			return 0;
		/* Without a branch: the verifier need not walk both ways at every step. */
		__u32 not_after = ~(__u32)(((__s32)key - (__s32)at->start) >> 31);
		first += half & not_after;
		n -= half;
	}
	return map_lookup(&spans, &first);
}

INLINE __u32 row_leaf(__u32 row, __u32 part, __u16 key, __u16 src_port)
{
	struct row *found = map_lookup(&rows, &row);

	if (!found)
		return LEAF_UNKNOWN;
	struct row_part *answer = &found->parts[part & (PARTS - 1)];
	if (!answer->n_spans)
		return answer->value;
	struct span *span = span_at(answer->value, answer->n_spans, key);
	if (span && span->n_sources)
		span = span_at(span->value, span->n_sources, src_port);
	return span ? span->value : LEAF_UNKNOWN;
}
