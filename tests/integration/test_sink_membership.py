"""What a real Kafka says of the sink's group: the member that reads, and nobody once it is gone."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from cdc.errors import Adrift
from cdc.membership import Membership
from cdc.settings import CdcSettings
from cdc.sink.consumer import LogReader
from cdc.topics import Topics, TopicSpec
from tests.integration.conftest import Replica
from tests.integration.witnesses import until

pytestmark = pytest.mark.integration

TOPIC = "membership.test"
GROUP = "membership-test"


@pytest.fixture
def settings(replica: Replica) -> CdcSettings:
    """A group of its own, and a topic that it may read."""
    with Topics(replica.settings) as topics:
        topics.ensure([TopicSpec(name=TOPIC, partitions=1, retention_ms=3_600_000)])
    return replica.settings.model_copy(update={"sink_group": GROUP, "session_timeout_ms": 6000})


def test_a_member_is_known_and_one_that_left_is_not(
    settings: CdcSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: list[tuple[str, int]] = []
    reader = LogReader(settings, [TOPIC], ours.extend, lambda _: {}, dict)
    with closing(reader):

        def assigned() -> bool | None:
            reader.poll(0.1)
            return bool(ours) or None

        until("its partition", assigned)
        assert reader.membership.members() == {reader._consumer.memberid()}
        known = str(reader._consumer.memberid())
    until("nobody", lambda: reader.membership.members() == set() or None)
    left = Membership(settings, GROUP, lambda: known)
    left.check()
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 18.5)
    with pytest.raises(Adrift, match=GROUP):
        left.check()
