"""The Internet mix of UDP both ways, with a probe for latency: what crosses without being followed.

    trex>start -f stl/imix.py -m 50% -p 0 1
    trex>start -f stl/imix.py -m 50% -p 0 1 -t --flows 100000

By default UDP crosses in XDP (`other = "wire"`); with `other = "user"` the workers carry it, and this measures
their rings. TCP has profiles of its own under astf/, for a segment of no connection is dropped.
"""

import argparse

from trex_stl_lib.api import *

# Bytes of a frame without its FCS, and how many of twelve.
MIX = [(60, 7), (590, 4), (1514, 1)]
PORT_FIRST = 1024
PROBE_PPS = 1000


class Imix:
    def get_streams(self, port_id, direction, tunables, **kwargs):
        parser = argparse.ArgumentParser(prog="stl/imix.py")
        parser.add_argument("--flows", type=int, default=1000, help="different sources, 1 to 64512 (1000)")
        args = parser.parse_args(tunables)
        if not 1 <= args.flows <= 64512:
            parser.error(f"--flows: 1 to 64512 expected, got {args.flows}")

        ends = ("198.18.0.1", "198.19.0.1")
        src, dst = ends if direction == 0 else reversed(ends)
        streams = [self.stream(src, dst, size, share, args.flows) for size, share in MIX]
        probe = STLPktBuilder(pkt=self.frame(src, dst, 124))
        streams.append(STLStream(
            packet=probe,
            mode=STLTXCont(pps=PROBE_PPS),
            flow_stats=STLFlowLatencyStats(pg_id=1 + direction),
        ))
        return streams

    @staticmethod
    def frame(src, dst, size):
        head = Ether() / IP(src=src, dst=dst) / UDP(sport=PORT_FIRST, dport=9)
        return head / Raw(b"x" * (size - len(head)))

    def stream(self, src, dst, size, share, flows):
        vary = STLScVmRaw([
            STLVmFlowVar("port", PORT_FIRST, PORT_FIRST + flows - 1, size=2, op="random"),
            STLVmWrFlowVar("port", pkt_offset="UDP.sport"),
            STLVmFixChecksumHw(l3_offset="IP", l4_offset="UDP", l4_type=CTRexVmInsFixHwCs.L4_TYPE_UDP),
        ])
        packet = STLPktBuilder(pkt=self.frame(src, dst, size), vm=vary)
        return STLStream(packet=packet, mode=STLTXCont(pps=share))


def register():
    return Imix()
