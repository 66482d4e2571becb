"""Read the configuration again: a good one takes effect, a bad one is told, and the last good one stays."""

from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from parsers.errors import ParserError
from worker import log
from worker.configuration import load_settings
from worker.runtime import Runtime
from worker.settings import ConfigError, Settings


def reload(runtime: Runtime, check: Callable[[Settings], None] = lambda _settings: None) -> bool:
    """Go on with the configuration as its file is now; say whether it could be taken.

    ``check``: what else may refuse it, with a ConfigError, a ParserError, or because the store cannot be asked.
    """
    try:
        settings = load_settings()
        check(settings)
        runtime.reload(settings)
    except (ConfigError, ParserError) as error:
        log.trouble(event="configuration_refused", error=str(error))
    except SQLAlchemyError as error:
        log.trouble(event="configuration_refused", error=f"the store cannot be asked: {log.where(error)}")
    else:
        return True
    return False
