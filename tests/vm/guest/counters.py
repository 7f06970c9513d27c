# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reading nftables in the peer's namespace without starting a program: counters are asked for often, and starting takes long
under emulation.

Owns: the binding to libnftables(3), one context for each process that asks.
"""

import ctypes
import functools
import json
from pathlib import Path

JSON, NUMERIC = 1 << 4, 15 << 7  # NFT_CTX_OUTPUT_* in nftables/libnftables.h


@functools.cache
def _nft(namespace: Path) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """The library, and a context whose socket is in that network namespace."""
    library, libc = ctypes.CDLL("libnftables.so.1"), ctypes.CDLL(None, use_errno=True)
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_output_buffer.restype = library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    with open("/proc/thread-self/ns/net") as here, namespace.open() as there:
        if libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
        context = ctypes.c_void_p(library.nft_ctx_new(0))
        if libc.setns(here.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    library.nft_ctx_output_set_flags(context, JSON | NUMERIC)
    return library, context


def elements(namespace: Path, family: str, table: str, name: str) -> list[dict]:
    """The elements of a set, as libnftables-json(5) describes them."""
    library, context = _nft(namespace)
    command = f"list set {family} {table} {name}"
    if library.nft_run_cmd_from_buffer(context, command.encode()):
        raise RuntimeError(f"nft {command}: {library.nft_ctx_get_error_buffer(context).decode()}")
    listed = json.loads(library.nft_ctx_get_output_buffer(context))
    found = next(item["set"] for item in listed["nftables"] if "set" in item)
    return [item["elem"] for item in found.get("elem", [])]
