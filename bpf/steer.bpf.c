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
 *
 * Of a connection that no rule wants to see any more, user space makes a shunt: its plain segments cross
 * here and are counted. What begins or ends a connection still goes up. So that user space can tell an
 * end from a forgery, each shunt keeps how far its numbers have come. A connection that was refused is
 * dropped here instead. Shunts live in a hash table and not in an LRU one: that would forget, without a
 * word, a connection that lives, and with it how far it had come. User space takes out what has ended or
 * fallen silent, and a table that is full refuses.
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

/* Memory is taken when a shunt is made, and only user space makes them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);	/* set before load */
	__type(key, struct steer_flow);
	__type(value, struct steer_shunt);
} shunts SEC(".maps");

/* Not 0 since the first shunt was made: until then nothing is looked up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} shunting SEC(".maps");

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

struct tcp_hdr {
	__be16 source;
	__be16 destination;
	__be32 seq;
	__be32 ack;
	__u8 offset;		/* in words, in the upper half */
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
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
#define VLAN_IDENTIFIER 0x0fff
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

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

/* The EtherType behind at most two tags, in *type; the identifiers of the tags in vlans. */
static __always_inline bool parse_ethernet(struct hdr_cursor *nh, __be16 *type,
					   __u16 vlans[STEER_VLANS_MAX])
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
		vlans[i] = bpf_ntohs(vlan->tci) & VLAN_IDENTIFIER;
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
	__u16 vlans[STEER_VLANS_MAX] = {};
	__be16 type;

	if (!parse_ethernet(&nh, &type, vlans))
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

/* What a shunt is asked with, and what it learns. */
struct segment {
	struct steer_flow flow;
	__u32 ip_len;
	__u32 seq;
	__u32 end;
	__u32 ack;
	__u16 window;
	__u8 flags;
};

/* Whether the checksum of an IPv4 header of 20 bytes is right (RFC 1071). */
static __always_inline bool is_intact(struct iphdr *ip)
{
	__u16 *words = (__u16 *)ip;
	__u32 sum = 0;
	int i;

	for (i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/*
 * A plain segment: whole, right in its lengths, without IP options or extension headers. Whatever else
 * there is of a shunted connection goes up like any TCP, and crosses from there.
 */
static __always_inline bool parse_segment(struct xdp_md *ctx, struct segment *segment)
{
	struct hdr_cursor nh = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct steer_flow *flow = &segment->flow;
	__u16 vlans[STEER_VLANS_MAX] = {};
	__u32 before, len;
	struct ipv6hdr *ipv6;
	struct tcp_hdr *tcp;
	struct iphdr *ip;
	__u8 hdr_len;
	__be16 type;

	if (!parse_ethernet(&nh, &type, vlans))
		return false;
	flow->outer_vlan = vlans[0];
	flow->inner_vlan = vlans[1];
	before = nh.pos - (void *)(long)ctx->data;
	if (type == bpf_htons(ETH_P_IP)) {
		ip = hdr_take(&nh, sizeof(*ip));
		if (!ip || ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_TCP ||
		    ip->frag_off & bpf_htons(IPV4_OFFSET_OR_MORE) || !is_intact(ip))
			return false;
		segment->ip_len = bpf_ntohs(ip->tot_len);
		len = segment->ip_len - sizeof(*ip);
		flow->version = 4;
		flow->source[10] = flow->source[11] = 0xff;
		flow->destination[10] = flow->destination[11] = 0xff;
		__builtin_memcpy(flow->source + 12, &ip->saddr, 4);
		__builtin_memcpy(flow->destination + 12, &ip->daddr, 4);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		ipv6 = hdr_take(&nh, sizeof(*ipv6));
		if (!ipv6 || ipv6->version != 6 || ipv6->nexthdr != IPPROTO_TCP)
			return false;
		len = bpf_ntohs(ipv6->payload_len);
		segment->ip_len = len + sizeof(*ipv6);
		flow->version = 6;
		__builtin_memcpy(flow->source, &ipv6->saddr, 16);
		__builtin_memcpy(flow->destination, &ipv6->daddr, 16);
	} else {
		return false;
	}
	tcp = hdr_take(&nh, sizeof(*tcp));
	if (!tcp || before + segment->ip_len > bpf_xdp_get_buff_len(ctx))
		return false;
	hdr_len = (tcp->offset >> 4) * 4;
	/* Signed: an IPv4 length of less than a header is negative here. */
	if (hdr_len < sizeof(*tcp) || (__s32)len < hdr_len)
		return false;
	flow->source_port = tcp->source;
	flow->destination_port = tcp->destination;
	segment->seq = bpf_ntohl(tcp->seq);
	segment->end = segment->seq + len - hdr_len;
	segment->ack = bpf_ntohl(tcp->ack);
	segment->window = bpf_ntohs(tcp->window);
	segment->flags = tcp->flags;
	return true;
}

static __always_inline bool is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* Whether a segment of a connection that was refused goes up after all. */
static __always_inline bool is_due(struct steer_shunt *shunt)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (now - shunt->up_ns < STEER_UP_NS)
		return false;
	shunt->up_ns = now;
	return true;
}

/*
 * True, and what becomes of it in *action, for a frame of a shunted connection. Which CPU sees a
 * direction is up to the card, and may change: so its counts are added atomically. That of two at once
 * only one raises an edge is no harm, the next segment does.
 */
static __always_inline bool shunted(struct xdp_md *ctx, int *action)
{
	__u32 first = 0, queue = ctx->rx_queue_index, window;
	struct segment segment = {};
	struct steer_shunt *shunt;
	__u32 *is_on;

	is_on = bpf_map_lookup_elem(&shunting, &first);
	if (!is_on || !*is_on || !parse_segment(ctx, &segment))
		return false;
	shunt = bpf_map_lookup_elem(&shunts, &segment.flow);
	if (!shunt)
		return false;
	/* Closed means that without a process nothing crosses. */
	if (steer_fail == STEER_FAIL_IS_CLOSED && !bpf_map_lookup_elem(&sockets, &queue))
		return false;

	if (shunt->fate == STEER_FATE_IS_DROP) {
		if (segment.flags & TCP_SYN || is_due(shunt))
			return false;
		count(ctx, STEER_SHUNT_DROPPED);
		*action = XDP_DROP;
	} else {
		if ((segment.flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK)
			return false;
		/* A bare ACK may follow a FIN that user space has not looked at yet, and is numbered behind it. */
		if (segment.end != segment.seq && is_after(segment.end, shunt->end))
			shunt->end = segment.end;
		if (is_after(segment.ack, shunt->ack))
			shunt->ack = segment.ack;
		window = segment.ack + ((__u32)segment.window << (shunt->shift & 15));
		if (is_after(window, shunt->window))
			shunt->window = window;
		*action = across(ctx, STEER_SHUNTED);
	}
	__sync_fetch_and_add(&shunt->packets, 1);
	__sync_fetch_and_add(&shunt->bytes, segment.ip_len);
	return true;
}

SEC("xdp.frags")
int steer(struct xdp_md *ctx)
{
	int action;

	if (shunted(ctx, &action))
		return action;
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
