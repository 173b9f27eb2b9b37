"""The connector's configuration, made from debezium/postgres-source.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template

import pytest

from cdc.connector.config import TEMPLATE, connector_config
from cdc.routes import CAPTURED, SOURCES
from cdc.settings import CdcSettings
from cdc.topics import HEARTBEAT_TOPIC_PREFIX, mismatch, topic_specs
from contracts.naming import CONTRACT_TOPICS, OUTBOX, topic_of, topic_prefix
from runtime.settings import PROJECT_ROOT

_LEFT = r"\$\{(?!directory:|routedByValue\})"  # those two are filled in by others
WORKER = PROJECT_ROOT / "debezium" / "connect-distributed.properties"


@pytest.fixture
def settings(tmp_path: Path) -> CdcSettings:
    return CdcSettings(generation=3, state_dir=tmp_path, postgres_port=15999)


def test_every_variable_of_the_template_is_filled_in(settings: CdcSettings) -> None:
    """A forgotten variable would reach Debezium as text."""
    config = connector_config(settings, ["trades"], "placeholder")
    left = {key: value for key, value in config.items() if re.search(_LEFT, value)}
    assert left == {}


def test_the_generation_is_in_slot_and_topics(settings: CdcSettings) -> None:
    """Two generations never share a slot or a topic."""
    config = connector_config(settings, ["trades"], "placeholder")
    assert (config["slot.name"], config["topic.prefix"]) == ("tidemark_g3", "market.g3")


def test_the_password_is_a_reference_to_its_file(settings: CdcSettings) -> None:
    """The configuration is readable over REST, so it must never hold the password itself."""
    secrets = settings.secret_path("tidemark_cdc").parent / "connect"
    secrets.mkdir(parents=True)
    settings.secret_path("tidemark_cdc").write_text("canary")
    config = connector_config(settings, ["trades"], "placeholder")
    assert config["database.password"] == f"${{directory:{secrets}:tidemark_cdc.password}}"
    assert "canary" not in json.dumps(config)


def test_addresses_as_connect_sees_them_win(tmp_path: Path) -> None:
    """In containers Connect reaches PostgreSQL and the secrets by other names than we do."""
    settings = CdcSettings(
        state_dir=tmp_path,
        connect_postgres_host="postgres",
        connect_postgres_port=5432,
        connect_secrets_dir=Path("/run/secrets"),
    )
    config = connector_config(settings, ["trades"], "placeholder")
    assert (config["database.hostname"], config["database.port"]) == ("postgres", "5432")
    assert "/run/secrets:" in config["database.password"]


def test_tables_are_listed_once_and_sorted(settings: CdcSettings) -> None:
    """The same routes give the same configuration, else each `apply` would restart the task."""
    config = connector_config(settings, ["trades", "prices", "trades"], "placeholder")
    assert config["table.include.list"] == "public.prices,public.trades"


def test_the_outbox_alone_goes_through_its_router(settings: CdcSettings) -> None:
    """Any other table's event would make the router fail, and the task with it."""
    config = connector_config(settings, CAPTURED, "placeholder")
    pattern = re.compile(config["predicates.outbox.pattern"])
    topics = {table: topic_of(table, settings.generation) for table in CAPTURED}
    assert [table for table, topic in topics.items() if pattern.fullmatch(topic)] == [OUTBOX]
    assert not pattern.fullmatch(f"{HEARTBEAT_TOPIC_PREFIX}.{topic_prefix(settings.generation)}")
    assert config["transforms.outbox.predicate"] == config["predicates"]


def test_the_router_sends_an_event_where_its_row_says(settings: CdcSettings) -> None:
    """To the topic itself, not to one below a prefix, with the payload as JSON, not as text."""
    config = connector_config(settings, CAPTURED, "placeholder")
    assert config["transforms.outbox.route.topic.replacement"] == "${routedByValue}"
    assert config["transforms.outbox.table.expand.json.payload"] == "true"


def test_the_connector_reads_the_outbox_and_every_routed_table() -> None:
    """The sink reads the routed tables' topics only."""
    assert set(CAPTURED) == {source.table for source in SOURCES} | {OUTBOX}


def test_contract_topics_have_settings_of_their_own(tmp_path: Path) -> None:
    """Their names bear no generation: readers never change them."""
    settings = CdcSettings(state_dir=tmp_path, contract_partitions=6, contract_retention_days=30)
    specs = {each.name: each for each in topic_specs(settings, ["market.g3.public.prices"], "x")}
    for name in CONTRACT_TOPICS:
        assert (specs[name].partitions, specs[name].retention_ms) == (6, 30 * 86_400_000)
    wrong = mismatch(specs.values(), {CONTRACT_TOPICS[0]: 2})
    assert "TIDEMARK_CONTRACT_PARTITIONS=2" in str(wrong)


def test_a_quote_in_a_path_stays_inside_its_value(tmp_path: Path) -> None:
    """Values are filled in after the JSON was read."""
    settings = CdcSettings(state_dir=tmp_path / 'a"b')
    assert 'a"b' in connector_config(settings, [], "placeholder")["database.password"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("publication.autocreate.mode", "disabled"),
        ("snapshot.mode", "initial"),
        ("offset.mismatch.strategy", "trust_offset"),
        ("lsn.flush.mode", "connector"),
        ("slot.drop.on.stop", "false"),
        ("slot.failover", "true"),
        ("skipped.operations", "none"),
        ("tombstones.on.delete", "false"),
        ("errors.tolerance", "none"),
        ("decimal.handling.mode", "string"),
        ("time.precision.mode", "isostring"),
    ],
)
def test_settings_that_keep_rows_are_as_measured(
    settings: CdcSettings, name: str, value: str
) -> None:
    """Each of these, set otherwise, loses or changes rows in some fault."""
    assert connector_config(settings, [], "placeholder")[name] == value


def test_the_worker_lets_secrets_be_read_from_their_folder_only() -> None:
    """Neither other files nor Kafka clients' settings are open to a connector's configuration."""
    text = Template(WORKER.read_text()).safe_substitute(secrets_dir="/s")
    assert "config.providers.directory.param.allowed.paths=/s\n" in text
    assert "connector.client.config.override.policy=None\n" in text


def test_the_worker_stores_offsets_each_second() -> None:
    """A fence waits for stored offsets: this is its cost."""
    assert "offset.flush.interval.ms=1000\n" in WORKER.read_text()


def test_the_template_is_strings_only() -> None:
    """Connect returns strings; anything else would look changed at each `apply`."""
    assert all(isinstance(value, str) for value in json.loads(TEMPLATE.read_text()).values())
