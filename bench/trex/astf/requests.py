"""Connections of requests and answers, opened and closed by TRex's own TCP.

    trex>start -f astf/requests.py -m 1000 -d 60            10,000 connections a second, one request each
    trex>start -f astf/requests.py -m 100 -t --requests 10,--answer 16384,--v6

What to watch: TRex's `err` counters, which must stay empty (a segment that Tollgate loses, or changes
without a rule, shows there), beside `tollgate_flows` and the reasons in `tollgate_packets_dropped_total`.
"""

import argparse

from trex.astf.api import *

CPS = 10  # connections a second, times the -m of start


class Requests:
    def get_profile(self, tunables, **kwargs):
        parser = argparse.ArgumentParser(prog="astf/requests.py")
        parser.add_argument("--answer", type=int, default=1024, help="bytes of an answer's body (1024)")
        parser.add_argument("--requests", type=int, default=1, help="requests of a connection (1)")
        parser.add_argument("--v6", action="store_true", help="over IPv6")
        args = parser.parse_args(tunables)

        request = b"GET /trex HTTP/1.1\r\nHost: trex\r\n\r\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {args.answer}\r\n\r\n".encode()
        answer = head + b"x" * args.answer
        client, server = ASTFProgram(), ASTFProgram()
        for program, steps in (
            (client, (("send", request), ("recv", len(answer)))),
            (server, (("recv", len(request)), ("send", answer))),
        ):
            repeat(program, args.requests, steps)

        ends = addresses()
        template = ASTFTemplate(
            client_template=ASTFTCPClientTemplate(program=client, ip_gen=ends, cps=CPS, port=80),
            server_template=ASTFTCPServerTemplate(program=server, assoc=ASTFAssociationRule(port=80)),
        )
        return ASTFProfile(
            default_ip_gen=ends,
            default_c_glob_info=settings(args.v6),
            default_s_glob_info=settings(args.v6),
            templates=[template],
        )


def repeat(program, count, steps):
    program.set_var("left", count)
    program.set_label("again:")
    for what, value in steps:
        if what == "send":
            program.send(value)
        else:
            # Counted from here, not from the beginning of the connection.
            program.recv(value, True)
    program.jmp_nz("left", "again:")


def addresses():
    clients = ASTFIPGenDist(ip_range=["198.18.0.1", "198.18.3.254"], distribution="seq")
    servers = ASTFIPGenDist(ip_range=["198.19.0.1", "198.19.3.254"], distribution="seq")
    return ASTFIPGen(glob=ASTFIPGenGlobal(ip_offset="0.0.4.0"), dist_client=clients, dist_server=servers)


def settings(v6):
    info = ASTFGlobalInfo()
    if v6:
        info.ipv6.enable = 1
        info.ipv6.src_msb = "fd00::"
        info.ipv6.dst_msb = "fd00:1::"
    return info


def register():
    return Requests()
