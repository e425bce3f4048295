/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Bulkhead's kernel programs: what may pass the interface of a workload.
 *
 * Reading order: abi (shapes) - packet (header facts) - endpoints (who) - classes, names, rows,
 * judge (by which rule) - flow_table, flows, fragments (what is remembered) - events, dns (what is told) -
 * workload (all of it, for one packet), known (the common case of it) - hosts, deny, wire (the early stages
 * of a host) - netfilter (where routing has been done). Policy has no order here that NodeProgram::decide
 * does not define. */
#include "src/deny.h"
#include "src/known.h"
#include "src/netfilter.h"
#include "src/wire.h"
#include "src/workload.h"

/* tcx ingress of the host side: the workload sends. */
SEC("classifier") int from_workload(struct __sk_buff *skb)
{
	return known_from_workload(skb) ? VERDICT_NEXT : judge_packet(skb, 1);
}

/* tcx egress of the host side: the workload receives. */
SEC("classifier") int to_workload(struct __sk_buff *skb)
{
	return known_to_workload(skb) ? VERDICT_NEXT : judge_packet(skb, 0);
}

/* tcx ingress of an interface of the node itself. */
SEC("classifier") int from_wire(struct __sk_buff *skb)
{
	return judge_wire(skb, 0);
}

/* tcx egress of an interface of the node itself. */
SEC("classifier") int to_wire(struct __sk_buff *skb)
{
	return judge_wire(skb, 1);
}

/* An interface of the node itself, before anything else. */
SEC("xdp") int from_driver(struct xdp_md *frame)
{
	return judge_frame(frame);
}

/* The hooks for local, forwarded and sent packets. Not a classifier: the loader of netfilter programs
 * takes it by name, aya knows no section for them. */
SEC("classifier") int at_hook(struct bpf_nf_ctx *context)
{
	return judge_hook(context);
}

char bulkhead_license[] SEC("license") = "Dual MIT/GPL";
