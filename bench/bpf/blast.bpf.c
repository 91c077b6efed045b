// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Both ends of a rate measurement: `blast` makes frames as fast as the kernel can run it, `sink` counts
 * and drops what has come through.
 *
 * `blast` runs by BPF_PROG_TEST_RUN with live frames, whose pages are reused without being written anew:
 * so every field that changes is written in full from the number of the frame, never added to.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Offsets in an Ethernet frame with IPv4 and TCP, both without options. */
#define ETHERTYPE_AT 12
#define PROTOCOL_AT 23
#define SOURCE_PORT_AT 34
#define SEQ_AT 38
#define CHECKSUM_AT 50
#define HEADERS_LEN 54

/* As bench/src/bin/blast.rs fills it in. */
struct blast_config {
	__u32 flows;		/* frames go round these */
	__u32 payload_len;	/* by which a flow's sequence number grows */
	__u32 seq;		/* of the first byte, the same in every flow */
	__u32 port;		/* source port of flow 0 */
	__u32 sum;		/* TCP checksum over all but port and seq, not folded */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct blast_config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} received SEC(".maps");

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int blast(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u8 *data_end = (__u8 *)(long)ctx->data_end;
	__u32 zero = 0, port, seq;
	struct blast_config *cfg = bpf_map_lookup_elem(&config, &zero);
	__u64 *number = bpf_map_lookup_elem(&sent, &zero);

	if (!cfg || !number || !cfg->flows || data + HEADERS_LEN > data_end)
		return XDP_ABORTED;
	port = cfg->port + *number % cfg->flows;
	seq = cfg->seq + (__u32)(*number / cfg->flows) * cfg->payload_len;
	/* One generator, on one core: nobody else counts here. */
	*number += 1;
	*(__be16 *)(data + SOURCE_PORT_AT) = bpf_htons(port);
	*(__be32 *)(data + SEQ_AT) = bpf_htonl(seq);
	*(__be16 *)(data + CHECKSUM_AT) =
		bpf_htons(fold(cfg->sum + port + (seq >> 16) + (seq & 0xffff)));
	return XDP_TX;
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u8 *data_end = (__u8 *)(long)ctx->data_end;
	__u32 zero = 0;
	__u64 *count;

	if (data + HEADERS_LEN > data_end)
		return XDP_PASS;
	if (*(__be16 *)(data + ETHERTYPE_AT) != bpf_htons(0x0800) || data[PROTOCOL_AT] != 6)
		return XDP_PASS;
	count = bpf_map_lookup_elem(&received, &zero);
	if (count)
		*count += 1;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
