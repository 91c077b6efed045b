// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * steer: which frames of a port go to user space, and where the others go.
 *
 * TCP goes to the AF_XDP socket of the queue it came in on. That includes every fragment of a TCP
 * datagram, and frames whose headers are broken: user space refuses those with a reason, and counts
 * them. So do ICMP errors that quote TCP, or may: user space holds them against the connection that
 * they are about. The rest (ARP, UDP, other ICMP, ...) is not inspected. It crosses to the peer port
 * in the kernel, or goes to user space as well, or is dropped: steer_other says which.
 *
 * Each port has an instance of its own, with maps of its own. So the queue is the key of every map,
 * nothing is looked up by interface, and a port can be replaced without touching its peer.
 *
 * The wire must not die with the process. The program is pinned, and outlives it. Sockets leave the
 * XSKMAP when they are closed, whatever closes them, and then frames cross uninspected (steer_fail).
 * A process that hangs keeps its sockets, so each worker stamps a heartbeat for its queues, and when
 * that is stale, its frames cross uninspected as well.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "steer.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set before load, then read-only: the verifier removes the branches not taken. */
const volatile __u32 steer_other = STEER_OTHER_IS_KERNEL;
const volatile __u32 steer_fail = STEER_FAIL_IS_WIRE;
const volatile __u64 steer_stale_ns = 20 * 1000 * 1000; /* 0: heartbeats are not looked at */

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STEER_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} peer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_VERDICTS);
	__type(key, __u32);
	__type(value, struct steer_count);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, STEER_QUEUES_MAX);
	__type(key, __u32);
	__type(value, struct steer_heartbeat);
} heartbeats SEC(".maps");

enum kind {
	KIND_TCP,
	KIND_OTHER,
	KIND_MALFORMED,
};

struct hdr_cursor {
	void *pos;
	void *end;
};

struct vlan_hdr {
	__be16 tci;
	__be16 encapsulated;
};

struct extension_hdr {
	__u8 next;
	__u8 len;
};

