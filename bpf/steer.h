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
	STEER_VERDICTS
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
