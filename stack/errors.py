"""What can go wrong with the local stack. Each message is one line and says what to do.

    StackError
    ├── ArtifactError        a download failed, or a file is not the one that we pinned
    ├── PrivilegeError       the operating system refuses what `up` needs
    ├── ServiceError         a service did not become ready; carries its last log lines
    ├── SupervisorError      the supervisor does not start or answer
    └── DockerError          docker compose failed

All are fatal for the command that meets them; `up` may be typed again after the remedy.
"""

from __future__ import annotations


class StackError(Exception):
    """Base of this package's errors."""


class ArtifactError(StackError):
    pass


class PrivilegeError(StackError):
    pass


class SupervisorError(StackError):
    pass


class DockerError(StackError):
    pass


class ServiceError(StackError):
    """A service did not become ready in time, or stopped before."""

    def __init__(self, service: str, message: str, log_tail: str = "") -> None:
        super().__init__(message)
        self.service = service
        self.log_tail = log_tail

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n{self.log_tail}" if self.log_tail else message
