"""Structured logs: JSON in services, readable on a terminal; never text of a prompt, never a secret."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

import structlog

from pipeline.config import LogSettings

LIBRARY_EVENT: Final = "library_message"


def configure(settings: LogSettings, *, service: str, libraries: bool = True) -> None:
    """Set logging up for a process; may be called again. All goes to standard error: output can be piped.

    Args:
        settings: level and form.
        service: which process this is; stands in every line, of every thread.
        libraries: whether warnings and worse of the libraries below are shown, in our form.
    """
    terminal = sys.stderr.isatty()
    readable = settings.format == "console" or (settings.format == "auto" and terminal)

    def name_service(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        # Not a context variable: those do not reach the threads that a library starts.
        return {"service": service, **event}

    shared: list[structlog.types.Processor] = [
        name_service,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=terminal and not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,  # the default shows local variables: text, secrets
        )
        if readable
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _library],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.root.handlers = [handler] if libraries else [logging.NullHandler()]
    logging.root.setLevel(logging.WARNING)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger for one room."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return logger


def _library(_logger: logging.Logger, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A library's sentence is no event name: all of them are one event, told apart by who speaks."""
    record: logging.LogRecord = event["_record"]
    return {**event, "event": LIBRARY_EVENT, "library": record.name, "message": event["event"]}
