"""What the simulator raises.

SimulatorError
├── PortTakenError      another process listens there                      (fatal)
├── ScriptError         a fault script that cannot be understood           (fatal at start)
└── ApiError            an answer in Binance's form: HTTP status, code, message
"""

from __future__ import annotations

import json


class SimulatorError(Exception):
    """Base of this stage's errors; `fatal` ones end the process with one line."""

    fatal = False


class PortTakenError(SimulatorError):
    """Another process listens on the simulator's port."""

    fatal = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is taken; another simulator may be running. "
            "Stop it, or choose a port with --port or TIDEMARK_SIMULATOR_URL"
        )


class ScriptError(SimulatorError):
    """A fault script that cannot be understood."""

    fatal = True


class ApiError(SimulatorError):
    """An error answer of the exchange, for example 400 {"code":-1121,"msg":"Invalid symbol."}."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> str:
        """The JSON text of the answer."""
        return json.dumps({"code": self.code, "msg": self.message}, separators=(",", ":"))


def illegal(name: str, pattern: str) -> ApiError:
    """A parameter holds characters outside its pattern."""
    return ApiError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'."
    )


def missing(name: str) -> ApiError:
    """A mandatory parameter was not sent."""
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def invalid(name: str) -> ApiError:
    """A parameter's value makes no sense."""
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def unknown_symbol() -> ApiError:
    """No such symbol."""
    return ApiError(-1121, "Invalid symbol.")


def bad_combination() -> ApiError:
    """Parameters that exclude each other."""
    return ApiError(-1128, "Combination of optional parameters invalid.")
