"""A few long connections that send as fast as they may: goodput of full segments.

    trex>start -f astf/bulk.py -m 1 -d 60 -t --connections 8,--megabytes 1000
"""

import argparse

from trex.astf.api import *

BLOCK = 64 * 1024


class Bulk:
    def get_profile(self, tunables, **kwargs):
        parser = argparse.ArgumentParser(prog="astf/bulk.py")
        parser.add_argument("--connections", type=int, default=8, help="at once (8)")
        parser.add_argument("--megabytes", type=int, default=1000, help="that each sends (1000)")
        parser.add_argument("--mss", type=int, default=1460, help="bytes of a segment (1460)")
        args = parser.parse_args(tunables)

        blocks = args.megabytes * 1_000_000 // BLOCK
        client, server = ASTFProgram(), ASTFProgram()
        client.set_var("left", blocks)
        client.set_label("again:")
        client.send(b"x" * BLOCK)
        client.jmp_nz("left", "again:")
        server.recv(blocks * BLOCK)

        clients = ASTFIPGenDist(ip_range=["198.18.0.1", "198.18.0.254"], distribution="seq")
        servers = ASTFIPGenDist(ip_range=["198.19.0.1", "198.19.0.254"], distribution="seq")
        ends = ASTFIPGen(
            glob=ASTFIPGenGlobal(ip_offset="0.0.1.0"), dist_client=clients, dist_server=servers)
        settings = ASTFGlobalInfo()
        settings.tcp.mss = args.mss
        settings.tcp.txbufsize = settings.tcp.rxbufsize = 1024 * 1024
        template = ASTFTemplate(
            client_template=ASTFTCPClientTemplate(
                program=client, ip_gen=ends, cps=args.connections, limit=args.connections, port=5201),
            server_template=ASTFTCPServerTemplate(
                program=server, assoc=ASTFAssociationRule(port=5201)),
        )
        return ASTFProfile(
            default_ip_gen=ends, default_c_glob_info=settings, default_s_glob_info=settings,
            templates=[template])


def register():
    return Bulk()
