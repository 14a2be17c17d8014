from __future__ import annotations

import os
import socket

from trackflowd.peer import Peer, peer_of, user_name


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == Peer(os.geteuid(), os.getpid())


def test_the_own_user_and_root_may_act_and_others_not() -> None:
    assert Peer(os.geteuid(), 1).acts
    assert Peer(0, 1).acts
    assert not Peer(4_000_000, 1).acts


def test_a_user_has_a_name_or_none() -> None:
    assert user_name(0) == "root"
    assert user_name(4_000_000) == ""
