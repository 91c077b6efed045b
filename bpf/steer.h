/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the steering program and crates/link/src/xsk/steer agree on. */
#ifndef TOLLGATE_STEER_H
#define TOLLGATE_STEER_H

/* Queues of one interface that can have a socket: one page of heartbeats. */
#define STEER_QUEUES_MAX 64

/* 802.1Q and 802.1ad tags that are looked through; a third one makes a frame "other". */
#define STEER_VLANS_MAX 2

/* IPv6 extension headers that are walked. Longer chains go to user space, which refuses them. */
#define STEER_EXTENSIONS_MAX 8

/* What becomes of frames that neither carry TCP nor are about it. */
enum steer_other {
	STEER_OTHER_IS_KERNEL,	/* to the peer port, inside the kernel */
	STEER_OTHER_IS_USER,	/* to the socket, like TCP */
	STEER_OTHER_IS_DROPPED,
};

/* What becomes of frames for a socket when nobody reads it. */
enum steer_fail {
	STEER_FAIL_IS_WIRE,	/* to the peer port, uninspected */
	STEER_FAIL_IS_CLOSED,	/* dropped */
};

/* The fates of a frame. Each frame has exactly one, so that their sum is what arrived. */
enum steer_verdict {
	STEER_TO_SOCKET,	/* TCP, a fragment of it, or an ICMP error about it, to the socket of its queue */
	STEER_MALFORMED,	/* broken headers, to the socket, where they are counted by reason */
	STEER_OTHER_USER,	/* no TCP, to the socket */
	STEER_OTHER_KERNEL,	/* no TCP, to the peer port */
	STEER_OTHER_DROPPED,	/* no TCP, dropped */
	STEER_NO_SOCKET_WIRE,	/* meant for a socket that is not there: to the peer port */
	STEER_NO_SOCKET_CLOSED,	/* meant for a socket that is not there: dropped */
	STEER_BYPASSED,		/* the worker's heartbeat is stale: to the peer port */
	STEER_ABORTED,		/* there is no peer port to send it to: dropped */
	STEER_SHUNTED,		/* of a connection that nobody wants to see: to the peer port */
	STEER_SHUNT_DROPPED,	/* of a connection that was refused: dropped */
	STEER_VERDICTS
};

/* What becomes of the segments of a shunt. */
enum steer_fate {
	STEER_FATE_IS_CROSS,	/* to the peer port, but for those that begin or end a connection */
	STEER_FATE_IS_DROP,	/* dropped, but for those that begin one, and one in STEER_UP_NS */
};

/* How often a segment of a refused connection is let up: more often than user space answers it with a RST. */
#define STEER_UP_NS (50ull * 1000 * 1000)

/* One direction of a connection, as its segments look at the port where they arrive. */
struct steer_flow {
	__u8 source[16];	/* IPv4 in the last four bytes, behind ten of 0 and two of 0xff */
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u16 outer_vlan;	/* identifiers; 0 without a tag */
	__u16 inner_vlan;
	__u32 version;		/* 4 or 6 */
};

/* What user space says of a direction, and what it wants to know when the connection ends. */
struct steer_shunt {
	__u64 packets;
	__u64 bytes;		/* by the IP length */
	__u64 up_ns;		/* when one was let up last */
	__u32 fate;		/* enum steer_fate */
	__u32 end;		/* highest number after a byte that crossed */
	__u32 ack;		/* highest acknowledgment */
	__u32 window;		/* right-most edge of the window offered */
	__u32 shift;		/* of that window */
	__u32 pad;
};

struct steer_count {
	__u64 frames;
	__u64 bytes;
};

/* CLOCK_MONOTONIC_COARSE of the worker's last turn; a cache line each, as each has its own writer. */
struct steer_heartbeat {
	__u64 at_ns;
	__u64 pad[7];
};

#endif
