"""The peers by name. The first is the denominator."""

from __future__ import annotations

from bench.peers import aiohttp, benthos, fastapi, fastify, goatcounter, nginx, nginx_body, trackflowd
from bench.peers.base import Peer

DENOMINATOR: Peer = nginx.PEER
PEERS: tuple[Peer, ...] = (
    nginx_body.PEER, trackflowd.PEER, aiohttp.PEER, fastapi.PEER, fastify.PEER, benthos.PEER, goatcounter.PEER,
)  # fmt: skip
