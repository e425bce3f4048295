/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The few kernel helpers and constants that are used, so that the build needs clang and the kernel's
 * UAPI headers and nothing else. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define SUBPROGRAM static __attribute__((noinline))
/* Verified once and by itself, whoever calls it: keeps the verifier's work a sum, not a product. */
#define GLOBAL __attribute__((noinline))

/* Map definitions as BTF. */
#define MAP_NUMBER(name, value) int(*name)[value]
#define MAP_TYPE(name, value) typeof(value) *name
#define PINNED 1

static void *(*const map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const map_update)(void *map, const void *key, const void *value,
				__u64 flags) = (void *)BPF_FUNC_map_update_elem;
static long (*const map_delete)(void *map, const void *key) = (void *)BPF_FUNC_map_delete_elem;
static __u64 (*const boot_ns)(void) = (void *)BPF_FUNC_ktime_get_boot_ns;
/* The monotonic clock at the last tick: a memory read, where reading the time stamp counter costs as much
 * as everything else that a known packet needs. */
static __u64 (*const tick_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static __u64 (*const monotonic_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static long (*const load_bytes)(const struct __sk_buff *skb, __u32 offset, void *to,
				__u32 length) = (void *)BPF_FUNC_skb_load_bytes;
static long (*const read_kernel)(void *to, __u32 length,
				 const void *from) = (void *)BPF_FUNC_probe_read_kernel;
static long (*const pull_data)(struct __sk_buff *skb,
			       __u32 length) = (void *)BPF_FUNC_skb_pull_data;
static void *(*const ring_reserve)(void *ring, __u64 size,
				   __u64 flags) = (void *)BPF_FUNC_ringbuf_reserve;
static __u64 (*const ring_query)(void *ring, __u64 what) = (void *)BPF_FUNC_ringbuf_query;
static void (*const ring_submit)(void *data, __u64 flags) = (void *)BPF_FUNC_ringbuf_submit;
static void (*const ring_discard)(void *data, __u64 flags) = (void *)BPF_FUNC_ringbuf_discard;

#define HOST16(value) __builtin_bswap16(value)
#define HOST32(value) __builtin_bswap32(value)

/* linux/bpf.h has the tcx verdicts only since 6.6; the build host's may be older. */
#define VERDICT_NEXT (-1)
#define VERDICT_DROP 2
/* Ours: not judged here. */
#define VERDICT_DEFER 100
