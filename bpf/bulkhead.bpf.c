/* SPDX-License-Identifier: Apache-2.0 */
/* Bulkhead's kernel programs: what may pass the interface of a workload.
 *
 * Reading order: abi (shapes) - packet (header facts) - endpoints (who) - classes, names, rows,
 * judge (by which rule) - flows, fragments (what is remembered) - events, dns (what is told) - workload
 * (all of it, for one packet). Policy has no order here that NodeProgram::decide does not define. */
#include "src/workload.h"

/* tcx ingress of the host side: the workload sends. */
SEC("classifier") int from_workload(struct __sk_buff *skb)
{
	return judge_packet(skb, 1);
}

/* tcx egress of the host side: the workload receives. */
SEC("classifier") int to_workload(struct __sk_buff *skb)
{
	return judge_packet(skb, 0);
}

char bulkhead_license[] SEC("license") = "Apache-2.0";
