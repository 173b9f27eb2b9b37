"""structlog for every process: coloured lines on a terminal, one JSON object a line elsewhere."""

from __future__ import annotations

import logging
import os
import sys

import structlog


def configure(process: str) -> None:
    """Set logging up once per process; `process` stands in every line.

    TIDEMARK_LOG_LEVEL (default INFO) is the threshold. Libraries that log go the same way.
    """
    level = os.environ.get("TIDEMARK_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        level = "INFO"
    terminal = sys.stderr.isatty()

    def stamp(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event.setdefault("process", process)  # no context variable: threads would not have it
        return event

    shared: list[structlog.typing.Processor] = [
        stamp,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not terminal:  # on a terminal the console renderer draws tracebacks itself
        shared.append(structlog.processors.format_exc_info)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for chatty in ("httpx", "httpcore", "cassandra", "kafka", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # it warns of every tenth of a second that it did not get on a busy machine
    logging.getLogger("kafka.net").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