struct icmp_hdr {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

struct fragment_hdr {
	__u8 next;
	__u8 reserved;
	__be16 offset_and_flags;
	__be32 id;
};

/* The uapi headers have no names for these. */
#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION 60
#define FRAGMENT_OFFSET_OR_MORE 0xfff9
#define FRAGMENT_OFFSET 0xfff8
#define IPV4_OFFSET 0x1fff
#define IPV4_OFFSET_OR_MORE 0x3fff
#define ICMPV6_INFORMATIONAL 128

/* linux/icmp.h pulls in headers of a C library, which a BPF program has not. */
#define ICMP_UNREACHABLE 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12

/* The header at the cursor, which moves past it; NULL when the frame ends before. */
static __always_inline void *hdr_take(struct hdr_cursor *nh, __u32 size)
{
	void *hdr = nh->pos;

	if (hdr + size > nh->end)
		return NULL;
	nh->pos = hdr + size;
	return hdr;
}

static __always_inline bool is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* The EtherType behind at most two tags, in *type. */
static __always_inline bool parse_ethernet(struct hdr_cursor *nh, __be16 *type)
{
	struct ethhdr *eth = hdr_take(nh, sizeof(*eth));
	struct vlan_hdr *vlan;
	int i;

	if (!eth)
		return false;
	*type = eth->h_proto;
	for (i = 0; i < STEER_VLANS_MAX && is_vlan(*type); i++) {
		vlan = hdr_take(nh, sizeof(*vlan));
		if (!vlan)
			return false;
		*type = vlan->encapsulated;
	}
	return true;
}

/*
 * An ICMP error quotes the head of a packet (RFC 792). What it says of the quoted packet is user space's
 * to read; here one field tells whether that was TCP. No host takes an error that ends before the field,
 * unless the rest of it comes in another fragment: then user space has it, to refuse it.
 */
static __always_inline enum kind parse_icmpv4(struct hdr_cursor *nh, bool is_fragment)
{
	struct icmp_hdr *icmp = hdr_take(nh, sizeof(*icmp));
	struct iphdr *quoted;

	if (!icmp)
		return is_fragment ? KIND_TCP : KIND_OTHER;
	switch (icmp->type) {
	case ICMP_UNREACHABLE:
	case ICMP_SOURCE_QUENCH:
	case ICMP_REDIRECT:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		break;
	default:
		return KIND_OTHER;
	}
	quoted = hdr_take(nh, sizeof(*quoted));
	if (!quoted)
		return is_fragment ? KIND_TCP : KIND_OTHER;
	return quoted->protocol == IPPROTO_TCP ? KIND_TCP : KIND_OTHER;
}

/*
 * The same for ICMPv6 (RFC 4443), whose types below 128 are errors, known or not. A quoted extension
 * header may have TCP behind it: user space walks on.
 */
static __always_inline enum kind parse_icmpv6(struct hdr_cursor *nh, bool is_fragment)
{
	struct icmp_hdr *icmp = hdr_take(nh, sizeof(*icmp));
	struct ipv6hdr *quoted;

	if (!icmp)
		return is_fragment ? KIND_TCP : KIND_OTHER;
	if (icmp->type >= ICMPV6_INFORMATIONAL)
		return KIND_OTHER;
	quoted = hdr_take(nh, sizeof(*quoted));
	if (!quoted)
		return is_fragment ? KIND_TCP : KIND_OTHER;
	switch (quoted->nexthdr) {
	case IPPROTO_TCP:
	case EXTENSION_HOP_BY_HOP:
	case EXTENSION_ROUTING:
	case EXTENSION_FRAGMENT:
	case EXTENSION_AUTHENTICATION:
	case EXTENSION_DESTINATION:
		return KIND_TCP;
	default:
		return KIND_OTHER;
	}
}

/*
 * Every fragment of an IPv4 datagram carries its protocol, so fragments of TCP need no case of their
 * own. The lengths are user space's to check, since only TCP's are of interest.
 */
static __always_inline enum kind parse_ipv4(struct hdr_cursor *nh)
{
	struct iphdr *ip = hdr_take(nh, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return KIND_MALFORMED;
	if (ip->protocol == IPPROTO_TCP)
		return KIND_TCP;
	if (ip->protocol != IPPROTO_ICMP || ip->frag_off & bpf_htons(IPV4_OFFSET))
		return KIND_OTHER;
	nh->pos += ip->ihl * 4 - sizeof(*ip);
	return parse_icmpv4(nh, ip->frag_off & bpf_htons(IPV4_OFFSET_OR_MORE));
}

/*
 * Walks the extension headers (RFC 8200 section 4) to the one that carries data. If a fragment header
 * is followed by yet another extension header, then only the first fragment shows what the datagram
 * carries. User space has them all then, the first one too, as it could not reassemble the others
 * without it: what may be TCP must not pass unseen. A fragment that is a whole datagram is no fragment
 * (RFC 6946).
 */
static __always_inline enum kind parse_ipv6(struct hdr_cursor *nh)
{
	struct ipv6hdr *ip = hdr_take(nh, sizeof(*ip));
	struct extension_hdr *extension;
	struct fragment_hdr *fragment;
	bool is_fragment = false;
	bool is_later = false;
	__u8 next;
	int i;

	if (!ip || ip->version != 6)
		return KIND_MALFORMED;
	next = ip->nexthdr;

	for (i = 0; i <= STEER_EXTENSIONS_MAX; i++) {
		switch (next) {
		case EXTENSION_HOP_BY_HOP:
		case EXTENSION_ROUTING:
		case EXTENSION_DESTINATION:
		case EXTENSION_AUTHENTICATION:
			if (is_fragment)
				return KIND_TCP;
			extension = hdr_take(nh, sizeof(*extension));
			if (!extension)
				return KIND_MALFORMED;
			/* Authentication counts words, the others double words: RFC 4302 2.2. */
			if (next == EXTENSION_AUTHENTICATION)
				nh->pos += (extension->len + 2) * 4 - sizeof(*extension);
			else
				nh->pos += (extension->len + 1) * 8 - sizeof(*extension);
			next = extension->next;
			break;
		case EXTENSION_FRAGMENT:
			if (is_fragment)
				return KIND_TCP;
			fragment = hdr_take(nh, sizeof(*fragment));
			if (!fragment)
				return KIND_MALFORMED;
			is_fragment = fragment->offset_and_flags & bpf_htons(FRAGMENT_OFFSET_OR_MORE);
			is_later = fragment->offset_and_flags & bpf_htons(FRAGMENT_OFFSET);
			next = fragment->next;
			break;
		case IPPROTO_TCP:
			return KIND_TCP;
		case IPPROTO_ICMPV6:
			return is_later ? KIND_OTHER : parse_icmpv6(nh, is_fragment);
		default:
			return KIND_OTHER;
		}
	}
	return KIND_MALFORMED;
}

static __always_inline enum kind classify(struct xdp_md *ctx)
{
	struct hdr_cursor nh = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	__be16 type;

	if (!parse_ethernet(&nh, &type))
		return KIND_MALFORMED;
	if (type == bpf_htons(ETH_P_IP))
		return parse_ipv4(&nh);
	if (type == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(&nh);
	return KIND_OTHER;
}

static __always_inline void count(struct xdp_md *ctx, __u32 verdict)
{
	struct steer_count *count = bpf_map_lookup_elem(&verdicts, &verdict);

	if (!count)
		return;
	count->frames++;
	count->bytes += bpf_xdp_get_buff_len(ctx);
}

/*
 * To the peer port. Whether its driver takes the frame shows only later: a veth end without NAPI
 * (no GRO, no XDP program) drops what is redirected to it. XDP_ABORTED hits a tracepoint, which is
 * what one wants to see when the peer is gone.
 */
static __always_inline int across(struct xdp_md *ctx, __u32 verdict)
{
	if (bpf_redirect_map(&peer, 0, XDP_ABORTED) == XDP_REDIRECT) {
		count(ctx, verdict);
		return XDP_REDIRECT;
	}
	count(ctx, STEER_ABORTED);
	return XDP_ABORTED;
}

/* The coarse clock costs a load, and its tick of 1 to 10 ms is fine enough for a bound of 20. */
static __always_inline bool is_stale(__u32 queue)
{
	struct steer_heartbeat *heartbeat;
	__s64 age_ns;

	if (!steer_stale_ns)
		return false;
	heartbeat = bpf_map_lookup_elem(&heartbeats, &queue);
	if (!heartbeat)
		return false;
	/* Signed, as the worker may read the clock just after this CPU did. */
	age_ns = bpf_ktime_get_coarse_ns() - *(volatile __u64 *)&heartbeat->at_ns;
	return age_ns > (__s64)steer_stale_ns;
}

static __always_inline int to_socket(struct xdp_md *ctx, __u32 verdict)
{
	__u32 queue = ctx->rx_queue_index;

	if (steer_fail == STEER_FAIL_IS_WIRE && is_stale(queue))
		return across(ctx, STEER_BYPASSED);
	/* The flags are what it returns when the map has no socket for the queue. */
	if (bpf_redirect_map(&sockets, queue, XDP_ABORTED) == XDP_REDIRECT) {
		count(ctx, verdict);
		return XDP_REDIRECT;
	}
	if (steer_fail == STEER_FAIL_IS_WIRE)
		return across(ctx, STEER_NO_SOCKET_WIRE);
	count(ctx, STEER_NO_SOCKET_CLOSED);
	return XDP_DROP;
}

SEC("xdp.frags")
int steer(struct xdp_md *ctx)
{
	switch (classify(ctx)) {
	case KIND_TCP:
		return to_socket(ctx, STEER_TO_SOCKET);
	case KIND_MALFORMED:
		return to_socket(ctx, STEER_MALFORMED);
	case KIND_OTHER:
		break;
	}
	if (steer_other == STEER_OTHER_IS_KERNEL)
		return across(ctx, STEER_OTHER_KERNEL);
	if (steer_other == STEER_OTHER_IS_USER)
		return to_socket(ctx, STEER_OTHER_USER);
	count(ctx, STEER_OTHER_DROPPED);
	return XDP_DROP;
}
