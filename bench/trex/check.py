#!/usr/bin/env python3
"""Builds every profile without TRex: each must register, take its tunables, and refuse unknown ones.

TRex's classes stand in as recorders, so this finds what Python finds (names, calls, arithmetic); whether TRex
takes the values, only TRex says. With the folder of its libraries in PYTHONPATH and `--real`, the real ones are used.
"""

import contextlib
import importlib.util
import io
import pathlib
import sys
import types

HERE = pathlib.Path(__file__).parent

STL = """Ether IP UDP TCP Raw STLScVmRaw STLVmFlowVar STLVmWrFlowVar STLVmFixChecksumHw STLStream
STLPktBuilder STLTXCont STLFlowLatencyStats CTRexVmInsFixHwCs""".split()
ASTF = """ASTFProgram ASTFIPGen ASTFIPGenGlobal ASTFIPGenDist ASTFTemplate ASTFTCPClientTemplate
ASTFTCPServerTemplate ASTFAssociationRule ASTFProfile ASTFGlobalInfo""".split()

# Profile, the tunables to try beside none.
PROFILES = [
    ("stl/syn.py", ["--server", "198.19.0.9", "--port", "443"]),
    ("stl/imix.py", ["--flows", "64512"]),
    ("astf/requests.py", ["--requests", "10", "--answer", "0", "--v6"]),
    ("astf/bulk.py", ["--connections", "1", "--megabytes", "1"]),
]


class Recorder:
    """Takes every call and attribute, is as long as a header, and can be put on another."""

    def __init__(self, *args, **kwargs):
        self.__dict__.update(args=args, kwargs=kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = Recorder()
        self.__dict__[name] = value
        return value

    def __call__(self, *args, **kwargs):
        return Recorder(*args, **kwargs)

    def __truediv__(self, other):
        return self

    def __len__(self):
        return 42


def stand_in(name, classes):
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    module = sys.modules[name]
    for each in classes:
        setattr(module, each, Recorder())


def build(path, tunables):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    profile = module.register()
    if hasattr(profile, "get_profile"):
        return [profile.get_profile(tunables)]
    return [stream for way in (0, 1) for stream in profile.get_streams(way, way, tunables)]


def refuses(path):
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            build(path, ["--nonsense"])
        except SystemExit as end:
            return end.code != 0
    return False


def main():
    if "--real" not in sys.argv:
        stand_in("trex_stl_lib.api", STL)
        stand_in("trex.astf.api", ASTF)
    found = {str(path.relative_to(HERE)) for way in ("stl", "astf") for path in HERE.glob(f"{way}/*.py")}
    listed = {name for name, _ in PROFILES}
    if found != listed:
        sys.exit(f"check.py: profiles and their list differ: {sorted(found ^ listed)}")
    for name, tunables in PROFILES:
        made = len(build(HERE / name, [])), len(build(HERE / name, tunables))
        if 0 in made or not refuses(HERE / name):
            sys.exit(f"check.py: {name}: makes nothing, or takes what it does not know")
        print(f"{name}: {made[0]} to send by default, {made[1]} with {' '.join(tunables)}")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
