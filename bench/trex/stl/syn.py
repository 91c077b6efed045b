"""SYNs of random sources: what a flood of connections that never open costs.

    trex>start -f stl/syn.py -m 1mpps -t --server 198.19.0.1,--port 80

Tollgate keeps a bounded number of half-open connections and lets a random one give way
(`tollgate_flows_evicted_total`); the servers behind it answer with SYN-ACKs or RSTs.
"""

import argparse

from trex_stl_lib.api import *


class Syn:
    def get_streams(self, port_id, direction, tunables, **kwargs):
        parser = argparse.ArgumentParser(prog="stl/syn.py")
        parser.add_argument("--server", default="198.19.0.1", help="address that is asked")
        parser.add_argument("--port", type=int, default=80, help="port that is asked")
        args = parser.parse_args(tunables)

        syn = Ether() / IP(src="198.18.0.1", dst=args.server)
        syn /= TCP(sport=1024, dport=args.port, flags="S", options=[("MSS", 1460)])
        vary = STLScVmRaw([
            STLVmFlowVar("src", min_value="198.18.0.1", max_value="198.18.255.254", size=4, op="random"),
            STLVmWrFlowVar("src", pkt_offset="IP.src"),
            STLVmFlowVar("port", min_value=1024, max_value=65535, size=2, op="random"),
            STLVmWrFlowVar("port", pkt_offset="TCP.sport"),
            STLVmFlowVar("seq", min_value=1, max_value=0xFFFFFFFF, size=4, op="random"),
            STLVmWrFlowVar("seq", pkt_offset="TCP.seq"),
            STLVmFixChecksumHw(l3_offset="IP", l4_offset="TCP", l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ])
        return [STLStream(packet=STLPktBuilder(pkt=syn, vm=vary), mode=STLTXCont(pps=1000))]


def register():
    return Syn()
